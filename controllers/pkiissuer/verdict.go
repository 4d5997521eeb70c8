package pkiissuer

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// Reasons of requests, besides those of v1alpha1. They begin the message of a request that is Pending, and are the
// reasons of its events.
const (
	// ReasonIssued: the certificate is in the status.
	ReasonIssued = "Issued"
	// ReasonIssuerMissing: there is no issuer of that name.
	ReasonIssuerMissing = "IssuerMissing"
	// ReasonNotServed: the issuer does not serve who asks, or not by this way.
	ReasonNotServed = "NotServed"
	// ReasonReferenceDenied: who asks has no verb reference on the issuer.
	ReasonReferenceDenied = "ReferenceDenied"
	// ReasonRequestRefused: what is asked for is malformed, or nothing that the role allows. Final.
	ReasonRequestRefused = "RequestRefused"
	// ReasonAnswerUnfit: what the vault signed is not for the key of the request, or of no use. Final, because another
	// try could make another certificate each time.
	ReasonAnswerUnfit = "AnswerUnfit"
	// ReasonRequestDenied: somebody denied the request. Final.
	ReasonRequestDenied = "RequestDenied"
)

const (
	// lookAgain is how often a request that waits for somebody is tried again, besides what tells of a change.
	lookAgain = time.Minute
	// retrySpread spreads the tries of requests that were made together.
	retrySpread = 0.2
	// staleRetry is the pause after a status patch that met a newer object.
	staleRetry = 50 * time.Millisecond
)

// refusal is an error that ends a request: no later try can do better, because a request never changes.
type refusal struct {
	reason string
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(reason string, err error) error { return &refusal{reason: reason, err: err} }

// verdict is what came of a request.
type verdict struct {
	final   bool // there is no other try
	reason  string
	message string
	retry   error // with a growing delay; nil: after a pause, and when told of a change
	pause   time.Duration
}

// judge is the whole decision about what an error means for a request. Final is only what the request itself brings: a
// right, a role, or a vault may come back, and who asked waits for it. Failed would end the request, and cert-manager
// would wait an hour or more before it makes another.
func judge(err error) verdict {
	v := verdict{message: err.Error(), reason: reconcile.ReasonOf(err), pause: lookAgain}
	pause, known := reconcile.Pause(err)
	var r *refusal
	switch {
	case errors.As(err, &r):
		v.final, v.reason = true, r.reason
	case known && pause > 0:
		v.pause = min(pause, lookAgain)
	case !known:
		v.retry = err
	}
	if v.reason == "" {
		v.reason = v1alpha1.ReasonRetrying
	}
	v.message = reconcile.Clip(v.message)
	return v
}

// next says when a request that is not finished is tried again.
func (v verdict) next() (ctrl.Result, error) {
	if v.retry != nil {
		return ctrl.Result{}, v.retry
	}
	low := reconcile.RefreshPriority
	return ctrl.Result{RequeueAfter: wait.Jitter(v.pause, retrySpread), Priority: &low}, nil
}

// patchStatus patches the status of an object if it changed. The patch carries the resourceVersion: it replaces lists of
// conditions, and an approval or denial that came meanwhile must not get lost.
func patchStatus(ctx context.Context, c kube.Client, before, obj kube.Object) error {
	if equality.Semantic.DeepEqual(before, obj) {
		return nil
	}
	return c.Status().Patch(ctx, obj, kube.MergeFromWithOptions(before, kube.MergeFromWithOptimisticLock{}))
}

// after says what a status that could not be written means.
func after(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) { // our copy was old: look at the newer one
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	return ctrl.Result{}, kube.IgnoreNotFound(err)
}
