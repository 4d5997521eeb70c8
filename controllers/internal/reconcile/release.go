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
	err = r.unhold(ctx, obj, plan.Finalizer)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	return ctrl.Result{}, err
}

func (r *Runner) unhold(ctx context.Context, obj Object, finalizer string) error {
	base := obj.DeepCopyObject().(client.Object)
	controllerutil.RemoveFinalizer(obj, finalizer)
	return client.IgnoreNotFound(r.Client.Patch(ctx, obj, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})))
}

// Free runs the cleanup of an object and lets it go although it is not being deleted: the operator itself goes, and
// nothing may wait for it. It tells whether the object held anything. Only the runner's Client is needed.
func (r *Runner) Free(ctx context.Context, key client.ObjectKey, obj Object, plan Plan) (held bool, err error) {
	if err := r.Client.Get(ctx, key, obj); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if plan.Finalizer == "" || !controllerutil.ContainsFinalizer(obj, plan.Finalizer) {
		return false, nil
	}
	if err := plan.Cleanup(ctx); err != nil {
		return true, err
	}
	return true, r.unhold(ctx, obj, plan.Finalizer)
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
