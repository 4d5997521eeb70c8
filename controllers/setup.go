// Package controllers puts the operator together: one controller per kind, the event feed of the vault,
// and the guard against a replaced vault.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/consumers"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/controllers/vaultpolicy"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
	"github.com/scailabs/scaivault/pkg/client"
)

const (
	defaultConcurrency = 16
	firstRetry         = 50 * time.Millisecond
	maxRetry           = 2 * time.Minute
	firstSweep         = time.Second // pause after one that failed, which grows
	sweepEvery         = time.Hour
	vaultTimeout       = 15 * time.Second
	leaderName         = "scaivault-operator"
)

// +kubebuilder:rbac:groups="",namespace=scaivault-system,resources=configmaps,verbs=get;create;update
// +kubebuilder:rbac:groups="",namespace=scaivault-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=scaivault-system,resources=leases,verbs=get;create;update

// Options say how the operator runs. Config, VaultURL and Namespace are required, and one of TokenFile and
// ServiceAccount.
type Options struct {
	Config      *rest.Config // the cluster
	VaultURL    string       // https://host[:port]
	VaultCAFile string       // PEM; empty: the system's authorities
	Cluster     string       // this cluster's name in the vault; empty: home
	Namespace   string       // the operator's own: leader lease, pin; no Secret is written there

	// TokenFile holds the operator's own token of audience scaivault; the kubelet renews it.
	TokenFile string
	// ServiceAccount is used instead outside a cluster: tokens are requested for it.
	ServiceAccount Account

	// Namespaces are those that are served, with rights in no other; empty: all.
	Namespaces []string
	// WithoutPolicies leaves VaultPolicies, ClusterPKIIssuers and CertificateSigningRequests to somebody else: they need
	// rights in the whole cluster.
	WithoutPolicies bool
	// RenewCertificates looks after the certificates of the install's own authority, in Namespace.
	RenewCertificates bool

	AllowSecretTypes []string // besides the five of target.Types
	AllowNamespaces  []string // of those that are never written to otherwise
	Concurrency      int      // VaultSecrets at a time; 0: 16
	RefreshPods      bool     // allow refreshPods: Immediate, which patches pods
	LeaderElect      bool
	MetricsAddress   string // host:port; 0: none
	ProbeAddress     string // host:port; 0: none
	UserAgent        string
	Log              logr.Logger
}

// Account names a ServiceAccount.
type Account struct{ Namespace, Name string }

// Scheme knows the kinds that the operator works with.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(corev1.AddToScheme(s), appsv1.AddToScheme(s), batchv1.AddToScheme(s), authorizationv1.AddToScheme(s), certificatesv1.AddToScheme(s),
		metav1.AddMetaToScheme(s), cmapi.AddToScheme(s), v1alpha1.AddToScheme(s))
}

