package rotationschedule

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/client"
)

const (
	// calm is how long a look is put off after an event that may come in great numbers, so that many cause one.
	calm = 5 * time.Second
	// shortly is the same for rotations, each of which makes several events.
	shortly = 200 * time.Millisecond
)

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// SetupWithManager registers the controller. inbox receives what Sink puts in.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, inbox *reconcile.Inbox, o controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).Named("rotationschedule").WithOptions(o).
		Watches(&v1alpha1.RotationSchedule{}, objects()).
		WatchesMetadata(&corev1.ServiceAccount{}, accounts(mgr.GetClient())).
		WatchesRawSource(source.Func(inbox.Start)).
		Complete(r)
}

func request(key types.NamespacedName) ctrl.Request { return ctrl.Request{NamespacedName: key} }

// objects queues what changed, and with it the objects that it takes secrets from or loses them to.
func objects() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(kube.ObjectKeyFromObject(e.Object)))
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			was, obj := e.ObjectOld.(*v1alpha1.RotationSchedule), e.ObjectNew.(*v1alpha1.RotationSchedule)
			if obj.Generation != was.Generation || reconcile.Requested(obj) || obj.DeletionTimestamp != nil {
				reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(keyOf(obj)))
			}
			if !slices.Equal(was.Status.Conflicts, obj.Status.Conflicts) {
				rivals(q, was)
				rivals(q, obj)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			obj := e.Object.(*v1alpha1.RotationSchedule)
			reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(keyOf(obj)))
			rivals(q, obj)
		},
	}
}

// rivals queues the objects that one has conflicts with.
func rivals(q queue, obj *v1alpha1.RotationSchedule) {
	for _, c := range obj.Status.Conflicts {
		if ns, name, ok := strings.Cut(c.With, "/"); ok {
			reconcile.Enqueue(q, reconcile.ChangePriority, shortly, request(types.NamespacedName{Namespace: ns, Name: name}))
		}
	}
}

// accounts queues the objects of a ServiceAccount that came or went.
func accounts(cached kube.Reader) handler.EventHandler {
	users := func(ctx context.Context, account kube.Object, q queue) {
		objs, err := list(ctx, cached, kube.InNamespace(account.GetNamespace()))
		if err != nil {
			return // the cache ends with the process
		}
		for i := range objs {
			if objs[i].ServiceAccount() == account.GetName() {
				reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(keyOf(&objs[i])))
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList {
				users(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetUID() != e.ObjectNew.GetUID() {
				users(ctx, e.ObjectNew, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { users(ctx, e.Object, q) },
	}
}

// Sink turns what the event feed sees into queue entries.
type Sink struct {
	Cached     kube.Reader
	Live       kube.Reader      // the API server itself
	Vault      *client.Rotation // as the operator
	Guard      guard
	Cluster    string
	Namespaces []string // that are served; empty: all
	Inbox      *reconcile.Inbox
}

var (
	_ vault.Sink         = (*Sink)(nil)
	_ vault.RotationSink = (*Sink)(nil)
)

// Secret queues the objects that select a path, or may: of tags nothing is known here.
func (s *Sink) Secret(ctx context.Context, path string) { s.selecting(ctx, path) }

// Rotation queues the objects that rotate a path.
func (s *Sink) Rotation(ctx context.Context, path string) { s.selecting(ctx, path) }

func (s *Sink) selecting(ctx context.Context, path string) {
	s.each(ctx, func(obj *v1alpha1.RotationSchedule) {
		covers, err := pattern(obj)
		named := slices.Contains(obj.Spec.Secrets.Paths, v1alpha1.SecretPath(path))
		switch {
		case named, err == nil && covers != nil && covers.Match(path, obj.Namespace):
			s.Inbox.Add(ctx, reconcile.ChangePriority, shortly, request(keyOf(obj)))
		case len(obj.Spec.Secrets.Tags) > 0:
			s.Inbox.Add(ctx, reconcile.RefreshPriority, calm, request(keyOf(obj)))
		}
	})
}

// Policies queues every object that is not well at once, because a policy may be what it waits for, and the others
// later, because one may have been taken from them.
func (s *Sink) Policies(ctx context.Context, _ []string) {
	s.each(ctx, func(obj *v1alpha1.RotationSchedule) {
		if reconcile.Applied(obj) {
			s.Inbox.Add(ctx, reconcile.RefreshPriority, wait.Jitter(calm, 1), request(keyOf(obj)))
		} else {
			s.Inbox.Add(ctx, reconcile.ChangePriority, 0, request(keyOf(obj)))
		}
	})
}

// Replaced queues everything, so that it says so.
func (s *Sink) Replaced(ctx context.Context) { s.all(ctx) }

// Everything queues everything and sweeps.
func (s *Sink) Everything(ctx context.Context) error {
	s.all(ctx)
	return s.Sweep(ctx)
}

func (s *Sink) all(ctx context.Context) {
	s.each(ctx, func(obj *v1alpha1.RotationSchedule) {
		s.Inbox.Add(ctx, reconcile.ChangePriority, 0, request(keyOf(obj)))
	})
}

func (s *Sink) each(ctx context.Context, do func(*v1alpha1.RotationSchedule)) {
	objs, err := list(ctx, s.Cached)
	if err != nil {
		return // the cache ends with the process
	}
	for i := range objs {
		do(&objs[i])
	}
}
