package vaultsecret

import (
	"context"

	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Free lets an object go whose operator goes. What it holds beside others in a Shared target is released now. Any
// other target stays, and becomes what whenDeleted says when the object is deleted later, without anybody's help:
// one that is to be retained loses its owner reference, should it still have one. Forced, the object is let go
// whatever comes of that.
func (r *Reconciler) Free(ctx context.Context, key kube.ObjectKey, force bool) (held bool, err error) {
	s := &run{Reconciler: r}
	plan := s.course()
	if force {
		plan.Cleanup = func(context.Context) error { return nil }
	}
	held, err = r.Runner.Free(ctx, key, &s.obj, plan)
	if err != nil || held || s.shares() || s.obj.Spec.WhenDeleted != v1alpha1.RetainTarget {
		return held, err
	}
	return held, r.Writer.Release(ctx, s.owner(), s.obj.TargetName(), true)
}
