package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/console"
)

// overview is what status shows.
type overview struct {
	Namespaces    []namespaceState `json:"namespaces"`
	VaultPolicies []policyState    `json:"vault_policies"`
	// ClusterPKIIssuers are shown to whom may list them.
	ClusterPKIIssuers []issuerState `json:"cluster_pki_issuers,omitempty"`
	// NotLookedAt says what the user may not see.
	NotLookedAt []string `json:"not_looked_at,omitempty"`
}

type namespaceState struct {
	Name              string          `json:"name"`
	VaultSecrets      []secretState   `json:"vault_secrets"`
	RotationSchedules []rotationState `json:"rotation_schedules,omitempty"`
	PKIIssuers        []issuerState   `json:"pki_issuers,omitempty"`
}

type rotationState struct {
	Name     string `json:"name"`
	Secrets  int32  `json:"secrets"`  // that it rotates
	Rotating int32  `json:"rotating"` // of them, whose old version is readable still or waited for
	Overdue  int32  `json:"overdue"`
	state
}

type secretState struct {
	Name           string `json:"name"`
	Secret         string `json:"secret"` // that it writes
	ServiceAccount string `json:"service_account"`
	state
}

type policyState struct {
	Name     string `json:"name"`
	Bindings int32  `json:"bindings"`
	state
}

func newStatusCommand(a *app) *cobra.Command {
	var everywhere bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show VaultSecrets, RotationSchedules, PKIIssuers and VaultPolicies, and what blocks each", Args: console.Arguments(cobra.NoArgs),
		Long: `Show VaultSecrets, RotationSchedules, PKIIssuers, ClusterPKIIssuers and VaultPolicies as a tree, and what blocks
each: the operator's reason and message, since when, and the next step.

Needs list on VaultSecrets, and to see any of the other kinds on that. VaultPolicies belong to the cluster: they are shown to whom may list them, those that
name a ServiceAccount of the namespace unless all namespaces are asked for.`,
		Example: `  kubectl scaivault status -n billing
  kubectl scaivault status --all-namespaces --json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), everywhere) },
	}
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "all namespaces")
	return cmd
}

func (a *app) status(ctx context.Context, everywhere bool) error {
	c, err := a.cluster()
	if err != nil {
		return err
	}
	o, err := c.overview(ctx, everywhere)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(o)
	}
	return a.printTree(o)
}

func (c *cluster) overview(ctx context.Context, everywhere bool) (*overview, error) {
	var where []client.ListOption
	if !everywhere {
		where = append(where, client.InNamespace(c.namespace))
	}
	var l v1alpha1.VaultSecretList
	if err := c.List(ctx, &l, where...); err != nil {
		return nil, seen(err)
	}
	o := &overview{Namespaces: grouped(l.Items), VaultPolicies: []policyState{}}
	if err := c.rotations(ctx, o, where); err != nil {
		return nil, err
	}
	if err := c.issuers(ctx, o, where); err != nil {
		return nil, err
	}
	policies, err := c.policies(ctx)
	if apierrors.IsForbidden(err) {
		o.NotLookedAt = append(o.NotLookedAt, "VaultPolicies: you may not list them")
		return o, nil
	}
	if err != nil {
		return nil, seen(err)
	}
	for i := range policies {
		if p := &policies[i]; everywhere || concerns(p, c.namespace) {
			o.VaultPolicies = append(o.VaultPolicies, policyState{Name: p.Name, Bindings: p.Status.Bindings, state: stateOf(p)})
		}
	}
	return o, nil
}

// rotations adds the RotationSchedules to their namespaces.
func (c *cluster) rotations(ctx context.Context, to *overview, where []client.ListOption) error {
	var l v1alpha1.RotationScheduleList
	if err := c.listed(ctx, to, "RotationSchedules", &l, where...); err != nil {
		return err
	}
	slices.SortFunc(l.Items, func(a, b v1alpha1.RotationSchedule) int { return cmp.Compare(a.Name, b.Name) })
	for i := range l.Items {
		r := &l.Items[i]
		ns := to.namespace(r.Namespace)
		ns.RotationSchedules = append(ns.RotationSchedules, rotationState{
			Name: r.Name, Secrets: r.Status.Secrets, Rotating: r.Status.Rotating, Overdue: r.Status.Overdue, state: stateOf(r),
		})
	}
	slices.SortFunc(to.Namespaces, func(a, b namespaceState) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// namespace is that of a name, made if it is not there.
func (o *overview) namespace(name string) *namespaceState {
	i := slices.IndexFunc(o.Namespaces, func(n namespaceState) bool { return n.Name == name })
	if i < 0 {
		o.Namespaces = append(o.Namespaces, namespaceState{Name: name, VaultSecrets: []secretState{}})
		i = len(o.Namespaces) - 1
	}
	return &o.Namespaces[i]
}

// policies are all VaultPolicies, by name. The error is the cluster's own.
func (c *cluster) policies(ctx context.Context) ([]v1alpha1.VaultPolicy, error) {
	var l v1alpha1.VaultPolicyList
	err := c.List(ctx, &l)
	slices.SortFunc(l.Items, func(a, b v1alpha1.VaultPolicy) int { return cmp.Compare(a.Name, b.Name) })
	return l.Items, err
}

// concerns tells whether a policy may speak of ServiceAccounts of a namespace.
func concerns(p *v1alpha1.VaultPolicy, namespace string) bool {
	return slices.ContainsFunc(p.Spec.Subjects, func(s v1alpha1.PolicySubject) bool {
		return s.Kind == v1alpha1.SubjectServiceAccounts || s.Kind == v1alpha1.SubjectServiceAccount && s.Namespace == namespace
	})
}

func grouped(all []v1alpha1.VaultSecret) []namespaceState {
	slices.SortFunc(all, func(a, b v1alpha1.VaultSecret) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	out := []namespaceState{}
	for i := range all {
		v := &all[i]
		if len(out) == 0 || out[len(out)-1].Name != v.Namespace {
			out = append(out, namespaceState{Name: v.Namespace})
		}
		last := &out[len(out)-1]
		last.VaultSecrets = append(last.VaultSecrets, secretState{
			Name: v.Name, Secret: v.TargetName(), ServiceAccount: v.ServiceAccount(), state: stateOf(v),
		})
	}
	return out
}
