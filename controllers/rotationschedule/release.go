package rotationschedule

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// release removes the rotation policy of a RotationSchedule that is being deleted or is gone. Its secrets stay as they
// are, and what was rotated last keeps its grace.
func (s *run) release(ctx context.Context, key types.NamespacedName) error {
	lives, err := reconcile.Lives(ctx, s.Live, "RotationSchedule", key)
	if err != nil || lives {
		return err
	}
	if s.obj.UID != "" {
		s.done.Delete(s.obj.UID)
	}
	if err := s.Guard.Check(ctx); err != nil {
		return err
	}
	have, err := s.Rotation.Policy(ctx, policyName(s.Cluster, key))
	switch {
	case vaultapi.IsNotFound(err), err == nil && !strings.HasPrefix(have.Owner, namePrefix(s.Cluster, key)):
		return nil
	case err != nil:
		return s.explain(err, "look for rotation policy "+policyName(s.Cluster, key))
	}
	if err := s.Rotation.DeletePolicy(ctx, have.ID, have.Owner); err != nil && !vaultapi.IsNotFound(err) {
		return s.explain(err, "remove rotation policy "+have.Name)
	}
	return nil
}

// Sweep removes rotation policies whose RotationSchedule is gone: it was deleted while the vault was away, or the
// operator.
func (s *Sink) Sweep(ctx context.Context) error {
	owned, err := s.owned(ctx)
	if err != nil || len(owned) == 0 {
		return err
	}
	// Only now, and from the API server itself: whatever made one of these policies is in the list if it lives.
	alive := map[string]bool{}
	for _, ns := range s.namespaces() {
		objs, err := list(ctx, s.Live, kube.InNamespace(ns))
		if err != nil {
			return err
		}
		for i := range objs {
			alive[ownerOf(s.Cluster, &objs[i])] = true
		}
	}
	return s.remove(ctx, slices.DeleteFunc(owned, func(p vaultapi.RotationPolicy) bool { return alive[p.Owner] }))
}

// namespaces are those to look into; "" is all of them.
func (s *Sink) namespaces() []string {
	if len(s.Namespaces) == 0 {
		return []string{""}
	}
	return s.Namespaces
}

// ReleaseAll removes the rotation policies of all RotationSchedules: the operator goes.
func (s *Sink) ReleaseAll(ctx context.Context) error {
	owned, err := s.owned(ctx)
	if err != nil {
		return err
	}
	return s.remove(ctx, owned)
}

// owned lists the rotation policies that RotationSchedules of this cluster, in the namespaces that are served, made.
func (s *Sink) owned(ctx context.Context) ([]vaultapi.RotationPolicy, error) {
	if err := s.Guard.Check(ctx); err != nil {
		return nil, err
	}
	var all []vaultapi.RotationPolicy
	filter := client.RotationPolicyFilter{Owner: ownerPrefix(s.Cluster)}
	for {
		page, err := s.Vault.Policies(ctx, filter)
		if err != nil {
			return nil, explain(err, "list the rotation policies of cluster "+s.Cluster, func() {})
		}
		for _, p := range page.Policies {
			if key, _, ours := scheduleOf(s.Cluster, p.Owner); ours && s.serves(key.Namespace) {
				all = append(all, p)
			}
		}
		if page.Cursor == nil || *page.Cursor == "" {
			return all, nil
		}
		filter.Cursor = *page.Cursor
	}
}

func (s *Sink) serves(namespace string) bool {
	return len(s.Namespaces) == 0 || slices.Contains(s.Namespaces, namespace)
}

func (s *Sink) remove(ctx context.Context, policies []vaultapi.RotationPolicy) error {
	for _, p := range policies {
		if err := s.Vault.DeletePolicy(ctx, p.ID, p.Owner); err != nil && !vaultapi.IsNotFound(err) {
			return explain(err, "remove rotation policy "+p.Name, func() {})
		}
	}
	return nil
}

func list(ctx context.Context, from kube.Reader, opts ...kube.ListOption) ([]v1alpha1.RotationSchedule, error) {
	var l v1alpha1.RotationScheduleList
	if err := from.List(ctx, &l, append(opts, kube.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("list RotationSchedules: %w", err)
	}
	return l.Items, nil
}