// New puts the operator together without starting it.
func New(ctx context.Context, o Options) (manager.Manager, error) {
	o.Cluster = orDefault(o.Cluster, "home")
	mgr, err := newManager(o)
	if err != nil {
		return nil, err
	}
	p, err := newParts(mgr, o)
	if err != nil {
		return nil, err
	}
	if err := p.addVaultSecret(ctx, mgr); err != nil {
		return nil, fmt.Errorf("controller of VaultSecret: %w", err)
	}
	if err := p.addRotationSchedule(mgr); err != nil {
		return nil, fmt.Errorf("controller of RotationSchedule: %w", err)
	}
	if err := p.addIssuers(mgr); err != nil {
		return nil, fmt.Errorf("controllers of issuers: %w", err)
	}
	if !o.WithoutPolicies {
		if err := p.addVaultPolicy(mgr); err != nil {
			return nil, fmt.Errorf("controller of VaultPolicy: %w", err)
		}
	}
	return mgr, errors.Join(newCensus(mgr.GetCache()).register(metrics.Registry), p.addRenewal(mgr), p.addFeed(mgr))
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func newManager(o Options) (manager.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	cfg := rest.CopyConfig(o.Config)
	cfg.QPS, cfg.UserAgent = -1, o.UserAgent // the API server's own fairness limits us, not a guess of ours
	managed, err := labels.NewRequirement(v1alpha1.LabelManaged, selection.Exists, nil)
	if err != nil {
		return nil, err
	}
	twice := true // a process may start the operator again; the names are ours alone
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme, Logger: o.Log,
		LeaderElection: o.LeaderElect, LeaderElectionID: leaderName, LeaderElectionNamespace: o.Namespace, LeaderElectionReleaseOnCancel: true,
		Controller:             config.Controller{SkipNameValidation: &twice},
		Metrics:                metricsserver.Options{BindAddress: orDefault(o.MetricsAddress, "0")},
		HealthProbeBindAddress: orDefault(o.ProbeAddress, "0"),
		Cache: cache.Options{
			ReaderFailOnMissingInformer: true, // nothing is ever watched by accident
			DefaultNamespaces:           only(o.Namespaces),
			DefaultTransform:            slim,
			ByObject:                    map[kube.Object]cache.ByObject{&corev1.Secret{}: {Label: labels.NewSelector().Add(*managed)}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return mgr, errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping))
}

// only limits what is cached to namespaces; nil is all of them.
func only(namespaces []string) map[string]cache.Config {
	if len(namespaces) == 0 {
		return nil
	}
	limits := map[string]cache.Config{}
	for _, ns := range namespaces {
		limits[ns] = cache.Config{}
	}
	return limits
}

// slim drops what the operator never reads from everything it caches. Of a Secret that several write to,
// managedFields tell what somebody did to what is ours.
func slim(in any) (any, error) {
	obj, err := meta.Accessor(in)
	if err != nil {
		return in, nil //nolint:nilerr // not an object: a marker of the informer
	}
	if !target.IsShared(obj) {
		obj.SetManagedFields(nil)
	}
	if a := obj.GetAnnotations(); a[corev1.LastAppliedConfigAnnotation] != "" {
		delete(a, corev1.LastAppliedConfigAnnotation)
		obj.SetAnnotations(a)
	}
	return in, nil
}

// parts are what the controllers share.
type parts struct {
	Options
	core     corev1client.CoreV1Interface
	vault    *client.Client // without a token
	own      *client.Client // as the operator
	refused  func()
	guard    *vault.Guard
	absences *vault.Absences
	writer   *target.Writer
	success  *prometheus.GaugeVec
	accounts *vault.Accounts
	inbox    struct{ secrets, policies, rotations *reconcile.Inbox }
	sinks    []vault.Sink
	rotating []vault.RotationSink
}

func newParts(mgr manager.Manager, o Options) (*parts, error) {
	core, err := corev1client.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	v, err := newVault(o)
	if err != nil {
		return nil, err
	}
	success, err := reconcile.SuccessGauge(metrics.Registry)
	if err != nil {
		return nil, err
	}
	p := &parts{Options: o, core: core, vault: v, success: success, absences: vault.NewAbsences()}
	p.own, p.refused = vault.Own(v, mintOwn(core, o), time.Now)
	p.guard = vault.NewGuard(v.System, vault.ConfigMapPin{Maps: core, Namespace: o.Namespace}, time.Now)
	p.writer = &target.Writer{Secrets: core, Cached: mgr.GetClient(), Live: mgr.GetAPIReader(), Memory: target.NewMemory(), Rules: p.rules()}
	p.accounts = vault.NewAccounts(p.vault, vault.Minter{Accounts: p.core}, mgr.GetClient(), time.Now)
	p.inbox.secrets, p.inbox.policies, p.inbox.rotations = reconcile.NewInbox(), reconcile.NewInbox(), reconcile.NewInbox()
	return p, nil
}

func (p *parts) runner(mgr manager.Manager, kind string) *reconcile.Runner {
	return &reconcile.Runner{
		Client: mgr.GetClient(), Events: mgr.GetEventRecorder("scaivault-operator"), Now: time.Now, Success: p.success.WithLabelValues(kind),
	}
}

func (p *parts) options(concurrency int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](firstRetry, maxRetry),
	}
}

