package rotationschedule

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// failureRecheck is how often a rotation that failed is looked at besides the events.
const failureRecheck = time.Minute

// codeDenied is the code of a rotation that the vault refused because the ServiceAccount lost the right.
const codeDenied = "access_denied"

// report puts into the status what the vault says of the secrets, and ends the run of an object of which not
// everything is in order.
func (s *run) report(ctx context.Context) error {
	if err := s.won(ctx); err != nil {
		return err
	}
	s.summarize()
	s.list()
	return s.verdict()
}

// summarize counts.
func (s *run) summarize() {
	st := &s.obj.Status
	st.Secrets, st.Next, st.Last, st.Due, st.Overdue, st.Failed = int32(len(s.have)), nil, newest(s.have), 0, 0, 0
	for _, path := range slices.Sorted(maps.Keys(s.have)) {
		a := s.have[path]
		switch a.State {
		case vaultapi.RotationOpen:
			st.Due++
		case vaultapi.RotationOverdue:
			st.Overdue++
		case vaultapi.RotationFailed:
			st.Failed++
		}
		if n := a.NextRotationAt; n != nil && !n.IsZero() && (st.Next == nil || n.Before(st.Next.Time)) {
			st.Next = &metav1.Time{Time: n.Time}
		}
		if denied(&a) {
			s.refuse(path, v1alpha1.RefusedAccess, s.denial(&vaultapi.Error{Code: codeDenied}))
		}
	}
}

// list fills the lists.
func (s *run) list() {
	st := &s.obj.Status
	slices.SortFunc(s.refused, func(a, b v1alpha1.RefusedSecret) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(s.clashes, func(a, b v1alpha1.RotationConflict) int { return strings.Compare(a.Path, b.Path) })
	s.clashes = slices.CompactFunc(s.clashes, func(a, b v1alpha1.RotationConflict) bool { return a.Path == b.Path })
	var failures []v1alpha1.RotationFailure
	for _, path := range slices.Sorted(maps.Keys(s.have)) {
		if a := s.have[path]; a.Failures > 0 && a.LastError != nil && !denied(&a) {
			failures = append(failures, failure(&a))
		}
	}
	st.Refused, st.RefusedCount = capped(s.refused)
	st.Conflicts, st.ConflictCount = capped(s.clashes)
	st.Failures, st.FailureCount = capped(failures)
}

func capped[T any](all []T) ([]T, int32) {
	return all[:min(len(all), v1alpha1.StatusListLimit)], int32(len(all))
}

func failure(a *vaultapi.RotationAssignment) v1alpha1.RotationFailure {
	f := v1alpha1.RotationFailure{Path: a.Path, Code: a.LastError.Code, Message: a.LastError.Message, Attempts: int32(a.Failures)}
	if a.NextRotationAt != nil && !a.NextRotationAt.IsZero() {
		f.RetryAt = &metav1.Time{Time: a.NextRotationAt.Time}
	}
	return f
}

// verdict is what Ready says of a schedule that is in place: first what only a person can mend.
func (s *run) verdict() error {
	st := &s.obj.Status
	for _, why := range []v1alpha1.RefusalReason{v1alpha1.RefusedAccess, v1alpha1.RefusedConflict, v1alpha1.RefusedMissing} {
		if err := s.refusedFor(why); err != nil {
			return err
		}
	}
	if p := late(st.Rotations); p != nil {
		return reconcile.Stalled(v1alpha1.ReasonConsumersNotRolled, fmt.Errorf(
			"%s: version %d ended at the deadline, and not everything was seen to run with version %d: %s; restart what uses it, or see why it does not come up",
			p.Path, p.OldVersion, p.Version, p.WaitingFor))
	}
	if st.FailureCount > 0 {
		f := st.Failures[0]
		return reconcile.Waiting(v1alpha1.ReasonRotationFailed, failureRecheck, fmt.Errorf(
			"the rotation of %d secrets failed, such as %s (attempt %d, %s: %s); the vault tries again by itself", st.FailureCount, f.Path, f.Attempts, f.Code, f.Message))
	}
	if st.Overdue > 0 {
		return reconcile.Stalled(v1alpha1.ReasonRotationOverdue, fmt.Errorf(
			"%d secrets should have been rotated by now; which ones tells: scaivault rotation due; write the new version, or rotate it: scaivault secrets rotate PATH", st.Overdue))
	}
	return nil
}

// refusedFor is the error of secrets that are refused for a reason, nil if there are none.
func (s *run) refusedFor(why v1alpha1.RefusalReason) error {
	n, first := 0, v1alpha1.RefusedSecret{}
	for _, r := range s.refused {
		if r.Reason != why {
			continue
		}
		if n++; n == 1 {
			first = r
		}
	}
	if n == 0 {
		return nil
	}
	err := fmt.Errorf("%d of the selected secrets are not rotated, such as %s: %s", n, first.Path, first.Message)
	switch why {
	case v1alpha1.RefusedConflict:
		return reconcile.StalledFor(v1alpha1.ReasonConflict, conflictRecheck, err)
	case v1alpha1.RefusedMissing:
		return reconcile.Waiting(v1alpha1.ReasonSecretMissing, failureRecheck, err)
	}
	return reconcile.Stalled(v1alpha1.ReasonAccessDenied, err)
}

// late is the first rotation whose old version ended before its consumers were seen with the new one.
func late(all []v1alpha1.RotationProgress) *v1alpha1.RotationProgress {
	for i := range all {
		if all[i].DeadlinePassed {
			return &all[i]
		}
	}
	return nil
}
