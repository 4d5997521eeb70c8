package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/policy"
)

// declared judges by the VaultPolicies of the cluster, where the vault cannot be asked, with the evaluator that
// the vault uses. There may be policies that no VaultPolicy made, so that a denial here is only a hint.
func (w *walk) declared(ctx context.Context) {
	all, err := w.cluster.policies(ctx)
	if err != nil {
		w.unseen("VaultPolicies: %s", refusal(err))
		return
	}
	m := &metav1.PartialObjectMetadata{}
	if err := w.cluster.metadata(ctx, "Namespace", "", w.obj.Namespace, m); err != nil {
		w.unseen("labels of namespace %s, by which VaultPolicies may select it: %s", w.obj.Namespace, refusal(err))
	}
	set, err := policy.Compile(nil)
	if err != nil {
		return
	}
	for i := range all {
		p := policyOf(&all[i], w.obj, m.Labels)
		if with, err := set.With(p); err == nil { // one that does not parse is in no vault
			set = with
		}
	}
	w.judge(set)
}

// judge asks for what every source needs.
func (w *walk) judge(set *policy.Set) {
	sub := policy.Subject{Type: policy.TypeServiceAccount, ID: w.identity, Namespace: w.obj.Namespace, Now: w.now()}
	var by []string
	for _, q := range questions(&w.obj.Spec) {
		d := set.Explain(policy.Request{Subject: sub, Permission: q.permission, Path: q.path})
		switch {
		case d.Allowed:
			by = append(by, d.PolicyID)
		case d.Nearest == nil:
			w.note(linkPolicy, resultUnknown, "", "no VaultPolicy lets %s %s, and none comes near", w.identity, q)
			return
		default:
			w.note(linkPolicy, resultUnknown, "", "no VaultPolicy lets %s %s; %s", w.identity, q,
				q.nearest("VaultPolicy "+d.Nearest.PolicyID, d.Nearest.Pattern, d.Nearest.Why))
			return
		}
	}
	w.note(linkPolicy, resultUnknown, "", "VaultPolicy %s allows it", strings.Join(unique(by), ", "))
}

// question is what a source needs to be allowed.
type question struct {
	permission policy.Permission
	path       string
	prefix     string // where it stands for all below one
}

// questions are one for each source. For a prefix it is whether any secret below it could be listed: "-" is a
// name that nobody gives to one.
func questions(spec *v1alpha1.VaultSecretSpec) []question {
	var all []question
	for _, src := range spec.Sources {
		if src.PathPrefix != "" {
			all = append(all, question{permission: policy.List, path: string(src.PathPrefix) + "-", prefix: string(src.PathPrefix)})
		} else {
			all = append(all, question{permission: policy.Read, path: string(src.Path)})
		}
	}
	return all
}

// String says what is asked for, as after "may".
func (q question) String() string {
	if q.prefix != "" {
		return "list all below " + q.prefix
	}
	return "read " + q.path
}

// nearest says what came nearest to allowing, and what it lacks.
func (q question) nearest(which, pattern, why string) string {
	lacks := map[string]string{
		policy.WhyCondition:  "has conditions, which are judged on the operator and not on the pod",
		policy.WhyExpired:    "is bound to it no more",
		policy.WhyInactive:   "is not active",
		policy.WhyPermission: "does not allow " + string(q.permission),
		policy.WhyPath:       "covers other paths",
	}[why]
	return fmt.Sprintf("%s comes nearest: its %s %s", which, pattern, lacks)
}

// policyOf is a VaultPolicy as the evaluator takes it, bound to the ServiceAccount of obj if it names it.
func policyOf(p *v1alpha1.VaultPolicy, obj *v1alpha1.VaultSecret, home map[string]string) policy.Policy {
	out := policy.Policy{ID: p.Name, Name: p.Name, Active: true}
	for _, r := range p.Spec.Rules {
		var conditions *policy.Conditions
		if r.When != nil { // judged on the operator, of which nothing is known here
			conditions = &policy.Conditions{IPRanges: []netip.Prefix{}}
		}
		var permissions []policy.Permission
		for _, x := range r.Permissions {
			permissions = append(permissions, policy.Permission(x))
		}
		for _, path := range r.Paths {
			out.Rules = append(out.Rules, policy.Rule{Pattern: string(path), Permissions: permissions, Conditions: conditions})
		}
	}
	for _, u := range p.Spec.Subjects {
		if !means(u, obj, home) {
			continue
		}
		b := policy.Binding{IdentityType: policy.TypeServiceAccount, IdentityID: identityOf(obj)}
		if u.ExpiresAt != nil {
			b.ExpiresAt = u.ExpiresAt.Time
		}
		out.Bindings = append(out.Bindings, b)
	}
	return out
}

// means tells whether a subject is the ServiceAccount of obj, whose namespace has the labels of home.
func means(u v1alpha1.PolicySubject, obj *v1alpha1.VaultSecret, home map[string]string) bool {
	switch u.Kind {
	case v1alpha1.SubjectServiceAccount:
		return u.Namespace == obj.Namespace && u.Name == obj.ServiceAccount()
	case v1alpha1.SubjectServiceAccounts:
		s, err := metav1.LabelSelectorAsSelector(u.NamespaceSelector)
		return err == nil && u.Name == obj.ServiceAccount() && s.Matches(labels.Set(home))
	}
	return u.Type == v1alpha1.IdentityServiceAccount && u.Name == identityOf(obj)
}

// identityOf is whom the vault takes the ServiceAccount of obj for by the default trust rule of its home cluster.
func identityOf(obj *v1alpha1.VaultSecret) string {
	return "sa:" + obj.Namespace + ":" + obj.ServiceAccount()
}
