package chart_test

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/postgres"
)

// With every option at once: the API server takes all of it, limits the operator and its users as it should, and
// what is measured is what the documentation says.
func TestEveryOption(t *testing.T) {
	w := newWorld(t, newest(t))
	w.monitored()
	w.install("install", "webhook.enabled=true", "operator.refreshPods=true", "server.args={--rate-limit=policy_test=1}",
		"monitoring.serviceMonitors.enabled=true", "monitoring.alerts.enabled=true", "monitoring.dashboard.enabled=true")
	admin := w.token("--admin")
	w.write(w.client(w.node.vault.url(), admin), "shop/db", "one")
	app := w.app("shop/db")
	w.synced(app, "one")
	w.fairness()
	w.users(app)
	w.tokens(app)
	w.admission()
	w.metrics(admin)
}

func newest(t *testing.T) helm {
	t.Helper()
	all := helms(t)
	return all[len(all)-1]
}

// monitored installs the definitions of the Prometheus operator.
func (w *world) monitored() {
	w.Helper()
	dir := filepath.Join(controlplane.Root(), "hack/monitoring")
	const module = "github.com/prometheus-operator/prometheus-operator"
	if out, err := command(w, dir, "go", "mod", "download", module); err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
	out, err := command(w, dir, "go", "list", "-m", "-f", "{{.Dir}}", module)
	w.must(err)
	for _, kind := range []string{"servicemonitors", "prometheusrules"} {
		w.kubectl("apply", "--server-side", "-f", filepath.Join(strings.TrimSpace(out), "example/prometheus-operator-crd/monitoring.coreos.com_"+kind+".yaml"))
		w.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/"+kind+".monitoring.coreos.com")
	}
}

func command(w *world, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(w.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	return string(out), err
}

// fairness: the API server puts the operator's calls where the flow schemas say.
func (w *world) fairness() {
	w.Helper()
	path, err := w.node.of("operator")[0].kubeconfig()
	w.must(err)
	config, err := controlplane.Load(path)
	w.must(err)
	operator, err := rest.HTTPClientFor(config)
	w.must(err)
	for schema, path := range map[string]string{
		"scaivault":                 "/api/v1/secrets?limit=1",
		"scaivault-leader-election": "/apis/coordination.k8s.io/v1/namespaces/" + w.ns + "/leases/scaivault-operator",
	} {
		want, err := w.core.FlowcontrolV1().FlowSchemas().Get(w.Context(), schema, metav1.GetOptions{})
		w.must(err)
		w.node.until(path+" falls under FlowSchema "+schema, func() error {
			resp, err := operator.Get(w.plane.URL + path)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			if got := resp.Header.Get("X-Kubernetes-Pf-Flowschema-Uid"); got != string(want.UID) || resp.StatusCode != http.StatusOK {
				return fmt.Errorf("status %d, flow schema %s", resp.StatusCode, got)
			}
			return nil
		})
	}
}

// users: who edits a namespace edits its VaultSecrets, who views it views them, and neither grants rights.
func (w *world) users(ns string) {
	w.Helper()
	for _, role := range []string{"edit", "view"} {
		w.kubectl("-n", ns, "create", "rolebinding", role, "--clusterrole", role, "--user", role+"or")
	}
	for question, want := range map[string]string{
		"editor create vaultsecrets": "yes", "editor patch vaultsecrets/status": "no", "editor get vaultpolicies": "no", "editor create vaultpolicies": "no",
		"editor create rotationschedules": "yes", "viewor list rotationschedules": "yes", "viewor create rotationschedules": "no",
		"editor create pkiissuers": "yes", "viewor list pkiissuers": "yes", "viewor create pkiissuers": "no", "editor create clusterpkiissuers": "no", "viewor list clusterpkiissuers": "no",
		"viewor list vaultsecrets": "yes", "viewor create vaultsecrets": "no", "viewor list vaultpolicies": "no",
	} {
		q := strings.Fields(question)
		resource, sub, _ := strings.Cut(q[2], "/")
		w.node.until(question, func() error { // roles are put together by a controller
			out, _ := w.plane.Kubectl(w.Context(), "auth", "can-i", q[1], resource+".scaivault.io", "--subresource="+sub, "-n", ns, "--as", q[0])
			if !strings.HasSuffix("\n"+strings.TrimSpace(out), "\n"+want) && !strings.HasPrefix(out, want) {
				return fmt.Errorf("want %s, got %s", want, out)
			}
			return nil
		})
	}
}

// tokens: the operator gets those that only the vault takes, and no other.
func (w *world) tokens(ns string) {
	w.Helper()
	as := "system:serviceaccount:" + w.ns + ":scaivault-operator"
	w.node.until("another audience is refused", func() error {
		out, err := w.plane.Kubectl(w.Context(), "-n", ns, "create", "token", "app", "--audience", "other", "--duration", "10m", "--as", as)
		if err == nil || !strings.Contains(out, "audience scaivault only") {
			return errors.New("got " + fmt.Sprint(err))
		}
		return nil
	})
	w.kubectl("-n", ns, "create", "token", "app", "--audience", "scaivault", "--duration", "10m", "--as", as)
}

// admission: the operator serves with the certificate that the API server was told to trust. The API server cannot
// reach the Service, for there is no network of pods; it is shown the same process at its own address.
func (w *world) admission() {
	w.Helper()
	address := strings.Replace(w.node.of("operator")[0].address("webhook"), "127.0.0.1", "localhost", 1)
	var patch []string
	for i, kind := range []string{"rotationschedule", "vaultpolicy", "vaultsecret"} {
		at := fmt.Sprintf("/webhooks/%d/clientConfig/", i)
		patch = append(patch, fmt.Sprintf(`{"op":"remove","path":"%sservice"},{"op":"add","path":"%surl","value":"https://%s/validate-scaivault-io-v1alpha1-%s"}`, at, at, address, kind))
	}
	w.kubectl("patch", "validatingwebhookconfiguration", "scaivault", "--type=json", "-p", "["+strings.Join(patch, ",")+"]")
	w.node.until("a policy that cannot work is refused at once", func() error {
		err := w.kube.Create(w.Context(), &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Spec: v1alpha1.VaultPolicySpec{
			Rules: []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{"a/b**"}, Permissions: []v1alpha1.Permission{"read"}}},
		}}, kube.DryRunAll)
		if !apierrors.IsInvalid(err) {
			return errors.New("got " + fmt.Sprint(err))
		}
		return nil
	})
}

