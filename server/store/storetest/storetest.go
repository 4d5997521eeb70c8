// Package storetest runs tests on both engines, and holds the tests that every database of package store
// must pass.
package storetest

import (
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/postgres"
)

// Each runs test once on SQLite and once on PostgreSQL, each time on a fresh, migrated database. change may
// adjust the options before the database is opened.
func Each(t *testing.T, test func(t *testing.T, db *store.DB), change ...func(*store.Options)) {
	t.Helper()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) { test(t, Open(t, Options(t, engine), change...)) })
	}
}

// Options name a fresh place for a database that goes when tb ends.
func Options(tb testing.TB, engine store.Engine) store.Options {
	tb.Helper()
	o := store.Options{Log: slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if engine == store.SQLite {
		o.DataDir = tb.TempDir()
		return o
	}
	o.DatabaseURL = postgres.Start(tb)
	o.DirectURL = o.DatabaseURL
	return o
}

// Open opens the database of o and closes it when tb ends.
func Open(tb testing.TB, o store.Options, change ...func(*store.Options)) *store.DB {
	tb.Helper()
	for _, c := range change {
		c(&o)
	}
	db, err := store.Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close database: %v", err)
		}
	})
	return db
}

// Commits makes commits fail on demand: hand its Option to Each or Open. The zero value lets all pass.
type Commits struct {
	failure atomic.Pointer[error]
	tried   atomic.Int64
}

// Option has a database ask c before each COMMIT.
func (c *Commits) Option(o *store.Options) { o.BeforeCommit = c.before }

// Fail has every commit fail with err from now on; nil lets them pass again.
func (c *Commits) Fail(err error) {
	if err == nil {
		c.failure.Store(nil)
		return
	}
	c.failure.Store(&err)
}

// Tried counts the commits that were about to happen.
func (c *Commits) Tried() int64 { return c.tried.Load() }

func (c *Commits) before() error {
	c.tried.Add(1)
	if err := c.failure.Load(); err != nil {
		return *err
	}
	return nil
}
