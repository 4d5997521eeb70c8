package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

// A job that fails is tried again after a pause that doubles; its due time stays the one that was asked for.
func TestFailuresBackOff(t *testing.T) {
	each(t, func(w *world) {
		ran, answer := make(chan jobs.Job), make(chan error)
		q := w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "k", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
				if err := exchange(ctx, ran, j, answer); err != nil {
					return err
				}
				return record(ctx, w.db, q, j, time.Time{})
			}}
		})
		asked := w.clock.now()
		w.schedule(q, "k", asked, "job")
		pauses := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second} // without jitter half
		for i, pause := range pauses {
			j := got(w, ran)
			if j.Failures != int64(i) || !j.Due.Equal(asked) {
				t.Fatalf("run %d: %+v", i, j)
			}
			answer <- errors.New("no")
			w.until(func() bool { _, failures := w.due("k", "job"); return failures == int64(i)+1 })
			if at, _ := w.due("k", "job"); !at.Equal(w.clock.now().Add(pause)) {
				t.Fatalf("after failure %d due %v, want %v from %v", i+1, at, pause, w.clock.now())
			}
			w.clock.add(pause)
		}
		got(w, ran)
		answer <- nil
		w.until(func() bool { return len(w.effects()) == 1 })
		if n := w.count(); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

// A panic is a failure of its job; the others and the server go on. What it was called with is not logged.
func TestPanicIsAFailure(t *testing.T) {
	each(t, func(w *world) {
		ran := make(chan string, 10)
		q := w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "k", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
				ran <- j.Key
				if j.Key == "bad" {
					panic("hunter2")
				}
				return record(ctx, w.db, q, j, time.Time{})
			}}
		})
		at := w.clock.now()
		w.schedule(q, "k", at.Add(-time.Second), "bad")
		w.schedule(q, "k", at, "good")
		if first, second := got(w, ran), got(w, ran); first != "bad" || second != "good" {
			t.Errorf("ran %s, %s", first, second)
		}
		w.until(func() bool { return strings.Contains(w.log.String(), "panic in job") })
		if text := w.log.String(); strings.Contains(text, "hunter2") {
			t.Errorf("the log holds the panic's value: %s", text)
		}
	})
}

// A kind that hangs keeps its own workers only, and no more of its jobs run at once than it has workers.
func TestKindsAreApart(t *testing.T) {
	each(t, func(w *world) {
		var running, most atomic.Int64
		started, resume := make(chan string, 20), make(chan struct{})
		quick := make(chan string, 20)
		q := w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "slow", Lease: time.Hour, Workers: 3, Run: func(ctx context.Context, j jobs.Job) error {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				defer running.Add(-1)
				started <- j.Key
				halt(ctx, resume)
				return record(ctx, w.db, q, j, time.Time{})
			}}
		}, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "quick", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
				defer func() { quick <- j.Key }()
				return record(ctx, w.db, q, j, time.Time{})
			}}
		})
		for i := range 10 {
			w.schedule(q, "slow", w.clock.now(), fmt.Sprintf("slow-%d", i))
		}
		for range 3 {
			got(w, started)
		}
		for i := range 5 {
			w.schedule(q, "quick", w.clock.now(), fmt.Sprintf("quick-%d", i))
			got(w, quick)
		}
		if n := most.Load(); n != 3 || len(started) != 0 {
			t.Errorf("%d ran at once, %d more started", n, len(started))
		}
		close(resume)
		for range 7 {
			got(w, started)
		}
		w.until(func() bool { return w.count() == 0 })
		if n := most.Load(); n != 3 {
			t.Errorf("%d ran at once", n)
		}
	})
}