func (p *parts) addVaultSecret(ctx context.Context, mgr manager.Manager) error {
	restarter, refresher, err := p.consumers(mgr)
	if err != nil {
		return err
	}
	r := &vaultsecret.Reconciler{
		Runner:   p.runner(mgr, "VaultSecret"),
		Accounts: p.accounts,
		Guard:    p.guard, Absences: p.absences, Writer: p.writer, Now: time.Now,
		Rules:     p.rules(),
		Restarter: restarter, Refresher: refresher,
	}
	sink := &vaultsecret.Sink{Cached: mgr.GetClient(), Vault: p.own.Secrets, Writer: p.writer, Inbox: p.inbox.secrets, Now: time.Now}
	p.sinks = append(p.sinks, sink)
	return errors.Join(p.addSweep(mgr, sink.Sweep), r.SetupWithManager(ctx, mgr, p.inbox.secrets, p.options(orDefault(p.Concurrency, defaultConcurrency))))
}

// consumers makes what reaches the pods. Nothing can patch a pod unless the install allows it.
func (p *parts) consumers(mgr manager.Manager) (*consumers.Restarter, *consumers.Refresher, error) {
	restarts, err := reconcile.Registered(metrics.Registry, consumers.RestartCounter())
	if err != nil {
		return nil, nil, err
	}
	restarter := &consumers.Restarter{Live: mgr.GetAPIReader(), Client: mgr.GetClient(), Now: time.Now, Restarts: restarts}
	if !p.RefreshPods {
		return restarter, nil, nil
	}
	refreshed, err := reconcile.Registered(metrics.Registry, consumers.RefreshCounter())
	if err != nil {
		return nil, nil, err
	}
	refresher := consumers.NewRefresher(mgr.GetAPIReader(), mgr.GetClient(), time.Now, p.Log.WithName("refresh"), refreshed)
	return restarter, refresher, mgr.Add(refresher)
}

func (p *parts) rules() target.Rules {
	never := slices.DeleteFunc([]string{"kube-system", p.Namespace}, func(ns string) bool { return slices.Contains(p.AllowNamespaces, ns) })
	return target.Rules{ExtraTypes: p.AllowSecretTypes, ForbiddenNamespaces: never}
}

func (p *parts) addVaultPolicy(mgr manager.Manager) error {
	r := &vaultpolicy.Reconciler{
		Runner: p.runner(mgr, "VaultPolicy"), Cached: mgr.GetClient(), Live: mgr.GetAPIReader(), Policies: p.own.Policies, Refused: p.refused,
		Guard: p.guard, Cluster: p.Cluster, Now: time.Now,
	}
	sink := &vaultpolicy.Sink{Cached: mgr.GetClient(), Live: mgr.GetAPIReader(), Vault: p.own.Policies, Guard: p.guard, Cluster: p.Cluster, Inbox: p.inbox.policies}
	p.sinks = append(p.sinks, sink)
	return errors.Join(p.addSweep(mgr, sink.Sweep), r.SetupWithManager(mgr, p.inbox.policies, p.options(1)))
}

// sweep finds what deleted objects left while nobody looked: at the start, as soon as caches and vault allow, and every
// hour.
func (p *parts) sweep(ctx context.Context, look reconcile.Step) error {
	pause := firstSweep
	for {
		after := sweepEvery
		if err := look(ctx); err != nil {
			p.Log.V(1).Info("what deleted objects left was not swept yet", "cause", err.Error())
			after, pause = pause, min(2*pause, sweepEvery)
		}
		if !vault.Sleep(ctx, after) {
			return nil
		}
	}
}

// addSweep lets a sweep run beside the controllers.
func (p *parts) addSweep(mgr manager.Manager, look reconcile.Step) error {
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return p.sweep(ctx, look) }))
}

func (p *parts) addFeed(mgr manager.Manager) error {
	connected, err := reconcile.Registered(metrics.Registry, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "scaivault_operator_event_feed_connected", Help: "1 while events of the vault arrive.",
	}))
	if err != nil {
		return err
	}
	return mgr.Add(&vault.Feed{
		Vault: p.own, Refused: p.refused, Owner: feedOwner(p.Options),
		Guard: p.guard, Absences: p.absences, Sinks: p.sinks, Rotations: p.rotating, Log: p.Log.WithName("feed"), Connected: connected,
	})
}
