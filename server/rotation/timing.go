package rotation

import (
	"time"

	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// This file decides, and does nothing else.

// timing is a policy's schedule for one path.
type timing struct {
	schedule.Plan
	offset    time.Duration
	generates bool
	active    bool
}

// What was announced of a rotation that is due.
const (
	announcedNothing = iota
	announcedDue
	announcedOverdue
)

// Back-off between attempts.
const (
	firstPause  = time.Minute
	dailyPause  = 24 * time.Hour
	mostRetries = 5 // attempts in a row; then the state is failed, and there is one a day
)

// step is what an assignment needs now.
type step int

const (
	stepWait     step = iota // nothing; its job waits for the next time
	stepWarn                 // announce a threshold
	stepDue                  // announce that somebody has to write
	stepOverdue              // announce that nobody did
	stepMissed               // announce that the window is over, and wait for the next slot
	stepGenerate             // rotate
	stepPause                // the policy is not active
)

// decide says what an assignment needs at a time, and for stepWarn which threshold is announced: the newest that
// has passed, so that a server which was off announces one and not all.
func (t timing) decide(a *assignment, now time.Time) (step, time.Duration) {
	switch {
	case !t.active:
		return stepPause, 0
	case a.listed == 0:
		return stepWait, 0
	case now.UnixMicro() < a.next:
		if w := t.passed(a.next, now); w != 0 && w.Microseconds() < a.warned {
			return stepWarn, w
		}
		return stepWait, 0
	case t.generates:
		return t.decideGenerating(a, now), 0
	case a.announced == announcedNothing:
		return stepDue, 0
	case a.announced == announcedDue && !now.Before(t.overdueAt(a)):
		return stepOverdue, 0
	}
	return stepWait, 0
}

func (t timing) decideGenerating(a *assignment, now time.Time) step {
	if a.retry != nil && now.UnixMicro() < *a.retry {
		return stepWait
	}
	if missed, _ := t.Missed(time.UnixMicro(a.next), now, t.offset); missed && a.reason == "" {
		return stepMissed
	}
	return stepGenerate
}

// passed is the newest threshold that has passed before a rotation at next; 0: none.
func (t timing) passed(next int64, now time.Time) time.Duration {
	var newest time.Duration
	for _, w := range t.Warn {
		if now.UnixMicro() >= next-w.Microseconds() && (newest == 0 || w < newest) {
			newest = w
		}
	}
	return newest
}

func (t timing) overdueAt(a *assignment) time.Time { return time.UnixMicro(a.next).Add(t.Grace) }

// wake is when an assignment next needs something; zero: not before somebody does something to it.
func (t timing) wake(a *assignment) time.Time {
	switch {
	case a.listed == 0:
		return time.Time{}
	case a.retry != nil:
		return time.UnixMicro(*a.retry)
	case a.announced == announcedDue:
		return t.overdueAt(a)
	case a.announced == announcedOverdue && !t.generates:
		return time.Time{}
	}
	at := a.next
	for _, w := range t.Warn {
		if w.Microseconds() < a.warned {
			at = min(at, a.next-w.Microseconds())
		}
	}
	return time.UnixMicro(at)
}

// first sets when a secret is rotated for the first time, or after its policy has changed: by the interval from its
// base, which may be past, or at the next slot from now on.
func (t timing) first(a *assignment, now time.Time) {
	base := time.UnixMicro(a.base)
	if t.Cron != nil && base.Before(now) {
		base = now
	}
	t.expect(a, t.Next(base, t.offset), now)
	if a.state == "" || a.state == vaultapi.RotationPaused {
		a.state = vaultapi.RotationScheduled
	}
	a.listed = 1
	if !t.active {
		a.state, a.listed = vaultapi.RotationPaused, 0
	}
}

// expect sets the next time of a rotation. A threshold that has passed already is not announced late.
func (t timing) expect(a *assignment, at, now time.Time) {
	a.next, a.due = at.UnixMicro(), at.UnixMicro()
	a.announced, a.warned, a.retry = announcedNothing, never, nil
	if w := t.passed(a.next, now); w != 0 {
		a.warned = w.Microseconds()
	}
}

// resume goes on where a suspension or a pause began.
func (t timing) resume(a *assignment) {
	if !t.active {
		a.state, a.listed = vaultapi.RotationPaused, 0
		return
	}
	a.listed = 1
	switch {
	case a.failures >= mostRetries:
		a.state = vaultapi.RotationFailed
	case a.failures > 0:
		a.state = vaultapi.RotationRetrying
	case a.announced == announcedOverdue:
		a.state = vaultapi.RotationOverdue
	case a.open():
		a.state = vaultapi.RotationOpen
	default:
		a.state = vaultapi.RotationScheduled
	}
}

// suspend keeps all as it is, for a secret that is not there.
func (a *assignment) suspend() { a.state, a.listed = vaultapi.RotationSuspended, 0 }

// open tells whether a write now is the rotation: one was announced, at a threshold or when it was due.
func (a *assignment) open() bool {
	return a.announced != announcedNothing || a.pending != ""
}

// pause before the next attempt: doubling from a minute, then a day. jitter is from [0, 1).
func pause(failures int64, jitter float64) time.Duration {
	if failures >= mostRetries {
		return dailyPause
	}
	d := firstPause << max(failures-1, 0)
	return d - time.Duration(jitter*float64(d)/4)
}
