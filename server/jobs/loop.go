package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// pollEvery is how often a loop looks at the database unasked: for jobs of replicas whose wake-ups do not
	// reach it, and because a clock may jump while a timer runs.
	pollEvery = time.Second
	// back is how much a clock may go back before the loop takes it for a jump.
	back = 5 * time.Second

	shortestPause = time.Second
	longestPause  = 5 * time.Minute
	giveBackBound = 5 * time.Second
)

// loop runs the jobs of one kind in this process.
type loop struct {
	*Queue
	kind Kind
	free int           // workers without a job
	done chan struct{} // a worker has ended
	work sync.WaitGroup
	seen time.Time // the clock when it was last read; zero: what went before is not known
}

func newLoop(q *Queue, k Kind) *loop {
	k.Workers = max(k.Workers, 1)
	return &loop{Queue: q, kind: k, free: k.Workers, done: make(chan struct{}, k.Workers)}
}

func (l *loop) run(ctx context.Context) {
	defer l.work.Wait()
	for ctx.Err() == nil {
		wake := l.db.Wake(channel(l.kind.Name))
		pause, err := l.turn(ctx)
		if err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "jobs wait for the database", "kind", l.kind.Name, "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		case <-l.done:
			l.free++
		}
		timer.Stop()
	}
}

// turn starts what is due, as far as there are free workers, and tells when to look again.
func (l *loop) turn(ctx context.Context) (time.Duration, error) {
	l.settle()
	now, err := l.clock(ctx)
	if err != nil {
		return pollEvery, err
	}
	if now.Before(l.seen.Add(-back)) || l.seen.IsZero() {
		if err := l.pull(ctx, l.kind, now, l.horizon(now)); err != nil {
			return pollEvery, err
		}
	}
	l.seen = now
	first, err := l.first(ctx, l.kind.Name)
	if err != nil {
		return pollEvery, err
	}
	l.metrics.late(l.kind.Name, first, now)
	if first.IsZero() || l.free == 0 {
		return pollEvery, nil
	}
	if first.After(now) {
		return min(first.Sub(now), pollEvery), nil
	}
	return l.start(ctx, now)
}

// horizon is the time beyond which no claim, no pause and no repetition can lie that began by now.
func (l *loop) horizon(now time.Time) time.Time {
	now = now.Add(l.kind.Every)
	if l.seen.IsZero() && l.db.Exclusive() {
		return now // who claimed was an earlier process, and it has ended
	}
	return now.Add(l.kind.Lease + longestPause)
}

// settle counts the workers that have ended.
func (l *loop) settle() {
	for {
		select {
		case <-l.done:
			l.free++
		default:
			return
		}
	}
}

// start claims for the free workers. Where all of them got a job there may be more; one that ends looks for it.
func (l *loop) start(ctx context.Context, now time.Time) (time.Duration, error) {
	jobs, err := l.claim(ctx, l.kind, now, l.free)
	if err != nil {
		return pollEvery, err
	}
	for _, j := range jobs {
		l.free--
		l.work.Go(func() {
			l.serve(ctx, j)
			l.done <- struct{}{}
		})
	}
	if len(jobs) == 0 { // other replicas took them
		return pollEvery, nil
	}
	return 0, nil
}

// serve runs one job and sees to what its run left open.
func (l *loop) serve(ctx context.Context, j Job) {
	err := l.try(ctx, j)
	result := resultOf(ctx, err)
	l.metrics.ran(j.Kind, result)
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackBound)
	defer cancel()
	if err := l.follow(bound, j, result, err); err != nil {
		l.log.WarnContext(ctx, "job runs again when its lease is over", "kind", j.Kind, "tenant", j.Tenant, "key", j.Key, "error", err)
	}
}

func (l *loop) follow(ctx context.Context, j Job, result string, err error) error {
	if result == resultLost || result == resultDone && l.kind.Every == 0 {
		return nil
	}
	now, cerr := l.clock(ctx)
	if cerr != nil {
		return cerr
	}
	switch result {
	case resultDone:
		return l.repeat(ctx, j, now.Add(l.kind.Every))
	case resultEnded:
		return l.giveBack(ctx, j, now, 0)
	}
	pause := backOff(j.Failures, l.jitter())
	l.log.WarnContext(ctx, "job failed; trying again", "kind", j.Kind, "tenant", j.Tenant, "key", j.Key,
		"failures", j.Failures+1, "again_in", pause.String(), "error", err)
	return l.giveBack(ctx, j, now.Add(pause), 1)
}

var errPanic = errors.New("panic in job")

// try runs a job. A panic is a failure of this job, not of the server; its value, which may hold what nobody
// should read, is not reported.
func (l *loop) try(ctx context.Context, j Job) (err error) {
	defer func() {
		if v := recover(); v != nil {
			l.log.ErrorContext(ctx, "panic in job", slog.String("kind", j.Kind), slog.String("type", fmt.Sprintf("%T", v)),
				slog.String("stack", string(debug.Stack())))
			err = errPanic
		}
	}()
	return l.kind.Run(ctx, j)
}

// resultOf is what came of a run: as the label of the metric says it.
func resultOf(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return resultDone
	case errors.Is(err, ErrLost):
		return resultLost
	case ctx.Err() != nil:
		return resultEnded
	default:
		return resultFailed
	}
}

// backOff is how long to wait after a run failed that had failed before so often: twice as long each time,
// between half of that and all of it, so that what failed together does not come back together.
func backOff(failures int64, jitter float64) time.Duration {
	pause := longestPause
	if failures < 10 {
		pause = min(shortestPause<<failures, longestPause)
	}
	return pause/2 + time.Duration(jitter*float64(pause/2))
}
