package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// The shared PostgreSQL server outlives the tests; all else ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/scailabs/scaivault/test/postgres.await.func1"))
}

// clock is set by tests.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a database with queues on one clock. Effects are rows of the outbox: a job's key.
type world struct {
	*testing.T
	db    *store.DB
	clock *clock
	log   lines
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(&world{T: t, db: db, clock: newClock()}) })
}

// queue makes a queue and runs it until the test ends.
func (w *world) queue(db *store.DB, kinds ...func(*jobs.Queue) jobs.Kind) *jobs.Queue {
	q := w.idle(db)
	for _, kind := range kinds {
		q.Register(kind(q))
	}
	w.run(q)
	return q
}

// idle makes a queue that does not run.
func (w *world) idle(db *store.DB) *jobs.Queue {
	return jobs.New(jobs.Options{DB: db, Now: w.clock.now, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Jitter: func() float64 { return 0 }})
}

// run runs q until the test ends, or stop is called.
func (w *world) run(q *jobs.Queue) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run: %v", err)
		}
	})
	w.Cleanup(stop)
	return stop
}

func (w *world) update(db *store.DB, fn func(tx *store.Tx) error) {
	w.Helper()
	if err := db.Update(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *world) schedule(q *jobs.Queue, kind string, at time.Time, keys ...string) {
	w.Helper()
	w.update(w.db, func(tx *store.Tx) error {
		var errs []error
		for _, key := range keys {
			errs = append(errs, q.Schedule(tx, kind, "tnt_a", key, at))
		}
		return errors.Join(errs...)
	})
}

// record is the effect of a job, with its end.
func record(ctx context.Context, db *store.DB, q *jobs.Queue, j jobs.Job, next time.Time) error {
	return db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO outbox (tenant, event) VALUES ($1, $2)`, j.Tenant, j.Key); err != nil {
			return err
		}
		return q.Finish(tx, j, next)
	})
}

// effects are the keys of what was recorded, sorted.
func (w *world) effects() []string {
	w.Helper()
	var all []string
	rows, err := w.db.Query(w.Context(), `SELECT event FROM outbox`)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			w.Fatal(err)
		}
		all = append(all, key)
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// due is when a job may be claimed, and how often it failed.
func (w *world) due(kind, key string) (at time.Time, failures int64) {
	w.Helper()
	var micros int64
	err := w.db.QueryRow(w.Context(), `SELECT due_at, failures FROM jobs WHERE kind = $1 AND key = $2`, kind, key).Scan(&micros, &failures)
	if err != nil {
		w.Fatalf("job %s of %s: %v", key, kind, err)
	}
	return time.UnixMicro(micros).UTC(), failures
}

func (w *world) count() (n int) {
	w.Helper()
	if err := w.db.QueryRow(w.Context(), `SELECT COUNT(*) FROM jobs`).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// patience is for a loaded machine.
const patience = time.Minute

// got waits for one value.
func got[T any](w *world, c <-chan T) T {
	w.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		w.Fatal("nothing came")
	}
	var none T
	return none
}

// until looks again and again, as only what others commit can change the answer.
func (w *world) until(ok func() bool) {
	w.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.NewTimer(patience)
	defer tick.Stop()
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			w.Fatal("it did not come to that")
		}
	}
}

// replicas are two stores on one PostgreSQL database; one hears no wake-ups, and the clocks of both are a year ahead.
type replicas struct {
	*world
	deaf *store.DB
}

func pair(t *testing.T) *replicas {
	t.Helper()
	o := storetest.Options(t, store.Postgres)
	o.Now = func() time.Time { return time.Now().AddDate(1, 0, 0) }
	db := storetest.Open(t, o)
	o.DirectURL = ""
	return &replicas{world: &world{T: t, db: db, clock: newClock()}, deaf: storetest.Open(t, o)}
}

// exchange tells the test of a run and gives the test's answer, unless the queue ends first.
func exchange[T any](ctx context.Context, told chan<- T, v T, answer <-chan error) error {
	select {
	case told <- v:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// halt waits until the test lets a run go on, or the queue ends.
func halt(ctx context.Context, resume <-chan struct{}) {
	select {
	case <-resume:
	case <-ctx.Done():
	}
}
