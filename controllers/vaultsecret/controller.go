// Package vaultsecret keeps one Kubernetes Secret per VaultSecret equal to secrets in the vault, read
// with the rights of a ServiceAccount of the object's namespace.
package vaultsecret

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/consumers"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
	"github.com/scailabs/scaivault/controllers/internal/template"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	defaultRefresh = time.Hour
	minRefresh     = 10 * time.Second
)

// +kubebuilder:rbac:groups=scaivault.io,resources=vaultsecrets,verbs=get;list;watch
// +kubebuilder:rbac:groups=scaivault.io,resources=vaultsecrets/status,verbs=get;patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=serviceaccounts/token,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// session reads values as one identity; *vault.Session fits.
type session interface {
	Read(context.Context, string, client.ReadOptions) (*vaultapi.Secret, error)
	BatchRead(context.Context, vaultapi.BatchRequest) (*vaultapi.BatchResponse, error)
}

// guard keeps a replaced vault from doing harm; *vault.Guard fits.
type guard interface {
	Check(context.Context) error
	CheckNow(context.Context) error
}

// absences judges missing sources; *vault.Absences fits.
type absences interface {
	Missing(object types.UID, paths []string, now time.Time) bool
	Present(object types.UID)
	Deleted(path string) bool
}

// Reconciler runs VaultSecrets. All exported fields but Refresher are required.
type Reconciler struct {
	Runner   *reconcile.Runner
	Accounts *vault.Accounts
	Guard    guard
	Absences absences
	Writer   *target.Writer
	Rules    target.Rules
	Now      func() time.Time
	// Restarter restarts workloads.
	Restarter *consumers.Restarter
	// Refresher refreshes pods; nil where the install does not allow it.
	Refresher *consumers.Refresher

	beyond sync.Map // by UID: the []SyncedSource for which the status has no room
	left   sync.Map // by namespace and name: the targets of an object that is gone, until they are released
}

// run is one reconcile of one object; the only holder of values.
type run struct {
	*Reconciler
	obj      v1alpha1.VaultSecret
	identity string
	wanted   []wanted // what the sources stand for
	settled  bool     // the target holds what the status says, for this spec
	same     bool     // and so does the vault

	wrote       bool  // the target had to be written
	differs     bool  // the target was not as the status says: it was written by this run or by one that died
	unrestarted error // why workloads could not be restarted
}

// Reconcile looks at one object.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &run{Reconciler: r}
	return r.Runner.Run(ctx, req, &s.obj, reconcile.Plan{
		Suspended: func() bool { return s.obj.Spec.Suspend },
		Release:   func(ctx context.Context) error { return s.release(ctx, req.NamespacedName) },
		Steps:     []reconcile.Step{s.restart, s.check, s.compare, s.fetch, s.write, s.refreshPods, s.owe, s.report},
		Done:      s.done,
		Refresh:   func() time.Duration { return next(&s.obj, s.Now()) },
		Until:     func() time.Time { return expiry(&s.obj, s.Now()) },
	})
}

// refresh is the interval of an object; one that does not parse is refused by check and counts as absent.
func refresh(obj *v1alpha1.VaultSecret) time.Duration {
	d, err := schedule.ParseDuration(string(obj.Spec.RefreshInterval))
	if obj.Spec.RefreshInterval == "" || err != nil {
		return defaultRefresh
	}
	return max(d, minRefresh)
}

// expiry is when to look whether a secret that the target holds has expired: a second after the vault said that it
// would, and every minute from then on, because clocks differ. Zero if none expires.
func expiry(obj *v1alpha1.VaultSecret, now time.Time) time.Time {
	var first time.Time
	for _, y := range obj.Status.Synced {
		if y.ExpiresAt == nil {
			continue
		}
		at := y.ExpiresAt.Add(time.Second)
		if !at.After(now) {
			at = now.Add(missingRecheck)
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// check refuses what cannot be done, before anything is read.
func (s *run) check(ctx context.Context) error {
	if err := s.possible(); err != nil {
		return err
	}
	return s.Guard.Check(ctx)
}

// possible judges the spec alone. It repeats what the schema says, because an object may be older than the
// schema.
func (s *run) possible() error {
	if err := checkDurations(&s.obj.Spec); err != nil {
		return reconcile.Stalled(v1alpha1.ReasonInvalidSpec, err)
	}
	for _, src := range s.obj.Spec.Sources {
		if (src.Path == "") == (src.PathPrefix == "") || src.PathPrefix != "" && src.Version != nil {
			return reconcile.Stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("source %s must have exactly one of path and pathPrefix, and version only with path; correct spec.sources", src.Name))
		}
	}
	if err := s.Rules.Where(desired(&s.obj, nil)); err != nil {
		return err
	}
	for _, d := range s.obj.Spec.Data {
		if d.Template == "" {
			continue
		}
		if err := template.Check(d.Template); err != nil {
			return badTemplate(d.Key, err)
		}
	}
	return nil
}

func checkDurations(spec *v1alpha1.VaultSecretSpec) error {
	given := map[string]v1alpha1.Duration{"refreshInterval": spec.RefreshInterval}
	if spec.Restart != nil {
		given["restart.debounce"] = spec.Restart.Debounce
	}
	for field, text := range given {
		if text == "" {
			continue
		}
		if _, err := schedule.ParseDuration(string(text)); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	return nil
}

func badTemplate(key string, err error) error {
	return reconcile.Stalled(v1alpha1.ReasonInvalidTemplate, fmt.Errorf("template of key %s %w; correct it in spec.data", key, err))
}

// compare finds out whether anything but the vault could have changed since the last run. If not, the
// etags of the status let the vault answer without sending values.
func (s *run) compare(ctx context.Context) error {
	st := s.obj.Status
	if reconcile.Requested(&s.obj) || !reconcile.Applied(&s.obj) || st.Target == nil || st.Target.Name != s.obj.TargetName() {
		return nil
	}
	var err error
	s.settled, err = s.Writer.Settled(ctx, desired(&s.obj, nil), recorded(st.Target))
	return err
}

func recorded(t *v1alpha1.TargetStatus) target.State {
	if t == nil {
		return target.State{}
	}
	return target.State{Name: t.Name, UID: types.UID(t.UID), ResourceVersion: t.ResourceVersion}
}

func (s *run) owner() target.Owner { return ownerOf(&s.obj) }

func ownerOf(obj *v1alpha1.VaultSecret) target.Owner {
	o := target.Owner{Kind: "VaultSecret", Namespace: obj.Namespace, Name: obj.Name, UID: obj.UID}
	if t := obj.Status.Target; t != nil && t.Mode != v1alpha1.SharedTarget {
		o.Made = types.UID(t.UID)
	}
	return o
}

// errNothing is what a batch gives for a path that it did not mention.
var errNothing = errors.New("the vault said nothing about it")