// A kind with Every is one job, however many queues run it; it comes again, also after a failure.
func TestEveryRepeats(t *testing.T) {
	each(t, func(w *world) {
		ran, answer := make(chan jobs.Job), make(chan error)
		kind := func(*jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "sweep", Lease: time.Minute, Every: time.Hour, Run: func(ctx context.Context, j jobs.Job) error {
				return exchange(ctx, ran, j, answer)
			}}
		}
		w.queue(w.db, kind)
		w.queue(w.db, kind)
		got(w, ran)
		answer <- nil
		w.until(func() bool { at, _ := w.due("sweep", ""); return at.Equal(w.clock.now().Add(time.Hour)) })
		w.clock.add(time.Hour)
		got(w, ran)
		answer <- errors.New("no")
		w.until(func() bool { _, failures := w.due("sweep", ""); return failures == 1 })
		w.clock.add(time.Second)
		if j := got(w, ran); j.Failures != 1 {
			t.Errorf("ran %+v", j)
		}
		answer <- nil
		if n := w.count(); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

// What a queue did not finish when it ended is due for the next one at once.
func TestAnEndedQueueGivesItsJobsBack(t *testing.T) {
	each(t, func(w *world) {
		started := make(chan struct{}, 1)
		q := w.idle(w.db)
		q.Register(jobs.Kind{Name: "k", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, _ jobs.Job) error {
			started <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}})
		stop := w.run(q)
		w.schedule(q, "k", w.clock.now(), "job")
		got(w, started)
		stop()
		if at, failures := w.due("k", "job"); at.After(w.clock.now()) || failures != 0 {
			t.Errorf("due %v after %d failures", at, failures)
		}
	})
}

// A clock that jumps a week ahead and back again loses nothing: what was claimed, put off or repeated in the false
// future comes at its time, and what was due then and finished stays finished.
func TestClockJumpsForwardAndBack(t *testing.T) {
	each(t, func(w *world) {
		const week = 7 * 24 * time.Hour
		ran, answer := make(chan string), make(chan error)
		q := w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "k", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
				if err := exchange(ctx, ran, j.Key, answer); err != nil {
					return err
				}
				return record(ctx, w.db, q, j, time.Time{})
			}}
		})
		sweeps := make(chan struct{}, 100)
		w.queue(w.db, func(*jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "sweep", Lease: time.Minute, Every: time.Hour, Run: func(context.Context, jobs.Job) error {
				sweeps <- struct{}{}
				return nil
			}}
		})
		at := w.clock.now()
		over := func(began time.Time) func() bool { // a run that has begun is due again when its lease ends, one that is over later
			return func() bool { due, _ := w.due("sweep", ""); return due.After(began.Add(time.Minute)) }
		}
		got(w, sweeps)
		w.until(over(at))

		w.clock.add(week)
		w.schedule(q, "k", at, "job")
		got(w, sweeps)
		got(w, ran)
		answer <- errors.New("no") // put off, a week ahead
		w.until(func() bool { _, failures := w.due("k", "job"); return failures == 1 })
		w.until(over(at.Add(week)))

		w.clock.add(-week)
		if key := got(w, ran); key != "job" {
			t.Errorf("ran %s", key)
		}
		answer <- nil
		got(w, sweeps)
		w.until(func() bool { return len(w.effects()) == 1 })
	})
}

// Another replica without a connection for wake-ups finds what is scheduled by polling.
func TestAReplicaThatHearsNothingPolls(t *testing.T) {
	w := pair(t)
	ran := make(chan string, 1)
	w.queue(w.deaf, func(q *jobs.Queue) jobs.Kind {
		return jobs.Kind{Name: "k", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
			defer func() { ran <- j.Key }()
			return record(ctx, w.deaf, q, j, time.Time{})
		}}
	})
	w.schedule(w.idle(w.db), "k", w.clock.now(), "job")
	if key := got(w.world, ran); key != "job" {
		t.Errorf("ran %s", key)
	}
}

// Without a clock of the options PostgreSQL's counts, whatever the processes' say.
func TestClaimsGoByTheDatabasesClock(t *testing.T) {
	w := pair(t)
	var real int64
	if err := w.db.QueryRow(t.Context(), `SELECT CAST(EXTRACT(EPOCH FROM now()) * 1000000 AS BIGINT)`).Scan(&real); err != nil {
		t.Fatal(err)
	}
	ran := make(chan string, 2)
	q := jobs.New(jobs.Options{DB: w.db})
	q.Register(jobs.Kind{Name: "k", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
		defer func() { ran <- j.Key }()
		return record(ctx, w.db, q, j, time.Time{})
	}})
	w.run(q)
	w.schedule(q, "k", time.UnixMicro(real).Add(time.Hour), "later") // long past by the store's clock
	w.schedule(q, "k", time.UnixMicro(real), "now")
	if key := got(w.world, ran); key != "now" {
		t.Errorf("ran %s", key)
	}
	w.update(w.db, func(tx *store.Tx) error { return q.Cancel(tx, "k", "tnt_a", "later") })
	if len(ran) != 0 {
		t.Errorf("ran %s, which is due in an hour", <-ran)
	}
}

// On SQLite a claim ends with its process: the next one takes it up at once. On PostgreSQL the claimant may be alive
// elsewhere, so that its lease counts.
func TestAClaimOfAKilledProcess(t *testing.T) {
	each(t, func(w *world) {
		q := w.idle(w.db)
		w.schedule(q, "k", w.clock.now(), "job")
		w.update(w.db, func(tx *store.Tx) error { // claimed by a process that is no more
			_, err := tx.Exec(`UPDATE jobs SET due_at = $1, attempt = attempt + 1`, w.clock.now().Add(time.Hour).UnixMicro())
			return err
		})
		ran := make(chan string, 2)
		w.queue(w.db, func(q *jobs.Queue) jobs.Kind {
			return jobs.Kind{Name: "k", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
				defer func() { ran <- j.Key }()
				return record(ctx, w.db, q, j, time.Time{})
			}}
		})
		if w.db.Engine() == store.Postgres {
			q := w.queue(w.db, func(q *jobs.Queue) jobs.Kind { // shows when the loops have looked
				return jobs.Kind{Name: "other", Lease: time.Hour, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
					defer func() { ran <- j.Key }()
					return record(ctx, w.db, q, j, time.Time{})
				}}
			})
			w.schedule(q, "other", w.clock.now(), "other job")
			if key := got(w, ran); key != "other job" {
				t.Errorf("ran %s within its lease", key)
			}
			w.clock.add(time.Hour)
		}
		if key := got(w, ran); key != "job" {
			t.Errorf("ran %s", key)
		}
	})
}
