package storetest

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/store"
)

func placeholders(t *testing.T, open Opener) {
	db := open(t)
	var a, b, c string
	must(t, db.QueryRow(t.Context(), "SELECT CAST($2 AS TEXT), CAST($1 AS TEXT), CAST($2 AS TEXT)", "one", "two").Scan(&a, &b, &c))
	want(t, []string{a, b, c}, []string{"two", "one", "two"})
	must(t, db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, $1)", "same")
		return err
	}))
	must(t, db.QueryRow(t.Context(), "SELECT value FROM meta WHERE name = $1 AND value = $1", "same").Scan(&a))
	must(t, db.QueryRow(t.Context(),
		"SELECT $10 || $2 || $3 || $4 || $5 || $6 || $7 || $8 || $9, $1 FROM meta WHERE name = $11",
		"1", "2", "3", "4", "5", "6", "7", "8", "9", "ten", "same").Scan(&a, &b))
	want(t, []string{a, b}, []string{"ten23456789", "1"})
}

type keyRow struct {
	version, wraps int64
	wrapped        []byte
}

func values(t *testing.T, open Opener) {
	db := open(t)
	given := []keyRow{
		{1, math.MaxInt64, []byte{0, 1, 0xff, '\'', '"', '\\'}},
		{2, math.MinInt64, []byte{}},
		{3, 0, nil},
		{4, 1, []byte(strings.Repeat("x", 1<<20))},
	}
	must(t, db.Update(t.Context(), func(tx *store.Tx) error {
		for _, k := range given {
			if _, err := tx.Exec("INSERT INTO keys (kind, owner_id, version, parent_version, state, wrapped, wraps, created_at) VALUES ($1, $2, $3, 1, $4, $5, $6, 0)",
				"tenant", "ünï\n'\"; --", k.version, "", k.wrapped, k.wraps); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, k := range given {
		var owner, state string
		got := keyRow{version: k.version}
		must(t, db.QueryRow(t.Context(), "SELECT owner_id, state, wrapped, wraps FROM keys WHERE version = $1", k.version).
			Scan(&owner, &state, &got.wrapped, &got.wraps))
		if owner != "ünï\n'\"; --" || state != "" || got.wraps != k.wraps ||
			string(got.wrapped) != string(k.wrapped) || (got.wrapped == nil) != (k.wrapped == nil) {
			t.Errorf("version %d came back as %q %q %d, %d bytes", k.version, owner, state, got.wraps, len(got.wrapped))
		}
	}
	var count, sum int64
	must(t, db.QueryRow(t.Context(), "SELECT COUNT(*), SUM(version) FROM keys").Scan(&count, &sum))
	want(t, []int64{count, sum}, []int64{4, 10})
	err := db.QueryRow(t.Context(), "SELECT wraps FROM keys WHERE version = $1", 99).Scan(&sum)
	if !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
}

func unique(t *testing.T, open Opener) {
	c := compose(t, open)
	twice := func(tx *store.Tx) error {
		if err := insert(tx, "a"); err != nil {
			return err
		}
		return insert(tx, "a")
	}
	for name, update := range map[string]func(context.Context, func(*store.Tx) error) error{
		"Update": c.Update, "UpdateFallible": c.UpdateFallible,
	} {
		if err := update(t.Context(), twice); !store.IsUnique(err) || store.IsUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := c.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO policies (tenant, id, name, description, scope, is_active, rules, created_at, updated_at) VALUES ('t', 'a', 'same', '', '', 1, '[]', 0, 0), ('t', 'b', 'same', '', '', 1, '[]', 0, 0)")
		return err
	})
	if !store.IsUnique(err) {
		t.Errorf("unique constraint besides the key: %v", err)
	}
	err = c.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO scratch (id, n) VALUES ('b', NULL)")
		return err
	})
	if err == nil || store.IsUnique(err) {
		t.Errorf("NULL in a column that takes none: %v", err)
	}
	err = c.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO tenants (id, partner_id, name, created_at) VALUES ('t', 'nobody', '', 0)")
		return err
	})
	if err == nil || store.IsUnique(err) {
		t.Errorf("reference to a row that is not there: %v", err)
	}
	want(t, rows(t, c.DB), map[string]int64{})
}

