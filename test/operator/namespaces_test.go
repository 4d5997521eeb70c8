package operator_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/operator"
)

const narrow = "narrow" // ServiceAccount of an operator that serves some namespaces

// shippedRules are the rules of the operator's ClusterRole: those of a namespace, or those of what lies in none.
func shippedRules(t *testing.T, ofTheCluster bool) []rbacv1.PolicyRule {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(controlplane.Root(), "config/rbac/role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules []rbacv1.PolicyRule
	for part := range bytes.SplitSeq(raw, []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(part, &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind != "ClusterRole" {
			continue
		}
		for _, r := range role.Rules {
			r.Resources = slices.DeleteFunc(r.Resources, func(name string) bool {
				kind, _, _ := strings.Cut(name, "/")
				return slices.Contains([]string{"namespaces", "vaultpolicies", "clusterpkiissuers", "certificatesigningrequests", "signers", "subjectaccessreviews"}, kind) != ofTheCluster
			})
			if len(r.Resources) > 0 {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// narrows gives the operator a ServiceAccount that has rights in some namespaces only, and the vault a rule for it.
func (w *world) narrows(namespaces ...string) {
	w.Helper()
	w.account(operator.Namespace, narrow)
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: operator.Namespace, Name: narrow}}
	for _, ns := range namespaces {
		w.grants(ns, shippedRules(w.T, false), subjects)
	}
	w.grants(operator.Namespace, []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "update"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update"}},
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{narrow}, Verbs: []string{"create"}}, // a pod has a projected one
	}, subjects)
	scopes := []string{"policies:read", "policies:write", "secrets:list", "subscriptions:read", "subscriptions:write", "rotation:manage", "owned:release", "pki:issue"}
	rule := vaultapi.TrustRuleWrite{Name: narrow, Namespace: operator.Namespace, ServiceAccount: narrow, Scopes: scopes}
	if _, err := w.admin.TrustRules.Create(w.Context(), rule); err != nil {
		w.Fatal(err)
	}
	if _, err := w.admin.Policies.Bind(w.Context(), w.policyInVault("list-all", "**", "list"), vaultapi.BindingWrite{IdentityID: "sa:" + operator.Namespace + ":" + narrow}); err != nil {
		w.Fatal(err)
	}
	token, err := w.plane.ServiceAccountToken(w.Context(), operator.Namespace, narrow, apiAudience)
	if err != nil {
		w.Fatal(err)
	}
	var kubeconfig string
	w.api, kubeconfig = operator.NewAPIGate(w, w.plane, token)
	w.operator.Kubeconfig = kubeconfig
	w.operator.Args = append(w.operator.Args, "--service-account", narrow, "--namespaces", strings.Join(namespaces, ","))
}

// grants makes a Role and binds it.
func (w *world) grants(ns string, rules []rbacv1.PolicyRule, subjects []rbacv1.Subject) {
	w.Helper()
	name := metav1.ObjectMeta{Namespace: ns, Name: narrow}
	role := &rbacv1.Role{ObjectMeta: name, Rules: rules}
	if _, err := w.core.RbacV1().Roles(ns).Create(w.Context(), role, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: narrow}}
	if _, err := w.core.RbacV1().RoleBindings(ns).Create(w.Context(), binding, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_, _ = w.plane.Kubectl(context.WithoutCancel(w.Context()), "-n", ns, "delete", "role,rolebinding", narrow)
	})
}

// policyInVault makes a policy as an administrator of the vault does, and gives its id.
func (w *world) policyInVault(name, pattern string, permissions ...string) string {
	w.Helper()
	p, err := w.admin.Policies.Create(w.Context(), vaultapi.PolicyWrite{Name: name, Rules: []vaultapi.Rule{{PathPattern: pattern, Permissions: permissions}}})
	if err != nil {
		w.Fatal(err)
	}
	return p.ID
}

// An operator with Roles in two namespaces serves these, asks for nothing outside of them, and needs no right in the
// cluster; policies are then an administrator's. With the rights to what lies in no namespace it looks after
// VaultPolicies as well.
func TestNarrowedToNamespaces(t *testing.T) {
	w := newWorld(t)
	mine, second, outside := w.ns, w.namespace("second", nil), w.namespace("outside", nil)
	w.narrows(mine, second)
	w.operator.Args = append(w.operator.Args, "--policies=false")
	path, one, two := w.path("db"), w.value("one"), w.value("two")
	w.put(path, map[string]any{"k": one})
	readers := w.policyInVault("readers", "apps/**", "read", "list")
	for _, ns := range []string{mine, second, outside} {
		if _, err := w.admin.Policies.Bind(t.Context(), readers, vaultapi.BindingWrite{IdentityID: "sa:" + ns + ":app"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, ns := range []string{mine, second, outside} {
		v := w.declared("db", path)
		v.Namespace = ns
		if err := w.kube.Create(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	w.operator.Start()
	for _, ns := range []string{mine, second} {
		w.ns = ns
		w.synced("db")
		w.holds("db", "k="+one)
	}
	w.put(path, map[string]any{"k": two})
	w.holds("db", "k="+two)
	w.edit("db", `{"data":{"k":"aGFja2Vk"}}`)
	w.holds("db", "k="+two)
	w.ns = outside
	if got := ready(w.get("db")); got != "" || w.secret("db") != nil {
		t.Errorf("a namespace that is not served: %q", got)
	}
	for _, c := range w.api.Calls(func(operator.Call) bool { return true }) {
		ns, inside := strings.CutPrefix(c.Path, "/api/v1/namespaces/")
		if !inside {
			_, ns, inside = strings.Cut(c.Path, "/namespaces/")
		}
		ns, _, _ = strings.Cut(ns, "/")
		discovery := c.Path == "/api" || c.Path == "/apis" || strings.Count(c.Path, "/") <= 3 && !strings.Contains(c.Path, "secret") && !inside
		if !discovery && !slices.Contains([]string{mine, second, operator.Namespace}, ns) {
			t.Errorf("asked for %s", c)
		}
	}
	w.kubectl("-n", outside, "delete", "vaultsecret", "db")

	w.operator.Stop()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: narrow}, Rules: shippedRules(t, true)}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: narrow}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: narrow},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: operator.Namespace, Name: narrow}}}
	if _, err := w.core.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.core.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = w.plane.Kubectl(t.Context(), "delete", "clusterrole,clusterrolebinding", narrow) })
	w.operator.Args = slices.DeleteFunc(w.operator.Args, func(a string) bool { return a == "--policies=false" })
	w.operator.Start()
	p := w.policy([]v1alpha1.PathPattern{"apps/{namespace}/**"}, serviceAccount(mine, "app"), v1alpha1.PolicySubject{
		Kind: v1alpha1.SubjectServiceAccounts, Name: "app", NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: outside}},
	})
	w.policyIs(p, "True/Applied")
	w.bound(p, "sa:"+mine+":app sa:"+outside+":app")
	w.remove(p)
	w.ended(&v1alpha1.VaultPolicy{}, keyOf(p))
}
