package rotationschedule

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// contend settles who rotates a secret that is under another policy. That the vault tells so means that it would let
// this object's ServiceAccount rotate the secret: it asks for the right first. Of two RotationSchedules the older one
// has it, and both say so; whatever else has it keeps it.
func (s *run) contend(ctx context.Context, path string, cause error) error {
	holder := holderOf(cause)
	key, uid, ours := scheduleOf(s.Cluster, holder.owner)
	if !ours {
		s.refuse(path, v1alpha1.RefusedConflict, fmt.Sprintf("rotation policy %s of %s rotates it; take it out there first", holder.policy, whose(holder.owner)))
		return nil
	}
	other, err := s.living(ctx, key, uid)
	if err != nil {
		return err
	}
	if other != nil && !before(&s.obj, other) {
		s.clash(path, key, key)
		s.refuse(path, v1alpha1.RefusedConflict, fmt.Sprintf("RotationSchedule %s, which is older, rotates it; take it out of one of the two", key))
		return nil
	}
	if err := s.drop(ctx, holder.policy, path); err != nil {
		return err
	}
	got, err := s.as.Attach(ctx, s.obj.Status.PolicyID, path)
	if err != nil {
		return vault.Explain(err, "have "+path+" rotated")
	}
	s.have[path] = *got
	if other != nil {
		s.clash(path, key, keyOf(&s.obj)) // which has the other one look again
	}
	return nil
}

// holder is the rotation policy that has a path.
type holder struct{ policy, owner string }

func holderOf(err error) (h holder) {
	var e *vaultapi.Error
	if errors.As(err, &e) {
		h.policy, _ = e.Details["policy_id"].(string)
		h.owner, _ = e.Details["owner"].(string)
	}
	return h
}

// living returns an object that is there and stays, nil if it is gone: what it left in the vault is swept.
func (s *run) living(ctx context.Context, key types.NamespacedName, uid types.UID) (*v1alpha1.RotationSchedule, error) {
	other := &v1alpha1.RotationSchedule{}
	err := s.Live.Get(ctx, key, other)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look at RotationSchedule %s: %w", key, err)
	case other.UID != uid || other.DeletionTimestamp != nil:
		return nil, nil
	}
	return other, nil
}

// before tells whether a was made before b; of two that were made in one second, the one with the lesser UID.
func before(a, b *v1alpha1.RotationSchedule) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.UID < b.UID
}

func (s *run) clash(path string, with, winner types.NamespacedName) {
	s.clashes = append(s.clashes, v1alpha1.RotationConflict{Path: path, With: with.String(), RotatedBy: winner.String()})
}

// won lists the secrets that this object rotates and that others want as well, as those say in their statuses.
func (s *run) won(ctx context.Context) error {
	all, err := list(ctx, s.Cached)
	if err != nil {
		return err
	}
	me := keyOf(&s.obj)
	for i := range all {
		for _, c := range all[i].Status.Conflicts {
			if _, mine := s.have[c.Path]; mine && c.RotatedBy == me.String() && keyOf(&all[i]) != me {
				s.clash(c.Path, keyOf(&all[i]), me)
			}
		}
	}
	return nil
}
