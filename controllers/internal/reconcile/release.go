package reconcile

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// release runs the cleanup of a deleted object and lets it go: after success, or after two minutes
// with a warning, because a vault that is gone must not keep a namespace from ending.
func (r *Runner) release(ctx context.Context, obj Object, plan Plan) (ctrl.Result, error) {
	if plan.Finalizer == "" || !controllerutil.ContainsFinalizer(obj, plan.Finalizer) {
		return ctrl.Result{}, nil
	}
	err := plan.Cleanup(ctx)
	if err != nil && r.Now().Sub(obj.GetDeletionTimestamp().Time) < releaseLimit {
		return r.keepReleasing(ctx, obj, err)
	}
	if err != nil {
		r.Events.Eventf(obj, nil, corev1.EventTypeWarning, "ReleaseAbandoned", "Release",
			"gave up after %s and let the object go; what is left in the vault is swept later: %s", releaseLimit, clip(err.Error()))
	}
	base := obj.DeepCopyObject().(client.Object)
	controllerutil.RemoveFinalizer(obj, plan.Finalizer)
	err = r.Client.Patch(ctx, obj, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

func (r *Runner) keepReleasing(ctx context.Context, obj Object, err error) (ctrl.Result, error) {
	before := obj.DeepCopyObject().(Object)
	o := conclude(Waiting(v1alpha1.ReasonReleasing, releaseRetry, err), false)
	o.record(obj, r.Now())
	if err := r.save(ctx, before, obj); err != nil && !apierrors.IsConflict(err) {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.announce(before, obj, o)
	left := releaseLimit - r.Now().Sub(obj.GetDeletionTimestamp().Time)
	return ctrl.Result{RequeueAfter: max(time.Second, min(releaseRetry, left))}, nil
}
