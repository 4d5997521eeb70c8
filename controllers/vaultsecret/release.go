package vaultsecret

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
)

// release gives back what an object that is being deleted or is gone has in Shared Secrets. Kubernetes deletes any
// other target, or keeps it, as its owner reference says.
func (s *run) release(ctx context.Context, key types.NamespacedName) error {
	lives, err := reconcile.Lives(ctx, s.Writer.Live, "VaultSecret", key)
	if err != nil || lives {
		return err
	}
	var known []string // of one whose end was not seen, what the watch shows has to do
	if left, ok := s.left.Load(key); ok {
		known = left.([]string)
	} else if s.obj.Name != "" {
		known = targetNames(&s.obj)
	}
	if err := s.Writer.Depart(ctx, target.Owner{Kind: "VaultSecret", Namespace: key.Namespace, Name: key.Name}, known); err != nil {
		return err
	}
	s.left.Delete(key)
	return nil
}

// Sweep queues the objects that are gone and have a share in a Secret still: they were deleted while no operator ran.
func (s *Sink) Sweep(ctx context.Context) error {
	l := &metav1.PartialObjectMetadataList{}
	l.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := s.Cached.List(ctx, l, client.HasLabels{v1alpha1.LabelManaged}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Secrets: %w", err)
	}
	alive, err := s.managers(ctx)
	if err != nil {
		return err
	}
	for i := range l.Items {
		for _, name := range target.ShareOwners(&l.Items[i], "VaultSecret") {
			o := target.Owner{Kind: "VaultSecret", Namespace: l.Items[i].Namespace, Name: name}
			if !alive[o.Namespace+"/"+target.FieldManager(o)] {
				s.Inbox.Add(ctx, reconcile.ChangePriority, 0, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: o.Namespace, Name: name}})
			}
		}
	}
	return nil
}

// managers are namespace/manager of all objects, as managedFields name them.
func (s *Sink) managers(ctx context.Context) (map[string]bool, error) {
	objs, err := list(ctx, s.Cached)
	if err != nil {
		return nil, err
	}
	all := make(map[string]bool, len(objs))
	for i := range objs {
		all[objs[i].Namespace+"/"+target.FieldManager(ownerOf(&objs[i]))] = true
	}
	return all, nil
}
