package jobs

import (
	"context"
	crypto "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/scailabs/scaivault/server/store"
)

// ErrLost says that a job's claim is not the worker's any more: nothing of the transaction may stay. A worker
// hands it on as it is.
var ErrLost error = lostError{}

type lostError struct{}

func (lostError) Error() string {
	return "the job's claim is lost: its lease is over, or it was rescheduled or cancelled"
}

// Moot tells the guard that there was nothing to do, so that there is nothing to record.
func (lostError) Moot() bool { return true }

// Job is one claim of a row.
type Job struct {
	Kind, Tenant, Key string
	Due               time.Time // the time that Schedule or Finish asked for, whatever was tried since
	Attempt           int64     // the claim's fence: unique among all claims of the row, not a count
	Failures          int64     // runs that failed since Schedule or Finish
}

// Kind is a sort of work.
type Kind struct {
	Name    string
	Lease   time.Duration // how long a worker may take; then another may claim the job
	Workers int           // at once, in this process
	// Run does the work and finishes the job in the transaction of its effect. An error is logged and the job
	// tried again after a jittered back-off of one second to five minutes. A job that Run neither finished nor
	// failed is run again when its lease is over.
	Run func(context.Context, Job) error
	// Every makes the kind a single job that the queue itself schedules, and again so long after each run that
	// ended without an error. Then Run does not call Finish.
	Every time.Duration
}

// Options are what a Queue stands on. DB is required.
type Options struct {
	DB     *store.DB
	Now    func() time.Time // of claims; nil: the database's on PostgreSQL, the store's on SQLite
	Log    *slog.Logger     // nil discards
	Jitter func() float64   // of back-offs, from [0, 1); nil: random
}

// Queue schedules and runs jobs. Register all kinds, then Run it.
type Queue struct {
	db      *store.DB
	now     func() time.Time
	log     *slog.Logger
	jitter  func() float64
	kinds   []Kind
	metrics *metrics
}

// New makes a queue without kinds. It can schedule, whoever runs the jobs.
func New(o Options) *Queue {
	q := &Queue{db: o.DB, now: o.Now, log: o.Log, jitter: o.Jitter, metrics: newMetrics()}
	if q.now == nil && o.DB.Exclusive() {
		q.now = o.DB.Now
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	if q.jitter == nil {
		q.jitter = rand.Float64
	}
	return q
}

// Register adds a kind. All are registered before Run.
func (q *Queue) Register(k Kind) { q.kinds = append(q.kinds, k) }

// Run claims and runs jobs of the registered kinds until ctx ends; then it waits for the workers, and what they
// did not finish is due at once. Every replica runs it. It returns nil: failures are logged and tried again.
func (q *Queue) Run(ctx context.Context) error {
	var loops errgroup.Group
	for _, k := range q.kinds {
		loops.Go(func() error {
			newLoop(q, k).run(ctx)
			return nil
		})
	}
	return loops.Wait()
}

// Schedule makes a job due at a time, or moves it there: its failures are forgotten, and who has claimed it
// cannot finish it any more.
func (q *Queue) Schedule(tx *store.Tx, kind, tenant, key string, at time.Time) error {
	if _, err := tx.Exec(upsertJob, kind, tenant, key, at.UnixMicro(), newFence()); err != nil {
		return fmt.Errorf("schedule %s of %s: %w", kind, key, err)
	}
	return q.wake(tx, kind, at)
}

// ScheduleAll is Schedule for many keys of a tenant, which must differ, in one statement.
func (q *Queue) ScheduleAll(tx *store.Tx, kind, tenant string, keys []string, at time.Time) error {
	if len(keys) == 0 {
		return nil
	}
	var rows strings.Builder
	args := []any{kind, tenant, at.UnixMicro()}
	for _, key := range keys {
		if len(args) > 3 {
			rows.WriteString(", ")
		}
		args = append(args, key, newFence())
		fmt.Fprintf(&rows, "($1, $2, $%d, $3, $3, $%d, 0)", len(args)-1, len(args))
	}
	if _, err := tx.Exec(insertJobs+rows.String()+moveJobs, args...); err != nil {
		return fmt.Errorf("schedule %d of %s: %w", len(keys), kind, err)
	}
	return q.wake(tx, kind, at)
}

// Cancel removes a job. Who has claimed it cannot finish it any more. It is no error if there is none.
func (q *Queue) Cancel(tx *store.Tx, kind, tenant, key string) error {
	if _, err := tx.Exec(deleteJob, kind, tenant, key); err != nil {
		return fmt.Errorf("cancel %s of %s: %w", kind, key, err)
	}
	return nil
}

// Finish ends a claim in the transaction of its effect: the job is due again at next, or with a zero next gone.
// ErrLost says that the claim is not ours any more; the transaction must then be given up.
func (q *Queue) Finish(tx *store.Tx, j Job, next time.Time) error {
	query, args := finishJob, []any{j.Kind, j.Tenant, j.Key, j.Attempt}
	if !next.IsZero() {
		query, args = repeatJob, append(args, next.UnixMicro())
	}
	done, err := tx.Exec(query, args...)
	if err != nil {
		return fmt.Errorf("finish %s of %s: %w", j.Kind, j.Key, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrLost, err)
	}
	if next.IsZero() {
		return nil
	}
	return q.wake(tx, j.Kind, next)
}

// wake has the loops look at once for what they would not see in time by polling.
func (q *Queue) wake(tx *store.Tx, kind string, at time.Time) error {
	if at.Sub(tx.Now()) >= pollEvery {
		return nil
	}
	return q.db.Notify(tx, channel(kind))
}

func channel(kind string) string { return "scaivault_jobs_" + kind }

// newFence is where a row's fences begin. It is random, so that a row that was removed and made anew never has
// the fence of a claim of old; claims count on from it.
func newFence() int64 {
	var b [8]byte
	_, _ = crypto.Read(b[:]) // never fails: crypto/rand ends the process instead
	return int64(binary.BigEndian.Uint64(b[:]) >> 2)
}
