package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

// Jobs run when they are due, not before, and are told when that was.
func TestJobsRunWhenTheyAreDue(t *testing.T) {
	each(t, func(w *world) {
		ran := make(chan jobs.Job, 10)
		q := w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "k", Lease: time.Minute, Workers: 2, Run: func(ctx context.Context, j jobs.Job) error {
				ran <- j
				return record(ctx, w.db, q, j, time.Time{})
			}}
		})
		at := w.clock.now()
		w.schedule(q, "k", at.Add(time.Hour), "later")
		w.schedule(q, "k", at.Add(-time.Minute), "now")
		if j := got(w, ran); j.Key != "now" || j.Kind != "k" || j.Tenant != "tnt_a" || !j.Due.Equal(at.Add(-time.Minute)) || j.Failures != 0 {
			t.Errorf("ran %+v", j)
		}
		w.clock.add(time.Hour)
		if j := got(w, ran); j.Key != "later" || !j.Due.Equal(at.Add(time.Hour)) {
			t.Errorf("ran %+v", j)
		}
	})
}

// Several queues share the jobs of one database: each job's effect is there once, and no row stays.
func TestEachJobHappensOnce(t *testing.T) {
	each(t, func(w *world) {
		const n = 300
		left := make(chan string, 2*n)
		kind := func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "k", Lease: time.Minute, Workers: 7, Run: func(ctx context.Context, j jobs.Job) error {
				err := record(ctx, w.db, q, j, time.Time{})
				if err == nil {
					left <- j.Key
				}
				return err
			}}
		}
		q := w.idle(w.db)
		var keys []string
		for i := range n {
			keys = append(keys, fmt.Sprintf("job-%03d", i))
		}
		w.schedule(q, "k", w.clock.now(), keys...)
		for range 3 {
			w.queue(w.db, kind)
		}
		for range n {
			got(w, left)
		}
		if have := w.effects(); !slices.Equal(have, keys) || w.count() != 0 {
			t.Errorf("%d effects of %d jobs, %d rows stay", len(have), n, w.count())
		}
	})
}

// A worker whose lease is over loses: what it did is undone, whoever claimed the job after it wins.
func TestWhoOutlivesItsLeaseLoses(t *testing.T) {
	each(t, func(w *world) {
		slow, resume, lost := make(chan jobs.Job, 1), make(chan struct{}), make(chan error, 1)
		q := w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "k", Lease: time.Minute, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
				slow <- j
				halt(ctx, resume)
				err := record(ctx, w.db, q, j, time.Time{})
				lost <- err
				return err
			}}
		})
		w.schedule(q, "k", w.clock.now(), "job")
		first := got(w, slow)
		w.clock.add(time.Minute + time.Second)
		won := make(chan jobs.Job, 1)
		w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "k", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
				defer func() { won <- j }()
				return record(ctx, w.db, q, j, time.Time{})
			}}
		})
		second := got(w, won)
		close(resume)
		if err := got(w, lost); !errors.Is(err, jobs.ErrLost) {
			t.Errorf("the slow worker finished with %v", err)
		}
		if first.Attempt == second.Attempt || !first.Due.Equal(second.Due) {
			t.Errorf("claims %+v and %+v", first, second)
		}
		if have := w.effects(); len(have) != 1 {
			t.Errorf("%d effects", len(have))
		}
	})
}

// A job that is rescheduled or cancelled while it runs cannot be finished by that run, not even if it was
// removed and made anew.
func TestScheduleAndCancelFence(t *testing.T) {
	changes := map[string]func(q *jobs.Queue, tx *store.Tx, at time.Time) error{
		"reschedule": func(q *jobs.Queue, tx *store.Tx, at time.Time) error { return q.Schedule(tx, "k", "tnt_a", "job", at) },
		"cancel":     func(q *jobs.Queue, tx *store.Tx, _ time.Time) error { return q.Cancel(tx, "k", "tnt_a", "job") },
		"made anew": func(q *jobs.Queue, tx *store.Tx, at time.Time) error {
			return errors.Join(q.Cancel(tx, "k", "tnt_a", "job"), q.Schedule(tx, "k", "tnt_a", "job", at))
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			each(t, func(w *world) {
				started, resume, ended := make(chan struct{}, 1), make(chan struct{}), make(chan error, 1)
				q := w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
					return jobs.Kind{Name: "k", Lease: time.Minute, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
						started <- struct{}{}
						halt(ctx, resume)
						err := record(ctx, w.db, q, j, time.Time{})
						ended <- err
						return err
					}}
				})
				w.schedule(q, "k", w.clock.now(), "job")
				got(w, started)
				later := w.clock.now().Add(time.Hour)
				w.update(w.db, func(tx *store.Tx) error { return change(q, tx, later) })
				close(resume)
				if err := got(w, ended); !errors.Is(err, jobs.ErrLost) {
					t.Errorf("finished with %v", err)
				}
				if have := w.effects(); len(have) != 0 {
					t.Errorf("effects %v", have)
				}
				if name == "cancel" {
					if n := w.count(); n != 0 {
						t.Errorf("%d rows", n)
					}
				} else if at, _ := w.due("k", "job"); !at.Equal(later) {
					t.Errorf("due %v, want %v", at, later)
				}
			})
		})
	}
}
