package schedule

import (
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Text is a rotation schedule as people write it: exactly one of Interval and Cron, the rest as needed.
type Text struct {
	Interval          string
	Cron, TimeZone    string
	Window, Spread    string
	GracePeriod, Hold string // "": DefaultGrace; the period
	WarnBefore        []string
	From              time.Time // from which the slots of a cron are compared with the grace period
}

// Same tells whether two texts mean the same schedule; From does not count.
func (t Text) Same(other Text) bool {
	warn := slices.Equal(t.WarnBefore, other.WarnBefore)
	t.WarnBefore, t.From, other.WarnBefore, other.From = nil, time.Time{}, nil, time.Time{}
	return warn && reflect.DeepEqual(t, other)
}

// Plan is a schedule that was read: when each of its secrets is rotated, and what is due before and after.
type Plan struct {
	Interval time.Duration // 0: Cron
	Cron     *Cron
	Window   time.Duration // after a slot, in which a rotation may begin; 0: whenever it can
	Spread   time.Duration // over which the secrets of one plan are spread
	Grace    time.Duration // how long a previous version stays readable, and how long a write is waited for
	Hold     time.Duration // how long it stays readable unless it is ended before; at least Grace
	Warn     []time.Duration
}

// DefaultGrace is the grace period where none is given (contract section 6.1).
const DefaultGrace = 48 * time.Hour

const defaultSpread = time.Hour // of cron

// FieldError is a field of a Text that breaks a rule. Field is the wire's name.
type FieldError struct{ Field, Rule string }

// Error implements error.
func (e *FieldError) Error() string { return e.Field + " " + e.Rule }

// Read checks a text whole. The error joins *FieldErrors, one for each field that breaks a rule; durations that
// do not parse are *DurationErrors within them.
func Read(t Text) (Plan, error) {
	r := reader{}
	p := Plan{
		Interval: r.duration("interval", t.Interval), Window: r.duration("window", t.Window), Spread: r.duration("spread", t.Spread),
		Grace: r.duration("grace_period", t.GracePeriod), Hold: r.duration("grace_hold", t.Hold),
	}
	for _, w := range t.WarnBefore {
		p.Warn = append(p.Warn, r.duration("warn_before", w))
	}
	if t.GracePeriod == "" {
		p.Grace = DefaultGrace
	}
	if t.Hold == "" {
		p.Hold = p.Grace
	}
	p.Cron = r.cron(t)
	if len(r.errs) == 0 {
		r.check(t, &p)
	}
	return p, errors.Join(r.errs...)
}

type reader struct{ errs []error }

func (r *reader) fail(field, format string, args ...any) {
	r.errs = append(r.errs, &FieldError{field, fmt.Sprintf(format, args...)})
}

func (r *reader) duration(field, text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := ParseDuration(text)
	var wrong *DurationError
	if errors.As(err, &wrong) {
		r.errs = append(r.errs, errors.Join(&FieldError{field, "must be a duration such as 12h or 90d: " + wrong.Rule}, wrong))
	}
	return d
}

func (r *reader) cron(t Text) *Cron {
	if t.Cron == "" {
		if t.TimeZone != "" {
			r.fail("time_zone", "belongs to cron: leave it out with an interval")
		}
		if t.Window != "" {
			r.fail("window", "belongs to cron: leave it out with an interval")
		}
		return nil
	}
	c, err := ParseCron(t.Cron, t.TimeZone)
	var wrong *CronError
	if errors.As(err, &wrong) {
		r.fail(wrong.Field, "%s", wrong.Rule)
	}
	return &c
}

// check compares the fields with one another.
func (r *reader) check(t Text, p *Plan) {
	if (t.Interval == "") == (t.Cron == "") {
		r.fail("interval", "and cron: give exactly one of them")
		return
	}
	every := p.Interval
	if p.Cron != nil {
		every = p.Cron.shortest(t.From)
	}
	r.checkSpread(t, p, every)
	r.checkGrace(t, p, every)
}

// checkSpread sets the spread of a cron that gives none: an hour, or less where the window or the slots are closer.
func (r *reader) checkSpread(t Text, p *Plan, every time.Duration) {
	switch {
	case p.Window > every:
		r.fail("window", "of %s is longer than the time between two slots, %s", t.Window, spell(every))
	case t.Spread == "" && p.Cron != nil:
		p.Spread = min(defaultSpread, every)
		if p.Window != 0 {
			p.Spread = min(p.Spread, p.Window)
		}
	case p.Window != 0 && p.Spread > p.Window:
		r.fail("spread", "of %s is longer than the window, %s", t.Spread, t.Window)
	case p.Spread != 0 && p.Spread >= every:
		r.fail("spread", "of %s must be shorter than the time between two rotations, %s", t.Spread, spell(every))
	}
}

func (r *reader) checkGrace(t Text, p *Plan, every time.Duration) {
	if every < p.Grace {
		r.fail("grace_period", "of %s is longer than the time between two rotations, %s: give a shorter one", spell(p.Grace), spell(every))
	}
	switch {
	case t.Hold == "":
	case p.Hold < p.Grace:
		r.fail("grace_hold", "of %s must not be shorter than the grace period, %s", t.Hold, spell(p.Grace))
	case every < p.Hold:
		r.fail("grace_hold", "of %s is longer than the time between two rotations, %s: give a shorter one", t.Hold, spell(every))
	}
}

// spell writes a duration as people would.
func spell(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

// Offset is a path's fixed place within the spread: the same each time, and even over many paths.
func (p Plan) Offset(tenant, path string) time.Duration {
	if p.Spread <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join([]string{tenant, path}, "\x00"))) // a hash takes all
	x := h.Sum64()
	x ^= x >> 33 // FNV's high bits of short texts are alike
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return time.Duration(x % uint64(p.Spread))
}

// Next is when a secret that was last rotated at a time is rotated again. The interval's offset comes off, so that
// no secret gets older than promised.
func (p Plan) Next(last time.Time, offset time.Duration) time.Time {
	if p.Cron == nil {
		return last.Add(p.Interval - offset)
	}
	return p.Cron.Next(last).Add(offset)
}

// Missed tells whether a rotation that was due at a time may not begin any more, because its window is over, and
// when it may instead: in the window that is open, or at the next slot.
func (p Plan) Missed(due, now time.Time, offset time.Duration) (bool, time.Time) {
	slot := due.Add(-offset)
	if p.Window == 0 || now.Before(slot.Add(p.Window)) {
		return false, due
	}
	next := p.Cron.Next(now.Add(-p.Window)).Add(offset)
	if next.Before(now) {
		next = now
	}
	return true, next
}
