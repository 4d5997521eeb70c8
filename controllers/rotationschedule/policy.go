package rotationschedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// conflictRecheck is how often it is tried again to get what another owner holds.
const conflictRecheck = 30 * time.Second

// policy makes the rotation policy in the vault say what the spec says. It is the operator's own, and holds no right:
// whether a secret may be rotated is decided for each path as the ServiceAccount.
func (s *run) policy(ctx context.Context) error {
	want, err := write(s.Cluster, &s.obj, s.Now())
	if err != nil {
		return reconcile.Stalled(v1alpha1.ReasonInvalidSpec, err)
	}
	have, err := s.find(ctx, want)
	if err != nil {
		return err
	}
	switch {
	case have == nil:
		have, err = s.Rotation.CreatePolicy(ctx, want)
	case have.Description != want.Description:
		have, err = s.Rotation.PatchPolicy(ctx, have.ID, patch(want))
	}
	if err == nil && !have.IsActive {
		have, err = s.Rotation.EnablePolicy(ctx, have.ID, want.Owner)
	}
	if err != nil {
		return s.explain(err, "write rotation policy "+want.Name)
	}
	s.obj.Status.PolicyID = have.ID
	return nil
}

// pause stops the rotations of an object whose ServiceAccount does not exist: nobody has its rights. The vault cannot
// know that it is gone, and would go by what policies say of its name. They go on when the ServiceAccount is back.
func (s *run) pause(ctx context.Context) error {
	name := policyName(s.Cluster, keyOf(&s.obj))
	have, err := s.Rotation.Policy(ctx, name)
	switch {
	case vaultapi.IsNotFound(err), err == nil && (have.Owner != ownerOf(s.Cluster, &s.obj) || !have.IsActive):
		return nil
	case err == nil:
		_, err = s.Rotation.DisablePolicy(ctx, have.ID, have.Owner)
	}
	if err != nil {
		return s.explain(err, "pause rotation policy "+name)
	}
	return nil
}

// find returns the policy of this object, nil if there is none. One that an earlier object of this name left behind is
// removed.
func (s *run) find(ctx context.Context, want vaultapi.RotationPolicyWrite) (*vaultapi.RotationPolicy, error) {
	have, err := s.Rotation.Policy(ctx, want.Name)
	switch {
	case vaultapi.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, s.explain(err, "look for rotation policy "+want.Name)
	case have.Owner == want.Owner:
		return have, nil
	case strings.HasPrefix(have.Owner, namePrefix(s.Cluster, keyOf(&s.obj))):
		if err := s.Rotation.DeletePolicy(ctx, have.ID, have.Owner); err != nil && !vaultapi.IsNotFound(err) {
			return nil, s.explain(err, "remove what an earlier RotationSchedule left")
		}
		return nil, nil
	}
	return nil, reconcile.StalledFor(v1alpha1.ReasonConflict, conflictRecheck,
		fmt.Errorf("rotation policy %s in the vault belongs to %s; rename this RotationSchedule or remove that policy", want.Name, whose(have.Owner)))
}

func whose(owner string) string {
	if owner == "" {
		return "an administrator"
	}
	return owner
}

// explain gives an error of a call as the operator its kind.
func explain(err error, doing string, refused func()) error {
	var e *vaultapi.Error
	switch {
	case vaultapi.IsUnauthenticated(err):
		refused()
	case vaultapi.IsInvalid(err) && errors.As(err, &e):
		return reconcile.Stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("%s: %s; correct spec.when, spec.generate or spec.grace", doing, e.Message))
	case vaultapi.IsForbidden(err):
		return reconcile.StalledFor(v1alpha1.ReasonAccessDenied, conflictRecheck,
			fmt.Errorf("%s: the vault does not let the operator: %w; start scaivault-server with --operator-service-account, so that it knows the operator", doing, err))
	}
	return vault.Explain(err, doing)
}
