package pkiissuer

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

func request(obj kube.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: kube.ObjectKeyFromObject(obj)}
}

// SetupWithManager registers the controller. inbox receives what Sink puts in.
func (r *Issuers) SetupWithManager(mgr ctrl.Manager, inbox *reconcile.Inbox, o controller.Options) error {
	name := "pkiissuer"
	if r.Cluster {
		name = "clusterpkiissuer"
	}
	all := func(ctx context.Context, visit func(issuer)) { eachIssuer(ctx, mgr.GetClient(), r.Cluster, visit) }
	return ctrl.NewControllerManagedBy(mgr).Named(name).WithOptions(o).
		Watches(r.empty(), changes()).
		WatchesMetadata(&corev1.ServiceAccount{}, accounts(func(ctx context.Context, account kube.Object, q queue) {
			all(ctx, func(i issuer) {
				if who, ok := (&look{obj: i}).ownAccount(); ok && who == kube.ObjectKeyFromObject(account) {
					reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(i))
				}
			})
		})).
		WatchesRawSource(source.Func(inbox.Start)).
		Complete(r)
}

// changes queues what was made, changed, or asks to be looked at.
func changes() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(e.Object))
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			if obj := e.ObjectNew.(issuer); obj.GetGeneration() != e.ObjectOld.GetGeneration() || reconcile.Requested(obj) {
				reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(obj))
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(e.Object))
		},
	}
}

// accounts tells of ServiceAccounts that came or went.
func accounts(tell func(context.Context, kube.Object, queue)) handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList {
				tell(ctx, e.Object, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { tell(ctx, e.Object, q) },
	}
}

func eachIssuer(ctx context.Context, cached kube.Reader, cluster bool, visit func(issuer)) {
	if cluster {
		var l v1alpha1.ClusterPKIIssuerList
		if cached.List(ctx, &l, kube.UnsafeDisableDeepCopy) != nil {
			return // the cache ends with the process
		}
		for i := range l.Items {
			visit(&l.Items[i])
		}
		return
	}
	var l v1alpha1.PKIIssuerList
	if cached.List(ctx, &l, kube.UnsafeDisableDeepCopy) != nil {
		return
	}
	for i := range l.Items {
		visit(&l.Items[i])
	}
}
