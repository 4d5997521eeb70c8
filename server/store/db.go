package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Engine names a database engine.
type Engine string

// The two engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Options say where the database is. Exactly one of DataDir and DatabaseURL must be set.
type Options struct {
	DataDir     string           // SQLite: directory that holds scaivault.db; made with mode 0700 if missing
	DatabaseURL string           // PostgreSQL: postgres://…; may lead through a transaction pooler
	DirectURL   string           // PostgreSQL, optional: a connection without pooler, for LISTEN
	Lanes       int              // writer lanes; 0 means 1; always 1 on SQLite
	Now         func() time.Time // nil means time.Now
	Log         *slog.Logger     // nil discards

	// BeforeCommit runs right before each COMMIT; its error counts as the commit's. It exists so that
	// tests can make a commit fail or wait. It is nil in production.
	BeforeCommit func() error
}

// DB is an open database. Its methods may be called from any goroutine.
type DB struct {
	dialect  *dialect
	options  Options
	readers  *sql.DB
	writers  *sql.DB
	lock     *os.File
	identity Identity

	queue    *queue
	lanes    sync.WaitGroup
	pause    sync.RWMutex // lanes hold it for reading during a batch; who locks it makes them wait
	counters counters
	wakes    wakes
	origin   string // marks this process's wake-ups

	mu     sync.Mutex
	stages []*Stage

	stop       context.CancelFunc // ends the background work
	background sync.WaitGroup
	closed     atomic.Bool
}

// Open connects, takes the directory's lock (SQLite), migrates, and starts the writer lanes. It is safe to
// call from several processes at once: on PostgreSQL they take turns migrating, on SQLite all but one get
// ErrInUse.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d, err := choose(o)
	if err != nil {
		return nil, err
	}
	return open(ctx, d, o)
}

func open(ctx context.Context, d *dialect, o Options) (*DB, error) {
	db := &DB{dialect: d, options: o, origin: rand.Text() + " "}
	db.wakes.init()
	if err := db.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s database: %w", d.engine, err), db.release())
	}
	return db, nil
}

// start does Open's work; what it acquired before an error is given back by release.
func (db *DB) start(ctx context.Context) error {
	if err := db.dialect.open(ctx, db); err != nil {
		return err
	}
	if err := migrate(ctx, db.dialect, db.options); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	identity, err := establish(ctx, db.writers)
	if err != nil {
		return err
	}
	db.identity = identity
	db.queue = newQueue(db.dialect.lanes, db.dialect.batch)
	ctx = context.WithoutCancel(ctx) // what Open starts lasts until Close
	background, stop := context.WithCancel(ctx)
	db.stop = stop
	for i := range db.dialect.lanes {
		db.lanes.Add(1)
		go newLane(db, i).run(ctx)
	}
	for _, work := range db.dialect.background {
		db.background.Go(func() { work(background, db) })
	}
	return nil
}

// Close refuses new writes, finishes the queued ones, and gives everything back. Later calls do nothing.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	db.queue.close()
	db.lanes.Wait()
	db.stop()
	db.background.Wait()
	return db.release()
}

func (db *DB) release() error {
	var errs []error
	for _, pool := range []*sql.DB{db.readers, db.writers} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// Engine tells which engine holds the rows.
func (db *DB) Engine() Engine { return db.dialect.engine }

// Exclusive reports whether this process is the only writer (SQLite). Then state in memory that is updated
// in AfterCommit is never stale.
func (db *DB) Exclusive() bool { return db.dialect.engine == SQLite }

// Identity is what was given to the database when it was first migrated.
func (db *DB) Identity() Identity { return db.identity }

// Now is the time by the clock of the options.
func (db *DB) Now() time.Time { return db.options.Now() }

// ForUpdate is the suffix that locks selected rows until the end of the transaction: empty on SQLite, where
// the one writer has no rival, and " FOR UPDATE" on PostgreSQL.
func (db *DB) ForUpdate() string { return db.dialect.forUpdate }

// Query reads committed rows. The caller closes the rows soon: an open result holds a reader connection.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return db.readers.QueryContext(ctx, query, args...)
}

// QueryRow reads at most one committed row. On SQLite, where a row by its key takes microseconds, ctx
// counts until the query starts; watching it further would cost more than the query.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return db.readers.QueryRowContext(db.dialect.brief(ctx), query, args...)
}

// Ping reports whether the database answers a read.
func (db *DB) Ping(ctx context.Context) error {
	var one int64
	if err := db.readers.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
