package main

import (
	"cmp"
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// issuerState is a PKIIssuer or a ClusterPKIIssuer.
type issuerState struct {
	Name      string `json:"name"`
	Role      string `json:"role"`
	Authority string `json:"authority,omitempty"`
	state
}

func (s *issuerState) makes() string {
	if s.Authority == "" {
		return "certificates: " + s.Role
	}
	return "certificates: " + s.Role + " of " + s.Authority
}

func issuerOf(o object, terms *v1alpha1.IssuerTerms, st *v1alpha1.IssuerStatus) issuerState {
	s := issuerState{Name: o.GetName(), Role: terms.Role, state: stateOf(o)}
	if st.Authority != nil {
		s.Authority = st.Authority.Name
	}
	return s
}

// issuers adds the PKIIssuers to their namespaces, and the ClusterPKIIssuers.
func (c *cluster) issuers(ctx context.Context, to *overview, where []client.ListOption) error {
	var l v1alpha1.PKIIssuerList
	if err := c.listed(ctx, to, "PKIIssuers", &l, where...); err != nil {
		return err
	}
	slices.SortFunc(l.Items, func(a, b v1alpha1.PKIIssuer) int { return cmp.Compare(a.Name, b.Name) })
	for i := range l.Items {
		p := &l.Items[i]
		ns := to.namespace(p.Namespace)
		ns.PKIIssuers = append(ns.PKIIssuers, issuerOf(p, p.Terms(), &p.Status))
	}
	slices.SortFunc(to.Namespaces, func(a, b namespaceState) int { return cmp.Compare(a.Name, b.Name) })
	var wide v1alpha1.ClusterPKIIssuerList
	if err := c.listed(ctx, to, "ClusterPKIIssuers", &wide); err != nil {
		return err
	}
	slices.SortFunc(wide.Items, func(a, b v1alpha1.ClusterPKIIssuer) int { return cmp.Compare(a.Name, b.Name) })
	for i := range wide.Items {
		p := &wide.Items[i]
		to.ClusterPKIIssuers = append(to.ClusterPKIIssuers, issuerOf(p, p.Terms(), &p.Status))
	}
	return nil
}

// listed lists a kind. One that the user may not list is said to be left out, and one of a newer install is not missed.
func (c *cluster) listed(ctx context.Context, to *overview, kinds string, l client.ObjectList, where ...client.ListOption) error {
	err := c.List(ctx, l, where...)
	switch {
	case apierrors.IsForbidden(err):
		to.NotLookedAt = append(to.NotLookedAt, kinds+": you may not list them")
		return nil
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return nil
	}
	return seen(err)
}
