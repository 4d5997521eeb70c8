package chart_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
)

const release = "vault"

// helm is one Helm that people use.
type helm struct{ name, path string }

// helms are those that hack/helm/assets.sh finds or builds.
func helms(t *testing.T) []helm {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(controlplane.Root(), "hack/helm/assets.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("hack/helm/assets.sh, which builds Helm: %v", err)
	}
	dir := strings.TrimSpace(string(out))
	return []helm{{"helm3", filepath.Join(dir, "helm3")}, {"helm4", filepath.Join(dir, "helm4")}}
}

// world is a control plane, a namespace for the install that admits restricted pods only, a node that runs them, and
// one Helm.
type world struct {
	*testing.T
	helm
	plane *controlplane.Plane
	node  *node
	kube  kube.Client // cluster-admin
	core  kubernetes.Interface
	ns    string
	home  string // of Helm
}

func newWorld(t *testing.T, h helm) *world {
	t.Helper()
	log.SetLogger(logr.Discard()) // the library of the test's own client asks for one
	w := &world{T: t, helm: h, plane: controlplane.Start(t), home: t.TempDir()}
	scheme, err := controllers.Scheme()
	w.must(err)
	w.kube, err = kube.New(w.plane.Config, kube.Options{Scheme: scheme})
	w.must(err)
	w.core = kubernetes.NewForConfigOrDie(w.plane.Config)
	w.ns = w.plane.Namespace(t, "install", map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	w.node = newNode(t, w.plane, w.ns)
	t.Cleanup(w.leave)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// leave makes room for the next install: names are those of the cluster, and the kinds say whose they are.
func (w *world) leave() {
	ctx := context.WithoutCancel(w.Context())
	_, _ = w.tryRun(ctx, "uninstall", release, "--namespace", w.ns, "--no-hooks")
	if _, err := w.plane.Kubectl(ctx, "delete", "-k", filepath.Join(controlplane.Root(), "config/crd"), "--timeout=60s"); err != nil {
		w.Error(err)
	}
}

// tryRun runs Helm and returns what it printed.
func (w *world) tryRun(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.path, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.plane.Kubeconfig, "HELM_CACHE_HOME="+w.home, "HELM_CONFIG_HOME="+w.home, "HELM_DATA_HOME="+w.home)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("helm %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (w *world) run(args ...string) string {
	w.Helper()
	out, err := w.tryRun(w.Context(), args...)
	if err != nil {
		w.Fatalf("%v\n%s", err, w.node.logs())
	}
	return out
}

// install installs or upgrades with values, and waits until all is ready.
func (w *world) install(verb string, set ...string) {
	w.Helper()
	args := []string{verb, release, chart(), "--namespace", w.ns, "--wait", "--timeout", "3m"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	w.run(args...)
}

func chart() string { return filepath.Join(controlplane.Root(), "charts/scaivault") }

func (w *world) kubectl(args ...string) string {
	w.Helper()
	out, err := w.plane.Kubectl(w.Context(), args...)
	w.must(err)
	return out
}

// token makes a token on the server's pod, as an administrator does with kubectl exec.
func (w *world) token(args ...string) string {
	w.Helper()
	server := w.node.of("server")[0]
	line := append([]string{"scaivault-server", "token", "create", "--json"}, args...)
	if server.paths["/var/lib/scaivault"] != "" {
		line = append(line, "--data-dir", "/var/lib/scaivault")
	}
	out, err := server.exec(line...)
	if err != nil {
		w.Fatalf("%v: %v\n%s", line, err, out)
	}
	var made struct {
		Token string `json:"token"`
	}
	w.must(json.Unmarshal([]byte(out), &made))
	return made.Token
}

// client speaks to the vault at a URL as whoever holds a token, and trusts the install's authority.
func (w *world) client(url, token string) *client.Client {
	w.Helper()
	ca := &corev1.Secret{}
	w.must(w.kube.Get(w.Context(), kube.ObjectKey{Namespace: w.ns, Name: "scaivault-ca"}, ca))
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca.Data["ca.crt"]) {
		w.Fatal("no authority")
	}
	c, err := client.New(client.Options{BaseURL: url, Token: token, RootCAs: pool})
	w.must(err)
	return c
}

// write puts a value into the vault.
func (w *world) write(c *client.Client, path, value string) {
	w.Helper()
	_, err := c.Secrets.Write(w.Context(), path, vaultapi.WriteRequest{Data: json.RawMessage(`{"password":"` + value + `"}`)})
	w.must(err)
}

// app is a namespace of a user, with a VaultSecret of one path that a VaultPolicy allows.
func (w *world) app(path string) string {
	w.Helper()
	ns := w.plane.Namespace(w, "app", nil)
	w.want(ns, path)
	return ns
}

// want puts into a namespace a ServiceAccount and its VaultSecret of one path, and allows it.
func (w *world) want(ns, path string) {
	w.Helper()
	w.must(w.kube.Create(w.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"}}))
	w.must(w.kube.Create(w.Context(), &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: ns}, Spec: v1alpha1.VaultPolicySpec{
		Rules:    []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{v1alpha1.PathPattern(path)}, Permissions: []v1alpha1.Permission{"read"}}},
		Subjects: []v1alpha1.PolicySubject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: ns, Name: "app"}},
	}}))
	w.must(w.kube.Create(w.Context(), &v1alpha1.VaultSecret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db"}, Spec: v1alpha1.VaultSecretSpec{
		ServiceAccountName: "app", Sources: []v1alpha1.Source{{Name: "db", Path: v1alpha1.SecretPath(path)}},
	}}))
}

// synced waits until the Secret of an app holds a value.
func (w *world) synced(ns, value string) {
	w.Helper()
	w.node.until("Secret "+ns+"/db", func() error {
		s, v := &corev1.Secret{}, &v1alpha1.VaultSecret{}
		if err := w.kube.Get(w.Context(), kube.ObjectKey{Namespace: ns, Name: "db"}, v); err != nil {
			return err
		}
		if err := w.kube.Get(w.Context(), kube.ObjectKey{Namespace: ns, Name: "db"}, s); err != nil {
			return fmt.Errorf("%w; the VaultSecret says %v", err, meta.FindStatusCondition(v.Status.Conditions, "Ready"))
		}
		if string(s.Data["password"]) != value {
			return fmt.Errorf("it holds another value; the VaultSecret says %v", meta.FindStatusCondition(v.Status.Conditions, "Ready"))
		}
		return nil
	})
}

// gone wants every object of a manifest to be gone but those that Helm keeps.
func (w *world) gone(manifest string) {
	w.Helper()
	path := filepath.Join(w.home, "manifest.yaml")
	w.must(os.WriteFile(path, []byte(manifest), 0o600))
	left := strings.Fields(w.kubectl("get", "--ignore-not-found", "--namespace", w.ns, "-o", "name", "-f", path))
	for _, name := range left {
		if !strings.HasPrefix(name, "customresourcedefinition.") {
			w.Errorf("%s is left", name)
		}
	}
	if len(left) < 2 {
		w.Errorf("the kinds are gone: %v", left)
	}
}
