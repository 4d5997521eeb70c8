package target

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// refused turns the API server's refusal of a Secret into an error of our own words: its text may quote
// what was sent, and what was sent are values. Names of fields are kept.
func refused(d Desired, err error) error {
	var unanswered *url.Error
	if errors.As(err, &unanswered) { // it names an address and a cause, and nothing that was sent
		return fmt.Errorf("write Secret %s: %w", d.Name, unanswered)
	}
	own := fmt.Errorf("the API server refused Secret %s: %s%s", d.Name, reasonOf(err), fields(err))
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return reconcile.Stalled(v1alpha1.ReasonInvalidData, fmt.Errorf("%w; write the keys that its type asks for, or choose another spec.target.type", own))
	case apierrors.IsForbidden(err): // a policy of the cluster, a quota, or a namespace that is ending
		return reconcile.StalledFor(v1alpha1.ReasonInvalidTarget, conflictRecheck,
			fmt.Errorf("%w; an admission policy or a quota forbids it, or the namespace is ending: ask who runs the cluster", own))
	}
	return own
}

func reasonOf(err error) string {
	if r := apierrors.ReasonForError(err); r != metav1.StatusReasonUnknown {
		return string(r)
	}
	return "no answer"
}

// fields names the fields that the API server complained about.
func fields(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	var names []string
	for _, c := range status.Status().Details.Causes {
		names = append(names, fmt.Sprintf("%s (%s)", c.Field, c.Type))
	}
	slices.Sort(names)
	if len(names) == 0 {
		return ""
	}
	return ": " + strings.Join(slices.Compact(names), ", ")
}

// immutableField tells whether the API server refused because something may not change: the type, or
// any content of an immutable Secret.
func immutableField(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return strings.Contains(c.Message, "field is immutable")
	})
}
