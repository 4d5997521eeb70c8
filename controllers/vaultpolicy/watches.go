package vaultpolicy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// echoCalm is how long a look is put off after an event about our own policy, which is mostly the echo
// of our own write.
const echoCalm = 2 * time.Second

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// SetupWithManager registers the controller. inbox receives what Sink puts in.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, inbox *reconcile.Inbox, o controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).Named("vaultpolicy").WithOptions(o).
		Watches(&v1alpha1.VaultPolicy{}, objects()).
		WatchesMetadata(&corev1.Namespace{}, selecting(mgr.GetClient())).
		WatchesRawSource(source.Func(inbox.Start)).
		Complete(r)
}

func request(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Name: name}}
}

func objects() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(e.Object.GetName()))
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			obj := e.ObjectNew.(*v1alpha1.VaultPolicy)
			if obj.Generation != e.ObjectOld.GetGeneration() || reconcile.Requested(obj) || obj.DeletionTimestamp != nil {
				reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(obj.Name))
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(e.Object.GetName()))
		},
	}
}

// selecting queues the policies that select namespaces when a namespace comes, goes or changes labels.
func selecting(cached kube.Reader) handler.EventHandler {
	all := func(ctx context.Context, q queue) {
		objs, err := list(ctx, cached)
		if err != nil {
			return // the cache ends with the process
		}
		for _, obj := range objs {
			for _, u := range obj.Spec.Subjects {
				if u.Kind == v1alpha1.SubjectServiceAccounts {
					reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(obj.Name))
				}
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList {
				all(ctx, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if !maps.Equal(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()) {
				all(ctx, q)
			}
		},
		DeleteFunc: func(ctx context.Context, _ event.DeleteEvent, q queue) { all(ctx, q) },
	}
}

func list(ctx context.Context, from kube.Reader) ([]v1alpha1.VaultPolicy, error) {
	var l v1alpha1.VaultPolicyList
	if err := from.List(ctx, &l, kube.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list VaultPolicies: %w", err)
	}
	return l.Items, nil
}

// Sink turns what the event feed sees into queue entries.
type Sink struct {
	Cached  kube.Reader
	Live    kube.Reader      // the API server itself
	Vault   *client.Policies // as the operator
	Guard   guard
	Cluster string
	Inbox   *reconcile.Inbox
}

var _ vault.Sink = (*Sink)(nil)

// Secret does not concern policies.
func (s *Sink) Secret(context.Context, string) {}

// Policies queues the objects whose policies somebody changed, and those that are not well: what they wait for may
// have happened.
func (s *Sink) Policies(ctx context.Context, owners []string) {
	for _, o := range owners {
		rest, ours := strings.CutPrefix(o, ownerPrefix(s.Cluster)+"//")
		if name, _, ok := strings.Cut(rest, "/"); ours && ok {
			s.Inbox.Add(ctx, reconcile.RefreshPriority, echoCalm, request(name))
		}
	}
	objs, err := list(ctx, s.Cached)
	if err != nil {
		return // the cache ends with the process
	}
	for i := range objs {
		if !reconcile.Applied(&objs[i]) && objs[i].DeletionTimestamp == nil {
			s.Inbox.Add(ctx, reconcile.ChangePriority, 0, request(objs[i].Name))
		}
	}
}

// Replaced queues everything, so that it says so.
func (s *Sink) Replaced(ctx context.Context) { s.all(ctx) }

// Everything queues everything and sweeps.
func (s *Sink) Everything(ctx context.Context) error {
	s.all(ctx)
	return s.Sweep(ctx)
}

func (s *Sink) all(ctx context.Context) {
	objs, err := list(ctx, s.Cached)
	if err != nil {
		return
	}
	for _, obj := range objs {
		s.Inbox.Add(ctx, reconcile.ChangePriority, 0, request(obj.Name))
	}
}

// Sweep removes policies whose VaultPolicy is gone: it was deleted while the vault was away, or the operator.
func (s *Sink) Sweep(ctx context.Context) error {
	owned, err := s.owned(ctx)
	if err != nil || len(owned) == 0 {
		return err
	}
	// Only now, and from the API server itself: whatever made one of these policies is in the list if it lives.
	objs, err := list(ctx, s.Live)
	if err != nil {
		return err
	}
	alive := map[string]bool{}
	for _, obj := range objs {
		alive[ownerOf(s.Cluster, obj.Name, obj.UID)] = true
	}
	return s.remove(ctx, slices.DeleteFunc(owned, func(p vaultapi.Policy) bool { return alive[p.Owner] }))
}

// ReleaseAll removes the policies of all VaultPolicies: the operator goes.
func (s *Sink) ReleaseAll(ctx context.Context) error {
	owned, err := s.owned(ctx)
	if err != nil {
		return err
	}
	return s.remove(ctx, owned)
}

// owned lists the policies in the vault that VaultPolicies of this cluster made.
func (s *Sink) owned(ctx context.Context) ([]vaultapi.Policy, error) {
	if err := s.Guard.Check(ctx); err != nil {
		return nil, err
	}
	var all []vaultapi.Policy
	filter := client.PolicyFilter{Owner: ownerPrefix(s.Cluster), IncludeInactive: true}
	for {
		page, err := s.Vault.List(ctx, filter)
		if err != nil {
			return nil, vault.Explain(err, "list the policies of cluster "+s.Cluster)
		}
		for _, p := range page.Policies {
			if strings.HasPrefix(p.Owner, ownerPrefix(s.Cluster)+"/") {
				all = append(all, p)
			}
		}
		if page.Cursor == nil || *page.Cursor == "" {
			return all, nil
		}
		filter.Cursor = *page.Cursor
	}
}

func (s *Sink) remove(ctx context.Context, policies []vaultapi.Policy) error {
	for _, p := range policies {
		err := s.Vault.Delete(ctx, p.ID, client.PolicyDeleteOptions{Force: true, Owner: p.Owner})
		if err != nil && !vaultapi.IsNotFound(err) {
			return vault.Explain(err, "remove policy "+p.Name)
		}
	}
	return nil
}
