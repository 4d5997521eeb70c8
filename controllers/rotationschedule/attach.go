package rotationschedule

import (
	"context"
	"fmt"
	"slices"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// assignmentPage is the size of a page of assignments; the vault allows 1000.
const assignmentPage = 1000

// attach puts exactly the selected secrets under the policy, each as the ServiceAccount, which has to hold rotate on
// its path. What it may not rotate is listed and left alone. Taking a secret away gives nobody anything, and must work
// for a ServiceAccount that is gone: the operator does that itself.
func (s *run) attach(ctx context.Context) error {
	if err := s.assigned(ctx); err != nil {
		return err
	}
	if err := s.detach(ctx); err != nil {
		return err
	}
	for _, path := range s.want {
		a, had := s.have[path]
		if had && a.AttachedBy == s.as.Identity && !denied(&a) {
			continue
		}
		if had && denied(&a) { // as if it were new: when the right is back, what was due is due
			if err := s.giveUp(ctx, path); err != nil {
				return err
			}
		}
		if err := s.take(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// assigned reads what is under the policy now.
func (s *run) assigned(ctx context.Context) error {
	for cursor := ""; ; {
		page, err := s.Rotation.Assignments(ctx, s.obj.Status.PolicyID, assignmentPage, cursor)
		if err != nil {
			return s.explain(err, "list the secrets of rotation policy "+s.obj.Status.PolicyID)
		}
		for _, a := range page.Secrets {
			s.have[a.Path] = a
		}
		if page.Cursor == nil || *page.Cursor == "" {
			return nil
		}
		cursor = *page.Cursor
	}
}

// detach takes away what is not selected any more.
func (s *run) detach(ctx context.Context) error {
	covers, err := pattern(&s.obj)
	if err != nil {
		return reconcile.Stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.secrets.pathPattern: %w", err))
	}
	for path, a := range s.have {
		if _, wanted := slices.BinarySearch(s.want, path); wanted || s.mayReturn(a, covers) {
			continue
		}
		if err := s.drop(ctx, s.obj.Status.PolicyID, path); err != nil {
			return err
		}
		delete(s.have, path)
	}
	return nil
}

func (s *run) drop(ctx context.Context, policyID, path string) error {
	if err := s.Rotation.Detach(ctx, policyID, path); err != nil && !vaultapi.IsNotFound(err) {
		return s.explain(err, "take "+path+" away")
	}
	return nil
}

// take puts one secret under the policy. One that another ServiceAccount of this object had put there is asked for
// anew, and given up if this one may not have it.
func (s *run) take(ctx context.Context, path string) error {
	got, err := s.as.Attach(ctx, s.obj.Status.PolicyID, path)
	switch {
	case err == nil:
		s.have[path] = *got
		return nil
	case vault.IsAssigned(err):
		return s.contend(ctx, path, err)
	case vaultapi.IsForbidden(err):
		s.refuse(path, v1alpha1.RefusedAccess, s.denial(err))
		return s.giveUp(ctx, path)
	case vault.IsMissing(err):
		s.refuse(path, v1alpha1.RefusedMissing, "the vault has no secret at this path; write it, or correct spec.secrets.paths")
		return nil
	}
	return vault.Explain(err, "have "+path+" rotated")
}

// denied tells whether the vault refused the last rotation because the ServiceAccount had lost the right.
func denied(a *vaultapi.RotationAssignment) bool {
	return a.Failures > 0 && a.LastError != nil && a.LastError.Code == codeDenied
}

// giveUp takes away a secret that this object may not have any more.
func (s *run) giveUp(ctx context.Context, path string) error {
	if _, had := s.have[path]; !had {
		return nil
	}
	delete(s.have, path)
	return s.drop(ctx, s.obj.Status.PolicyID, path)
}

func (s *run) refuse(path string, why v1alpha1.RefusalReason, message string) {
	s.refused = append(s.refused, v1alpha1.RefusedSecret{Path: path, Reason: why, Message: message})
}

// denial says what the ServiceAccount lacks.
func (s *run) denial(err error) string {
	need := "rotate"
	if s.obj.Spec.Mode == v1alpha1.RotationGenerate {
		need = "rotate and write"
	}
	return fmt.Sprintf("%s may not rotate it (%s); let a VaultPolicy name the ServiceAccount as a subject and allow %s on the path", s.as.Identity, vaultapi.Code(err), need)
}
