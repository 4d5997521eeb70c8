package reconcile

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// messageLimit keeps a condition readable; Kubernetes allows 32768 bytes.
const messageLimit = 1024

// requestLimit is the room that a status has for the echo of a request.
const requestLimit = 256

// outcome is what a run concluded: the conditions to set and when to run again.
type outcome struct {
	ready       metav1.ConditionStatus
	reconciling bool
	stalled     bool
	reason      string
	message     string
	after       time.Duration // 0: at the refresh interval
	retry       error         // not nil: with a growing delay
}

// conclude is the whole decision about what an error of a step means. applied tells whether the
// outside already agreed with this generation: then trouble in looking again does not end Ready.
func conclude(err error, applied bool) outcome {
	if err == nil {
		return outcome{ready: metav1.ConditionTrue}
	}
	o := outcome{ready: metav1.ConditionFalse, reason: ReasonOf(err), message: Clip(err.Error())}
	var s *stop
	switch {
	case errors.As(err, &s):
		o.stalled, o.reconciling, o.after = s.stalled, !s.stalled, s.after
	default:
		o.reconciling, o.retry = true, err
		if o.reason == "" {
			o.reason = v1alpha1.ReasonRetrying
		}
		if applied {
			o.ready = metav1.ConditionTrue
		}
	}
	return o
}

// Applied tells whether the outside agreed with the present spec when it was last looked at: Ready is
// true for this generation.
func Applied(obj Object) bool {
	c := meta.FindStatusCondition(obj.ObjectStatus().Conditions, v1alpha1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == obj.GetGeneration()
}

// Asked is what scaivault.io/requestedAt of an object says, as far as a status can echo it.
func Asked(obj Object) string {
	return clipTo(obj.GetAnnotations()[v1alpha1.AnnotationRequestedAt], requestLimit)
}

// Requested tells whether scaivault.io/requestedAt asks for something that was not done yet.
func Requested(obj Object) bool { return Asked(obj) != obj.ObjectStatus().LastHandledRequest }

// record writes an outcome into the status.
func (o outcome) record(obj Object, now time.Time) {
	s := obj.ObjectStatus()
	s.ObservedGeneration = obj.GetGeneration()
	if o.ready != metav1.ConditionTrue || !o.reconciling { // else Ready keeps its reason: the trouble is Reconciling's
		o.set(obj, v1alpha1.ConditionReady, o.ready, now)
	}
	o.toggle(obj, v1alpha1.ConditionReconciling, o.reconciling, now)
	o.toggle(obj, v1alpha1.ConditionStalled, o.stalled, now)
}

func (o outcome) toggle(obj Object, kind string, on bool, now time.Time) {
	if on {
		o.set(obj, kind, metav1.ConditionTrue, now)
		return
	}
	meta.RemoveStatusCondition(&obj.ObjectStatus().Conditions, kind)
}

func (o outcome) set(obj Object, kind string, status metav1.ConditionStatus, now time.Time) {
	meta.SetStatusCondition(&obj.ObjectStatus().Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: o.reason, Message: o.message,
		ObservedGeneration: obj.GetGeneration(), LastTransitionTime: metav1.NewTime(now),
	})
}

// Clip cuts a message to what a condition holds.
func Clip(s string) string { return clipTo(s, messageLimit) }

// clipTo cuts s to at most limit bytes without splitting a character.
func clipTo(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}
