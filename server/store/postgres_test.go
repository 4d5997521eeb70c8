package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
	"github.com/scailabs/scaivault/test/postgres"
)

func openPG(t *testing.T, change ...func(*store.Options)) *store.DB {
	t.Helper()
	return storetest.Open(t, storetest.Options(t, store.Postgres), change...)
}

func TestConcurrentOpen(t *testing.T) {
	url := postgres.Start(t)
	children := make([]*process, 3)
	for i := range children {
		children[i] = spawn(t, "CHILD_DATABASE_URL="+url)
	}
	ids := map[string]bool{}
	for _, c := range children {
		ids[c.line(t)] = true
	}
	for _, c := range children {
		if err := errors.Join(c.stdin.Close(), c.Wait()); err != nil {
			t.Error(err)
		}
	}
	if len(ids) != 1 {
		t.Errorf("processes that started together see %v", ids)
	}
}

// TestAbandonedMigrationLock is what a process leaves that was killed while it looked for migrations.
func TestAbandonedMigrationLock(t *testing.T) {
	o := storetest.Options(t, store.Postgres)
	db := storetest.Open(t, o)
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		result, err := tx.Exec("UPDATE goose_lock SET locked = true, locked_by = 'nobody', lease_expires_at = now() + interval '1 hour'")
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n != 1 || err != nil {
			t.Fatalf("%d locks, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	again, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// raising fails with code until it has run times times.
func raising(runs *atomic.Int64, times int64, code string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		if _, err := tx.Exec("INSERT INTO meta (name, value) VALUES ('row', 'x')"); err != nil {
			return err
		}
		if runs.Add(1) > times {
			return nil
		}
		_, err := tx.Exec("DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '" + code + "'; END $$")
		return err
	}
}

func TestVictimsRunAgain(t *testing.T) {
	for _, code := range []string{"40001", "40P01"} {
		var runs atomic.Int64
		if err := openPG(t).Update(t.Context(), raising(&runs, 4, code)); err != nil || runs.Load() != 5 {
			t.Errorf("%s four times: %v after %d runs", code, err, runs.Load())
		}
		runs.Store(0)
		if err := openPG(t).Update(t.Context(), raising(&runs, 99, code)); !errors.Is(err, store.ErrUnavailable) || runs.Load() != 5 {
			t.Errorf("%s without end: %v after %d runs", code, err, runs.Load())
		}
	}
	var runs atomic.Int64
	if err := openPG(t).Update(t.Context(), raising(&runs, 99, "P0001")); err == nil || errors.Is(err, store.ErrUnavailable) || runs.Load() != 2 {
		t.Errorf("another error: %v after %d runs", err, runs.Load())
	}
}

// TestDeadlock has two lanes lock two rows in opposite order; both closures succeed, once each.
func TestDeadlock(t *testing.T) {
	db := openPG(t, func(o *store.Options) { o.Lanes = 2 })
	for _, name := range []string{"a", "b"} {
		if err := put(t, db, name, "0"); err != nil {
			t.Fatal(err)
		}
	}
	bothHold := make(chan struct{})
	var holding, runs atomic.Int64
	crossing := func(first, second string) error {
		return db.Update(t.Context(), func(tx *store.Tx) error {
			const increment = "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = $1"
			if _, err := tx.Exec(increment, first); err != nil {
				return err
			}
			if runs.Add(1) <= 2 {
				if holding.Add(1) == 2 {
					close(bothHold)
				}
				<-bothHold
			}
			_, err := tx.Exec(increment, second)
			return err
		})
	}
	answers := make(chan error, 2)
	go func() { answers <- crossing("a", "b") }()
	go func() { answers <- crossing("b", "a") }()
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		var value string
		if err := db.QueryRow(t.Context(), "SELECT value FROM meta WHERE name = $1", name).Scan(&value); err != nil || value != "2" {
			t.Errorf("%s is %s, %v", name, value, err)
		}
	}
	if runs.Load() < 3 {
		t.Errorf("no deadlock in %d runs", runs.Load())
	}
}

func TestUnknownOutcomeIsNotRunAgain(t *testing.T) {
	var backend, runs atomic.Int64
	db := openPG(t, func(o *store.Options) {
		o.BeforeCommit = func() error {
			if pid := backend.Swap(0); pid != 0 {
				postgres.Exec(t, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", pid))
			}
			return nil
		}
	})
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		runs.Add(1)
		var pid int64
		if err := tx.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		backend.Store(pid)
		_, err := tx.Exec("INSERT INTO meta (name, value) VALUES ('row', 'x')")
		return err
	})
	if !errors.Is(err, store.ErrUnavailable) || runs.Load() != 1 {
		t.Errorf("%v after %d runs", err, runs.Load())
	}
	if err := put(t, db, "row", "y"); err != nil {
		t.Errorf("on a new connection: %v", err)
	}
}

func TestDeadConnectionIsReplaced(t *testing.T) {
	db := openPG(t, func(o *store.Options) { o.Lanes = 1; o.DirectURL = "" })
	if err := put(t, db, "row", "x"); err != nil {
		t.Fatal(err)
	}
	var pid int64
	if err := db.Update(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow("SELECT pg_backend_pid()").Scan(&pid)
	}); err != nil {
		t.Fatal(err)
	}
	postgres.Exec(t, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", pid))
	if err := put(t, db, "row", "y"); err != nil {
		t.Error(err)
	}
}

func TestWakeAcrossReplicas(t *testing.T) {
	o := storetest.Options(t, store.Postgres)
	here, there := storetest.Open(t, o), storetest.Open(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for { // until it is the notification that wakes, not a new connection, which wakes all
		mine, other := here.Wake("mine"), here.Wake("other")
		if err := there.Update(ctx, func(tx *store.Tx) error { return there.Notify(tx, "mine") }); err != nil {
			t.Fatal(err)
		}
		select {
		case <-mine:
		case <-ctx.Done():
			t.Fatal("another replica's notification did not arrive")
		}
		select {
		case <-other:
			continue
		default:
		}
		break
	}
	any := here.Wake("any")
	postgres.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN scaivault'")
	select {
	case <-any:
	case <-ctx.Done():
		t.Error("a new connection did not wake those who may have missed something")
	}
}

// TestNoNamedStatements is what a transaction pooler needs.
func TestNoNamedStatements(t *testing.T) {
	db := openPG(t)
	err := db.UpdateFallible(t.Context(), func(tx *store.Tx) error {
		for range 10 {
			if _, err := tx.Exec("UPDATE meta SET value = $1 WHERE name = $2", "x", "none"); err != nil {
				return err
			}
		}
		var kept int64
		if err := tx.QueryRow("SELECT COUNT(*) FROM pg_prepared_statements").Scan(&kept); err != nil {
			return err
		}
		if kept != 0 {
			t.Errorf("%d statements with names", kept)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestServerAwayIsUnavailable(t *testing.T) {
	_, err := store.Open(t.Context(), store.Options{DatabaseURL: "postgres://me:hunter2@127.0.0.1:1/db?sslmode=disable"})
	if !store.IsUnavailable(err) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody listens: %v", err)
	}
	_, err = store.Open(t.Context(), store.Options{DatabaseURL: "postgres://me:hunter2@127.0.0.1:nonsense/db"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("URL that cannot be parsed: %v", err)
	}
}
