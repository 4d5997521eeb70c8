package vaultsecret

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// A repair that follows another within fightWindow waits for fightPause: somebody puts back what we put back.
const (
	fightWindow = 2 * time.Second
	fightPause  = 250 * time.Millisecond
)

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// SetupWithManager registers the controller. inbox receives what Sink puts in.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, inbox *reconcile.Inbox, o controller.Options) error {
	if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	w := &watches{Reconciler: r, cached: mgr.GetClient()}
	return ctrl.NewControllerManagedBy(mgr).Named("vaultsecret").WithOptions(o).
		Watches(&v1alpha1.VaultSecret{}, w.objects()).
		WatchesMetadata(&corev1.Secret{}, w.targets()).
		WatchesMetadata(&corev1.ServiceAccount{}, w.accounts()).
		WatchesRawSource(source.Func(inbox.Start)).
		Complete(r)
}

// watches turn what the API server tells into queue entries.
type watches struct {
	*Reconciler
	cached  client.Reader
	repairs sync.Map // by UID of the object: when it was last queued for one
}

// objects queues VaultSecrets whose spec changed or that were asked for. At start, those that look
// finished are left to Sink.Everything, which compares them with the vault in bulk.
func (w *watches) objects() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			obj := e.Object.(*v1alpha1.VaultSecret)
			if !e.IsInInitialList || !finished(obj) {
				reconcile.Enqueue(q, priority(obj), 0, request(obj))
			}
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			obj := e.ObjectNew.(*v1alpha1.VaultSecret)
			if obj.Generation != e.ObjectOld.GetGeneration() || requested(obj) || obj.DeletionTimestamp != nil {
				reconcile.Enqueue(q, priority(obj), 0, request(obj))
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			obj := e.Object.(*v1alpha1.VaultSecret)
			if shares(obj) {
				w.left.Store(client.ObjectKeyFromObject(obj), targetNames(obj))
				reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(obj))
			}
			w.Writer.Memory.Forget(ownerOf(obj))
			w.Absences.Present(obj.UID)
			w.beyond.Delete(obj.UID)
			w.repairs.Delete(obj.UID)
		},
	}
}

func requested(obj *v1alpha1.VaultSecret) bool { return reconcile.Requested(obj) }

// finished tells whether nothing about the object itself asks for work.
func finished(obj *v1alpha1.VaultSecret) bool {
	return reconcile.Applied(obj) && !requested(obj) && obj.DeletionTimestamp == nil && !obj.Spec.Suspend && !owes(obj) &&
		obj.Status.SyncedDigest != "" && obj.Status.Target != nil && obj.Status.Target.Name == obj.TargetName()
}

// targets queues the writer of a Secret that somebody else wrote to, and all who want one that is gone.
func (w *watches) targets() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { w.drift(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { w.drift(ctx, e.ObjectNew, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			claims := w.claims(ctx, e.Object)
			for i := range claims {
				if obj := &claims[i]; w.Writer.Memory.Gone(ownerOf(obj), e.Object.GetUID()) {
					reconcile.Enqueue(q, reconcile.ChangePriority, w.pause(obj), request(obj))
				}
			}
		},
	}
}

// drift queues the object that made a Secret, whatever somebody took off the Secret since, and the one that the
// Secret names. Mostly they are one. Those that share it are queued only when it is their part that changed.
func (w *watches) drift(ctx context.Context, secret client.Object, q queue) {
	named, claims := nameOn(secret), w.claims(ctx, secret)
	for i := range claims {
		obj := &claims[i]
		made := recorded(obj.Status.Target)
		concerned := obj.Shared() || made.UID == secret.GetUID() || obj.Name == named
		if concerned && w.Writer.Disturbed(desired(obj, nil), made, reported(obj), secret) {
			reconcile.Enqueue(q, reconcile.ChangePriority, w.pause(obj), request(obj))
		}
	}
}

// pause is how long a repair waits: not at all, unless there was one just now.
func (w *watches) pause(obj *v1alpha1.VaultSecret) time.Duration {
	now := w.Now()
	last, before := w.repairs.Swap(obj.UID, now)
	if before && now.Sub(last.(time.Time)) < fightWindow {
		return fightPause
	}
	return 0
}

// claims finds the VaultSecrets that want to write a Secret: one, unless it is Shared or somebody made a mistake.
func (w *watches) claims(ctx context.Context, secret client.Object) []v1alpha1.VaultSecret {
	objs, err := list(ctx, w.cached, client.InNamespace(secret.GetNamespace()), client.MatchingFields{indexTarget: secret.GetName()})
	if err != nil {
		return nil // the cache ends with the process
	}
	return objs
}

// nameOn is the name of the VaultSecret that a Secret says it belongs to, "" if none.
func nameOn(secret client.Object) string {
	ref := metav1.GetControllerOfNoCopy(secret)
	switch {
	case ref == nil:
		return secret.GetAnnotations()[v1alpha1.AnnotationAdopt]
	case ref.Kind == "VaultSecret" && ref.APIVersion == v1alpha1.GroupVersion.String():
		return ref.Name
	}
	return ""
}

// accounts queues the VaultSecrets of a ServiceAccount that came, went or was annotated.
func (w *watches) accounts() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList {
				w.usersOf(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || !maps.Equal(e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()) {
				w.usersOf(ctx, e.ObjectNew, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			w.Accounts.Forget(e.Object.GetNamespace(), e.Object.GetName())
			w.usersOf(ctx, e.Object, q)
		},
	}
}

func (w *watches) usersOf(ctx context.Context, account client.Object, q queue) {
	objs, err := list(ctx, w.cached, client.InNamespace(account.GetNamespace()), client.MatchingFields{indexAccount: account.GetName()})
	if err != nil {
		return // the cache ends with the process
	}
	for i := range objs {
		reconcile.Enqueue(q, priority(&objs[i]), 0, request(&objs[i]))
	}
}