// Two servers without a disk share a PostgreSQL database: what one wrote the other reads, and the operator too.
func TestPostgres(t *testing.T) {
	w := newWorld(t, newest(t))
	w.must(w.kube.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "database"}, StringData: map[string]string{"url": postgres.Start(t)},
	}))
	w.install("install", "server.replicas=2", "server.database.secretName=database")
	servers := w.node.of("server")
	if len(servers) != 2 || !servers[0].ready.Load() || !servers[1].ready.Load() {
		t.Fatalf("%d servers\n%s", len(servers), w.node.logs())
	}
	admin := w.token("--admin")
	at := func(i int) *client.Client {
		return w.client("https://"+strings.Replace(servers[i].address("https"), "127.0.0.1", "localhost", 1), admin)
	}
	w.write(at(0), "shop/db", "one")
	got, err := at(1).Secrets.Read(t.Context(), "shop/db", client.ReadOptions{})
	w.must(err)
	if got.Version != 1 {
		t.Errorf("version %d", got.Version)
	}
	w.synced(w.app("shop/db"), "one")
	w.run("uninstall", release, "--namespace", w.ns, "--wait", "--timeout", "3m")
}

// With operator.namespaces the operator works in these, cannot even look into others, and needs no ClusterRole for
// what lies in namespaces; without policies it needs none at all.
func TestNamespaces(t *testing.T) {
	w := newWorld(t, newest(t))
	served, other := w.plane.Namespace(t, "served", nil), w.plane.Namespace(t, "other", nil)
	w.install("install", "operator.namespaces={"+served+"}")
	w.apart()
	vault := w.client(w.node.vault.url(), w.token("--admin"))
	w.write(vault, "shop/db", "one")
	w.want(other, "shop/db")
	w.want(served, "shop/db")
	w.synced(served, "one")

	w.install("upgrade", "operator.namespaces={"+served+"}", "operator.policies=false")
	w.write(vault, "shop/db", "two")
	w.synced(served, "two")
	untouched := &v1alpha1.VaultSecret{}
	w.must(w.kube.Get(t.Context(), kube.ObjectKey{Namespace: other, Name: "db"}, untouched))
	if len(untouched.Status.Conditions) > 0 {
		t.Errorf("another namespace was looked into: %v", untouched.Status.Conditions)
	}
	as := "system:serviceaccount:" + w.ns + ":scaivault-operator"
	for _, question := range [][]string{
		{"list", "secrets", "-A"}, {"get", "secrets", "-n", other}, {"create", "serviceaccounts/token", "-n", other}, {"list", "vaultpolicies.scaivault.io"}, {"list", "namespaces"},
	} {
		if out, err := w.plane.Kubectl(t.Context(), append([]string{"auth", "can-i", "--as", as}, question...)...); err == nil {
			t.Errorf("the operator may %v: %s", question, out)
		}
	}
	w.run("uninstall", release, "--namespace", w.ns, "--wait", "--timeout", "3m")
}