func returning(t *testing.T, open Opener) {
	c := compose(t, open)
	must(t, c.Update(t.Context(), func(tx *store.Tx) error {
		for want := int64(1); want <= 3; want++ {
			var n int64
			err := tx.QueryRow("INSERT INTO scratch (id, n) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n = scratch.n + 1 RETURNING n", "row").Scan(&n)
			if err != nil || n != want {
				t.Errorf("returned %d, %v; want %d", n, err, want)
			}
		}
		return nil
	}))
	failing := func() error {
		return c.Update(t.Context(), func(tx *store.Tx) error {
			var n int64
			if err := tx.QueryRow("UPDATE scratch SET n = 100 WHERE id = $1 RETURNING n", "row").Scan(&n); err != nil {
				return err
			}
			return errMine
		})
	}
	if errs := c.batch(t, nil, failing, c.adding(t, "b", nil)); !errors.Is(errs[0], errMine) || errs[1] != nil {
		t.Errorf("answers %v", errs)
	}
	want(t, rows(t, c.DB), map[string]int64{"row": 3, "b": 1})
}

// transactions covers what a closure sees and may leave behind.
func transactions(t *testing.T, open Opener) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)
	db := open(t, func(o *store.Options) { o.Now = func() time.Time { return now } })
	var kept *store.Tx
	must(t, db.Update(t.Context(), func(tx *store.Tx) error {
		kept = tx
		if !tx.Now().Equal(now) || !db.Now().Equal(now) || tx.Lane() < 0 || tx.Context().Err() != nil {
			t.Errorf("now %v, lane %d", tx.Now(), tx.Lane())
		}
		return leaveOpen(t, db, tx)
	}))
	must(t, db.Update(t.Context(), nothing))
	useAfterEnd(t, db, kept)
	must(t, db.Ping(t.Context()))
	if got := db.Stats(); got.ReadersMax == 0 || got.Commits == 0 || got.CommitTime == 0 || got.LastCommit == 0 {
		t.Errorf("%+v", got)
	}
}

// leaveOpen reads only the first row of a result; on SQLite twice the same at once, while PostgreSQL has one
// result at a time on a connection.
func leaveOpen(t *testing.T, db *store.DB, tx *store.Tx) error {
	results := 2
	if db.Engine() == store.Postgres {
		results = 1
	}
	for range results {
		r, err := tx.Query("SELECT name FROM meta ORDER BY name") //nolint:sqlclosecheck // what this test is about
		if err != nil {
			return err
		}
		if !r.Next() || r.Err() != nil {
			t.Errorf("no row: %v", r.Err())
		}
	}
	return nil
}

func useAfterEnd(t *testing.T, db *store.DB, over *store.Tx) {
	t.Helper()
	if _, err := over.Exec("DELETE FROM meta"); err == nil {
		t.Error("a transaction wrote on after its closure")
	}
	if r, err := over.Query("SELECT name FROM meta"); err == nil { //nolint:sqlclosecheck // there is no result
		t.Errorf("a transaction read on after its closure: %v", r.Err())
	}
	if err := over.QueryRow("DELETE FROM meta RETURNING name").Scan(new(string)); err == nil {
		t.Error("a transaction wrote on after its closure, with a result")
	}
	if db.Notify(over, "channel") == nil {
		t.Error("a transaction notified after its closure")
	}
}

func wakes(t *testing.T, open Opener) {
	db := open(t, func(o *store.Options) { o.DirectURL = "" }) // a listener's first connection wakes everybody
	mine, other := db.Wake("mine"), db.Wake("other")
	must(t, db.Update(t.Context(), func(tx *store.Tx) error { return db.Notify(tx, "mine") }))
	if !closed(mine) || closed(other) {
		t.Error("answered before the wake-up, or the wrong one woke")
	}
	again := db.Wake("mine")
	if closed(again) {
		t.Error("a new wait is over at once")
	}
	failing := errors.New("no")
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return errors.Join(db.Notify(tx, "mine"), failing) }); !errors.Is(err, failing) {
		t.Error(err)
	}
	if closed(again) {
		t.Error("a closure that failed woke somebody")
	}
}

func readersOnly(t *testing.T, open Opener) {
	db := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.QueryRow(ctx, "SELECT value FROM meta").Scan(new(string)); !errors.Is(err, context.Canceled) {
		t.Errorf("read with a context that has ended: %v", err)
	}
	if r, err := db.Query(ctx, "SELECT value FROM meta"); !errors.Is(err, context.Canceled) { //nolint:sqlclosecheck // there is no result
		t.Errorf("query with a context that has ended: %v, %v", err, r.Err())
	}
	id := db.Identity()
	if len(id.InstanceID) != 31 || !strings.HasPrefix(id.InstanceID, "inst_") || strings.ToLower(id.InstanceID) != id.InstanceID {
		t.Errorf("instance %q", id.InstanceID)
	}
}
