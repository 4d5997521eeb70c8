// Package vaultpolicy keeps one policy with its bindings in the vault per VaultPolicy.
package vaultpolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	// lookAgain is the safety net; changes in the vault arrive as events.
	lookAgain = time.Hour
	// conflictRecheck is how often it is tried again to get a name that another owner holds.
	conflictRecheck = 30 * time.Second
)

// +kubebuilder:rbac:groups=scaivault.io,resources=vaultpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=scaivault.io,resources=vaultpolicies/status,verbs=get;patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// guard keeps a replaced vault from doing harm; *vault.Guard fits.
type guard interface {
	Check(context.Context) error
}

// Reconciler runs VaultPolicies. All fields are required.
type Reconciler struct {
	Runner *reconcile.Runner
	// Cached reads metadata of namespaces; Live is the API server itself.
	Cached, Live kube.Reader
	// Policies are the vault's, seen as the operator; Refused is called when its token was not accepted.
	Policies *client.Policies
	Refused  func()
	Guard    guard
	// Cluster is this cluster's name in the vault: the owner of what is made here.
	Cluster string
	Now     func() time.Time
}

// run is one reconcile of one object.
type run struct {
	*Reconciler
	obj  v1alpha1.VaultPolicy
	want []vaultapi.BindingWrite
}

// Reconcile looks at one object.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &run{Reconciler: r}
	return r.Runner.Run(ctx, req, &s.obj, reconcile.Plan{
		Release: func(ctx context.Context) error { return s.release(ctx, req.Name) },
		Steps:   []reconcile.Step{s.check, s.resolve, s.apply, s.bind},
		Done: func() (string, string) {
			return v1alpha1.ReasonApplied, fmt.Sprintf("policy %s is in the vault and bound to %d identities", s.name(), s.obj.Status.Bindings)
		},
		Refresh: func() time.Duration { return lookAgain },
		Until:   func() time.Time { return soonestEnd(&s.obj.Spec, s.Now()) },
	})
}

// check passes while the pinned vault answers, and warns once per spec of conditions that do not mean
// what a reader may think.
func (s *run) check(ctx context.Context) error {
	if s.obj.Status.ObservedGeneration != s.obj.Generation && misleading(&s.obj.Spec) {
		s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeWarning, "ConditionsJudgedOnCaller", "Reconcile", "%s",
			"a rule has conditions and a subject is a ServiceAccount: for a VaultSecret they are judged on the operator, not on the pod; for ServiceAccounts, write a rule without conditions")
	}
	return s.Guard.Check(ctx)
}

func misleading(spec *v1alpha1.VaultPolicySpec) bool {
	accounts, conditions := false, false
	for _, u := range spec.Subjects {
		accounts = accounts || u.Kind != v1alpha1.SubjectIdentity
	}
	for _, r := range spec.Rules {
		conditions = conditions || r.When != nil
	}
	return accounts && conditions
}

// explain gives an error of a call its kind.
func (s *run) explain(err error, doing string) error {
	switch {
	case vaultapi.IsUnauthenticated(err):
		s.Refused()
	case vaultapi.IsInvalid(err):
		var e *vaultapi.Error
		_ = errors.As(err, &e)
		return reconcile.Stalled(v1alpha1.ReasonInvalidPolicy, fmt.Errorf("%s: %s; correct spec.rules or spec.subjects", doing, e.Message))
	case vaultapi.IsConflict(err):
		return reconcile.StalledFor(v1alpha1.ReasonConflict, conflictRecheck, fmt.Errorf("%s: %w; whose it is tells: scaivault policies get %s", doing, err, s.name()))
	case vaultapi.IsForbidden(err):
		return reconcile.StalledFor(v1alpha1.ReasonAccessDenied, conflictRecheck, fmt.Errorf("%s: the vault does not let the operator: %w; start scaivault-server with --operator-service-account, so that it knows the operator", doing, err))
	}
	return vault.Explain(err, doing)
}
