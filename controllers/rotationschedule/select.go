package rotationschedule

import (
	"context"
	"fmt"
	"slices"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// selectLimit is how many secrets one object may rotate.
const selectLimit = 10_000

// choose finds the secrets that the spec selects: those that it names, and those that pattern and tags stand for as
// far as the ServiceAccount may list them.
func (s *run) choose(ctx context.Context) error {
	for _, p := range s.obj.Spec.Secrets.Paths {
		s.want = append(s.want, string(p))
	}
	covers, err := pattern(&s.obj)
	if err != nil {
		return reconcile.Stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.secrets.pathPattern: %w", err))
	}
	tags := s.obj.Spec.Secrets.Tags
	if covers != nil {
		within := literal(covers.String())
		err = s.chooseBelow(ctx, within, func(i vaultapi.SecretInfo) bool { return covers.Match(i.Path, s.obj.Namespace) })
	}
	if err == nil && len(tags) > 0 {
		err = s.chooseBelow(ctx, "", func(i vaultapi.SecretInfo) bool { return tagged(i, tags) })
	}
	slices.Sort(s.want)
	s.want = slices.Compact(s.want)
	if err == nil && len(s.want) > selectLimit {
		return reconcile.Stalled(v1alpha1.ReasonTooManySecrets,
			fmt.Errorf("spec.secrets stands for more than %d secrets; use narrower patterns, or several RotationSchedules", selectLimit))
	}
	return err
}

func tagged(i vaultapi.SecretInfo, with []string) bool {
	return slices.ContainsFunc(i.Tags, func(t string) bool { return slices.Contains(with, t) })
}

func (s *run) chooseBelow(ctx context.Context, prefix string, match func(vaultapi.SecretInfo) bool) error {
	paths, err := s.as.Select(ctx, prefix, match, selectLimit)
	switch {
	case vaultapi.IsForbidden(err):
		return vault.DeniedBelow(s.as.Identity, prefix, vaultapi.Code(err))
	case err != nil:
		return vault.Explain(err, "list the secrets that spec.secrets selects")
	}
	s.want = append(s.want, paths...)
	return nil
}

// mayReturn tells whether a secret that is not listed now may be one that the spec selects when it is there again: the
// vault keeps the schedule of a deleted secret for the case that it is restored.
func (s *run) mayReturn(a vaultapi.RotationAssignment, covers *policy.Pattern) bool {
	return a.State == vaultapi.RotationSuspended &&
		(len(s.obj.Spec.Secrets.Tags) > 0 || covers != nil && covers.Match(a.Path, s.obj.Namespace))
}
