package main

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Reasons that the operator does not give, because it has not looked or may not.
const (
	reasonUnseen    = "NotSeenYet"
	reasonSuspended = "Suspended"
	reasonBehind    = "SpecNotSeenYet"
)

// object is either of our kinds.
type object interface {
	client.Object
	ObjectStatus() *v1alpha1.ObjectStatus
}

// state is how an object is, in the operator's words where it has any.
type state struct {
	Ready   string     `json:"ready"` // True, False or Unknown
	Reason  string     `json:"reason"`
	Message string     `json:"message,omitempty"`
	Since   *time.Time `json:"since,omitempty"`
	// Blocked tells whether something keeps the object from being, or staying, as its spec says.
	Blocked bool   `json:"blocked"`
	Next    string `json:"next,omitempty"` // what to do about it
}

// stateOf reads the conditions of an object. Trouble that has not ended Ready yet is told before Ready.
func stateOf(o object) state {
	s := told(o)
	if s.Blocked {
		s.Next = nextStep(o, s.Reason)
	}
	return s
}

func told(o object) state {
	all := o.ObjectStatus().Conditions
	ready := meta.FindStatusCondition(all, v1alpha1.ConditionReady)
	if v, ok := o.(*v1alpha1.VaultSecret); ok && v.Spec.Suspend {
		return state{Ready: statusOf(ready), Reason: reasonSuspended, Message: "spec.suspend is true: the operator leaves this object alone", Blocked: true}
	}
	worst := ready
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if c := meta.FindStatusCondition(all, kind); c != nil && c.Status == metav1.ConditionTrue {
			worst = c
		}
	}
	switch {
	case worst == nil:
		return state{Ready: statusOf(ready), Reason: reasonUnseen, Message: "the operator has not looked at this object", Blocked: true}
	case o.ObjectStatus().ObservedGeneration < o.GetGeneration():
		return state{Ready: statusOf(ready), Reason: reasonBehind, Message: "the operator has not looked at the newest spec", Blocked: true}
	}
	s := state{Ready: statusOf(ready), Reason: worst.Reason, Message: worst.Message, Since: &worst.LastTransitionTime.Time}
	s.Blocked = s.Ready != string(metav1.ConditionTrue) || worst != ready
	return s
}

func statusOf(c *metav1.Condition) string {
	if c == nil {
		return string(metav1.ConditionUnknown)
	}
	return string(c.Status)
}
