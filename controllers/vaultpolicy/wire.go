package vaultpolicy

import (
	"cmp"
	"slices"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// homeCluster is the cluster that the vault lives in; its ServiceAccounts have the short identities.
const homeCluster = "home"

// rules turns the rules of a spec into the vault's, which have one pattern each.
func rules(spec *v1alpha1.VaultPolicySpec) []vaultapi.Rule {
	var out []vaultapi.Rule
	for _, r := range spec.Rules {
		permissions := make([]string, 0, len(r.Permissions))
		for _, p := range r.Permissions {
			permissions = append(permissions, string(p))
		}
		for _, p := range r.Paths {
			out = append(out, vaultapi.Rule{PathPattern: string(p), Permissions: permissions, Conditions: conditions(r.When)})
		}
	}
	return out
}

// conditions keeps a list that is given but empty, so that the vault refuses it: it can be read as "any" and as "none".
func conditions(w *v1alpha1.PolicyConditions) *vaultapi.Conditions {
	if w == nil || w.IPRanges == nil && w.MFA == "" && w.TimeWindow == nil {
		return nil
	}
	c := &vaultapi.Conditions{IPRanges: w.IPRanges, RequireMFA: w.MFA == v1alpha1.MFARequired}
	if t := w.TimeWindow; t != nil {
		c.TimeWindow = &vaultapi.TimeWindow{Start: t.Start, End: t.End, Timezone: t.TimeZone}
		if t.Days != nil {
			c.TimeWindow.Days = make([]string, 0, len(t.Days))
		}
		for _, d := range t.Days {
			c.TimeWindow.Days = append(c.TimeWindow.Days, string(d))
		}
	}
	return c
}

// accountIdentity is what the vault calls a ServiceAccount.
func accountIdentity(cluster, namespace, name string) string {
	if cluster == homeCluster {
		return "sa:" + namespace + ":" + name
	}
	return "sa:" + cluster + ":" + namespace + ":" + name
}

// bindings lists whom a spec names, each once; namespaces gives the namespaces that a selector picks.
// A subject whose time is over is left out. Of two subjects that give one identity the longer one counts.
func bindings(spec *v1alpha1.VaultPolicySpec, cluster string, namespaces func(v1alpha1.PolicySubject) ([]string, error), now time.Time) ([]vaultapi.BindingWrite, error) {
	longest := map[string]vaultapi.BindingWrite{}
	for _, u := range spec.Subjects {
		if u.ExpiresAt != nil && !u.ExpiresAt.After(now) {
			continue
		}
		ids, kind, err := identities(u, cluster, namespaces)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			b := vaultapi.BindingWrite{IdentityType: kind, IdentityID: id, ExpiresAt: end(u)}
			if was, twice := longest[id]; !twice || was.ExpiresAt != "" && (b.ExpiresAt == "" || b.ExpiresAt > was.ExpiresAt) {
				longest[id] = b
			}
		}
	}
	out := make([]vaultapi.BindingWrite, 0, len(longest))
	for _, b := range longest {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b vaultapi.BindingWrite) int { return cmp.Compare(a.IdentityID, b.IdentityID) })
	return out, nil
}

func identities(u v1alpha1.PolicySubject, cluster string, namespaces func(v1alpha1.PolicySubject) ([]string, error)) (ids []string, kind string, err error) {
	switch u.Kind {
	case v1alpha1.SubjectIdentity:
		return []string{u.Name}, string(u.Type), nil
	case v1alpha1.SubjectServiceAccount:
		return []string{accountIdentity(cluster, u.Namespace, u.Name)}, string(v1alpha1.IdentityServiceAccount), nil
	}
	picked, err := namespaces(u)
	for _, ns := range picked {
		ids = append(ids, accountIdentity(cluster, ns, u.Name))
	}
	return ids, string(v1alpha1.IdentityServiceAccount), err
}

// soonestEnd is when the next subject's time is over, zero if none is limited.
func soonestEnd(spec *v1alpha1.VaultPolicySpec, now time.Time) (soonest time.Time) {
	for _, u := range spec.Subjects {
		if u.ExpiresAt != nil && u.ExpiresAt.After(now) && (soonest.IsZero() || u.ExpiresAt.Time.Before(soonest)) {
			soonest = u.ExpiresAt.Time
		}
	}
	return soonest
}

// end is when a binding ends, in UTC and whole seconds, so that ends compare as text.
func end(u v1alpha1.PolicySubject) string {
	if u.ExpiresAt == nil {
		return ""
	}
	return u.ExpiresAt.UTC().Format(time.RFC3339)
}

// difference says which bindings to remove and which to make. One whose end changed is both.
func difference(want []vaultapi.BindingWrite, have []vaultapi.Binding) (remove []vaultapi.Binding, add []vaultapi.BindingWrite) {
	same := func(w vaultapi.BindingWrite, h vaultapi.Binding) bool {
		until := ""
		if h.ExpiresAt != nil && !h.ExpiresAt.IsZero() {
			until = h.ExpiresAt.UTC().Format(time.RFC3339)
		}
		return w.IdentityID == h.IdentityID && w.IdentityType == h.IdentityType && w.ExpiresAt == until
	}
	for _, h := range have {
		if !slices.ContainsFunc(want, func(w vaultapi.BindingWrite) bool { return same(w, h) }) {
			remove = append(remove, h)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h vaultapi.Binding) bool { return same(w, h) }) {
			add = append(add, w)
		}
	}
	return remove, add
}
