package reconcile

import (
	"errors"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// stop is an error that ends a run with a known reason.
type stop struct {
	reason  string
	stalled bool
	after   time.Duration // 0: at the refresh interval
	err     error
}

func (s *stop) Error() string { return s.err.Error() }
func (s *stop) Unwrap() error { return s.err }

// Stalled says that somebody has to change something before another try makes sense. The object runs
// again on events and at its refresh interval, without a back-off.
func Stalled(reason string, err error) error { return &stop{reason: reason, stalled: true, err: err} }

// StalledFor is Stalled for what somebody may mend without an event that the operator would see: it
// looks again after a known time.
func StalledFor(reason string, after time.Duration, err error) error {
	return &stop{reason: reason, stalled: true, after: after, err: err}
}

// Waiting says that the operator tries again by itself after a known time.
func Waiting(reason string, after time.Duration, err error) error {
	return &stop{reason: reason, after: max(after, time.Millisecond), err: err}
}

// again asks for another run at once.
type again struct{ err error }

func (a *again) Error() string { return a.err.Error() }
func (a *again) Unwrap() error { return a.err }

// Again says that the run met a newer state than it had read: it is repeated from the start at once,
// and the status stays as it is.
func Again(err error) error { return &again{err: err} }

// transient is an error with a reason that is retried with a growing delay.
type transient struct {
	reason string
	err    error
}

func (t *transient) Error() string { return t.err.Error() }
func (t *transient) Unwrap() error { return t.err }

// Retrying gives a reason to an error that is retried with a growing delay. Any error that a step
// returns is retried so; this only names it.
func Retrying(reason string, err error) error { return &transient{reason: reason, err: err} }

// IsStalled tells whether err says that somebody has to act.
func IsStalled(err error) bool {
	var s *stop
	return errors.As(err, &s) && s.stalled
}

// Pause tells whether err is Stalled or Waiting, so that another try makes no sense before something changed, and after
// which time it does; 0 where err names none.
func Pause(err error) (after time.Duration, known bool) {
	var s *stop
	if !errors.As(err, &s) {
		return 0, false
	}
	return s.after, true
}

// HasKind tells whether err already says what follows from it.
func HasKind(err error) bool {
	var a *again
	return errors.As(err, &a) || ReasonOf(err) != ""
}

// noAnswer tells whether err, of no kind yet, says that the API server could not be reached.
func noAnswer(err error) bool {
	var status apierrors.APIStatus
	var unanswered *url.Error
	return err != nil && !HasKind(err) && !errors.As(err, &status) && errors.As(err, &unanswered)
}

// ReasonOf returns the reason that err carries, "" if none.
func ReasonOf(err error) string {
	var s *stop
	if errors.As(err, &s) {
		return s.reason
	}
	var t *transient
	if errors.As(err, &t) {
		return t.reason
	}
	return ""
}
