package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/controllers/rotationschedule"
	"github.com/scailabs/scaivault/controllers/vaultpolicy"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
)

// +kubebuilder:rbac:groups=apps,namespace=scaivault-system,resources=deployments/scale,resourceNames=scaivault-operator,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=scaivault-system,resources=configmaps,resourceNames=scaivault-vault-pin,verbs=delete

const (
	releasePause = time.Second
	releasePage  = 500
)

// Releasing says how Release goes about it.
type Releasing struct {
	// Deployment of the operator in its own namespace, which is scaled to zero first; "" for none.
	Deployment string
	// Patience is how long the operator's end, the vault, and writes that fail are each waited for.
	Patience time.Duration
	// Say tells what was done and what is left, line by line.
	Say func(string)
}

// Release gives back what the operator holds and what nobody would take back once it is gone: its policies, its
// rotation policies and its subscription in the vault, and keys in Secrets of others. Objects stay; when they are deleted later,
// Kubernetes deletes or keeps their Secrets as whenDeleted says. It goes on without the vault, and says what is left
// there. Of o, only what reaches cluster and vault matters.
func Release(ctx context.Context, o Options, how Releasing) error {
	r, err := newRelease(o, how)
	if err != nil {
		return err
	}
	return r.asLeader(ctx, func(ctx context.Context) error {
		r.vault(ctx)
		err := r.secrets(ctx)
		if err == nil {
			err = r.pin().Forget(ctx)
		}
		if err == nil {
			r.say("released; the operator can go")
		}
		return err
	})
}

type release struct {
	Options
	Releasing

	clients kubernetes.Interface
	live    kube.Client
	runner  *reconcile.Runner
}

func newRelease(o Options, how Releasing) (*release, error) {
	o.Cluster = orDefault(o.Cluster, "home")
	cfg := rest.CopyConfig(o.Config)
	cfg.QPS, cfg.UserAgent = -1, o.UserAgent
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	clients, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	live, err := kube.New(cfg, kube.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	return &release{Options: o, Releasing: how, clients: clients, live: live, runner: &reconcile.Runner{Client: live, Now: time.Now}}, nil
}

func (r *release) say(format string, args ...any) { r.Say(fmt.Sprintf(format, args...)) }

func (r *release) pin() vault.ConfigMapPin {
	return vault.ConfigMapPin{Maps: r.clients.CoreV1(), Namespace: r.Namespace}
}

// vault removes what this cluster's operator owns in the vault. A vault that is gone or another one keeps nothing
// from being freed.
func (r *release) vault(ctx context.Context) {
	err := r.patiently(ctx, r.releaseOwned)
	if err != nil {
		r.say("left in the vault: whatever policies, rotation policies and subscriptions cluster %s owns there, because: %s", r.Cluster, err)
		return
	}
	r.say("the vault holds nothing of the VaultPolicies and RotationSchedules of cluster %s any more", r.Cluster)
}

func (r *release) releaseOwned(ctx context.Context) error {
	v, err := newVault(r.Options)
	if err != nil {
		return err
	}
	own, _ := vault.Own(v, mintOwn(r.clients.CoreV1(), r.Options), time.Now)
	guard := vault.NewGuard(v.System, vault.Lasting{PinStore: r.pin()}, time.Now)
	policies := &vaultpolicy.Sink{Vault: own.Policies, Guard: guard, Cluster: r.Cluster}
	if !r.WithoutPolicies {
		if err := policies.ReleaseAll(ctx); err != nil {
			return err
		}
	}
	rotations := &rotationschedule.Sink{Vault: own.Rotation, Guard: guard, Cluster: r.Cluster, Namespaces: r.Namespaces}
	if err := rotations.ReleaseAll(ctx); err != nil {
		return err
	}
	return vault.Unsubscribe(ctx, own.Subscriptions, feedOwner(r.Options))
}

// patiently repeats do until it succeeds, the patience ends, or it can only be wrong again.
func (r *release) patiently(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	tick := time.NewTicker(releasePause)
	defer tick.Stop()
	for {
		err := do(ctx)
		if err == nil || reconcile.IsStalled(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// secrets gives back what VaultSecrets hold beside others.
func (r *release) secrets(ctx context.Context) error {
	s := &vaultsecret.Reconciler{
		Runner: r.runner, Now: time.Now,
		Writer: &target.Writer{Secrets: r.clients.CoreV1(), Cached: r.live, Live: r.live, Memory: target.NewMemory()},
	}
	return r.freeAll(ctx, "VaultSecret", r.served(), s.Free)
}

// served are the namespaces to look into; "" is all of them.
func (r *release) served() []string {
	if len(r.Namespaces) == 0 {
		return []string{""}
	}
	return r.Namespaces
}

// freeAll frees all objects of a kind. What fails is tried again; what fails in the end is said.
func (r *release) freeAll(ctx context.Context, kind string, namespaces []string, free freeFunc) error {
	f := &freeing{free: free}
	for _, ns := range namespaces {
		keys, err := r.keys(ctx, kind, ns)
		if err != nil {
			return fmt.Errorf("list %s: %w", kind, err)
		}
		f.left = append(f.left, keys...)
	}
	all := len(f.left)
	err := r.patiently(ctx, f.round)
	if err != nil && ctx.Err() == nil {
		r.say("%s: the release of %d failed, and nothing waits for it; of the first: %s", kind, len(f.left), err)
		err = nil
	}
	r.say("%s: %d looked at, %d had a share in a Secret", kind, all, f.held)
	return err
}

// freeFunc frees one object and tells whether it held anything.
type freeFunc func(ctx context.Context, key kube.ObjectKey) (held bool, err error)

// freeing is the objects of a kind that are still to be freed.
type freeing struct {
	free freeFunc
	left []kube.ObjectKey
	held int
}

// round tries each once, and returns the first error.
func (f *freeing) round(ctx context.Context) error {
	var failed []kube.ObjectKey
	var first error
	for _, key := range f.left {
		held, err := f.free(ctx, key)
		switch {
		case err == nil && held:
			f.held++
		case err != nil:
			failed = append(failed, key)
			first = cmp.Or(first, fmt.Errorf("%s: %w", key, err))
		}
	}
	f.left = failed
	return first
}

// keys lists the objects of a kind, page by page. A kind that is not installed has none.
func (r *release) keys(ctx context.Context, kind, namespace string) ([]kube.ObjectKey, error) {
	var keys []kube.ObjectKey
	page := &metav1.PartialObjectMetadataList{}
	page.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
	for {
		err := r.live.List(ctx, page, kube.InNamespace(namespace), kube.Limit(releasePage), kube.Continue(page.Continue))
		if meta.IsNoMatchError(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			keys = append(keys, kube.ObjectKeyFromObject(&page.Items[i]))
		}
		if page.Continue == "" {
			return keys, nil
		}
	}
}
