package operator_test

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/operator"
)

// beside is a world on a second real cluster with an operator of its own and the same vault, which verifies that
// cluster's tokens by the keys it publishes.
func (w *world) beside() *world {
	w.Helper()
	plane := controlplane.Edge(w)
	if _, err := plane.Kubectl(w.Context(), "apply", "--server-side", "-k", filepath.Join(controlplane.Root(), "config/default")); err != nil {
		w.Fatal(err)
	}
	plane.InstallCRDs(w)
	w.vault.Stop()
	w.vault.Args = append(w.vault.Args, "--cluster", "name=edge,issuer="+plane.Issuer+",jwks="+plane.PublishKeys(w)+",ca="+filepath.Join(plane.Dir, "ca.crt"))
	w.vault.Start()
	e := &world{T: w.T, plane: plane, vault: w.vault, admin: w.admin, core: kubernetes.NewForConfigOrDie(plane.Config)}
	scheme, err := controllers.Scheme()
	if err != nil {
		w.Fatal(err)
	}
	if e.kube, err = kube.NewWithWatch(plane.Config, kube.Options{Scheme: scheme}); err != nil {
		w.Fatal(err)
	}
	token, err := plane.ServiceAccountToken(w.Context(), operator.Namespace, operator.Account, plane.Issuer)
	if err != nil {
		w.Fatal(err)
	}
	var kubeconfig string
	e.api, kubeconfig = operator.NewAPIGate(e, plane, token)
	e.wire = operator.NewVaultGate(e, w.vault.URL)
	e.operator = operator.New(e, kubeconfig, e.wire.URL)
	e.operator.Args = append(e.operator.Args, "--cluster-name", "edge")
	w.Cleanup(e.finish)
	return e
}

// admits trusts a cluster's workloads and its operator, as docs/spec/clusters.md tells an administrator to.
func (w *world) admits(cluster string) {
	w.Helper()
	scopes := []string{"policies:read", "policies:write", "secrets:list", "subscriptions:read", "subscriptions:write", "rotation:manage", "owned:release", "pki:issue"}
	for _, rule := range []vaultapi.TrustRuleWrite{
		{Name: cluster, Cluster: cluster},
		{Name: cluster + "-operator", Cluster: cluster, Namespace: operator.Namespace, ServiceAccount: operator.Account, Scopes: scopes},
	} {
		if _, err := w.admin.TrustRules.Create(w.Context(), rule); err != nil {
			w.Fatal(err)
		}
	}
	p, err := w.admin.Policies.Create(w.Context(), vaultapi.PolicyWrite{
		Name: cluster + "-operator", Rules: []vaultapi.Rule{{PathPattern: "**", Permissions: []string{"list"}}},
	})
	if err != nil {
		w.Fatal(err)
	}
	bind := vaultapi.BindingWrite{IdentityID: "sa:" + cluster + ":" + operator.Namespace + ":" + operator.Account}
	if _, err := w.admin.Policies.Bind(w.Context(), p.ID, bind); err != nil {
		w.Fatal(err)
	}
}

// One vault serves two clusters. The same namespace and the same ServiceAccount in both are two identities, each
// operator looks after its own policies, and neither sweeps the other's.
func TestSecondCluster(t *testing.T) {
	w := running(t)
	e := w.beside()
	e.ns = e.namespace("app", nil)
	for _, x := range []*world{w, e} { // the same names in both clusters
		other := w
		if x == w {
			other = e
		}
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other.ns}}
		if err := x.kube.Create(t.Context(), ns); err != nil {
			t.Fatal(err)
		}
		x.account(other.ns, "app")
	}
	path := "apps/" + e.ns + "/db"
	w.put(path, map[string]any{"k": w.value("one")})
	e.operator.Start()
	e.create("early", path)
	e.is("early", "False/AccessDenied")
	e.says("early", "does not accept ServiceAccount "+e.ns+"/app")
	w.admits("edge")
	subject := v1alpha1.PolicySubject{Kind: v1alpha1.SubjectServiceAccount, Namespace: e.ns, Name: "app"}
	p := e.policy([]v1alpha1.PathPattern{"apps/{namespace}/**"}, subject)
	e.policyIs(p, "True/Applied")
	e.create("db", path)
	e.holds("db", "k="+w.value("one"))
	e.annotate(e.get("early"), v1alpha1.AnnotationRequestedAt, "now")
	e.is("early", "True/Synced")

	same := w.declared("db", path)
	same.Namespace = e.ns
	if err := w.kube.Create(t.Context(), same); err != nil {
		t.Fatal(err)
	}
	w.until("the same account of the home cluster", "False/AccessDenied", func() string {
		got := &v1alpha1.VaultSecret{}
		if err := w.kube.Get(t.Context(), keyOf(same), got); err != nil {
			return err.Error()
		}
		return ready(got)
	})

	home := w.allowed()
	for _, x := range []*world{w, e} { // a start sweeps
		x.operator.Stop()
		x.operator.Start()
	}
	w.policyIs(home, "True/Applied")
	w.put(path, map[string]any{"k": w.value("two")})
	e.holds("db", "k="+w.value("two"))
	for name, cluster := range map[string]string{"home." + home.Name: "k8s:home/", "edge." + p.Name: "k8s:edge/"} {
		got, err := w.admin.Policies.Get(t.Context(), name)
		if err != nil || !strings.HasPrefix(got.Owner, cluster) {
			t.Errorf("policy %s: %+v, %v", name, got, err)
		}
	}
	read, err := w.admin.Audit.Logs(t.Context(), client.AuditFilter{IdentityID: "sa:edge:" + e.ns + ":app", Limit: 10})
	if err != nil || len(read.Logs) == 0 {
		t.Errorf("the trail does not name the workload of edge: %v", err)
	}
	if out, err := e.operator.Command(t.Context(), e.operator.Kubeconfig, "release", "--cluster-name", "edge", "--service-account", operator.Account, "--patience", "20s"); err != nil {
		t.Error(err, out)
	}
	if _, err := w.admin.Policies.Get(t.Context(), "home."+home.Name); err != nil {
		t.Errorf("edge's release took home's policy: %v", err)
	}
	if _, err := w.admin.Policies.Get(t.Context(), "edge."+p.Name); vaultapi.Code(err) != "policy_not_found" {
		t.Errorf("edge's policy after its release: %v", err)
	}
	e.remove(p)
	e.operator.Stop()
	w.kubectl("-n", e.ns, "delete", "vaultsecret", "db")
}
