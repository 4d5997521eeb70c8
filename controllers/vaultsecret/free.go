package vaultsecret

import (
	"context"

	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Free gives back what an object holds whose operator goes: its keys in a Shared target, now. Any other target stays,
// and becomes what whenDeleted says when the object is deleted later, without anybody's help: one that is to be
// retained loses its owner reference, should it still have one.
func (r *Reconciler) Free(ctx context.Context, key kube.ObjectKey) (held bool, err error) {
	obj := &v1alpha1.VaultSecret{}
	if err := r.Runner.Client.Get(ctx, key, obj); err != nil {
		return false, kube.IgnoreNotFound(err)
	}
	switch retain := obj.Spec.WhenDeleted == v1alpha1.RetainTarget; {
	case shares(obj):
		return true, r.Writer.Depart(ctx, ownerOf(obj), targetNames(obj))
	case retain:
		return false, r.Writer.Release(ctx, ownerOf(obj), obj.TargetName(), true)
	}
	return false, nil
}
