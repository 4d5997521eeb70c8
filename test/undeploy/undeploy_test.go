package undeploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	system = "scaivault-system"
	limit  = 3 * time.Minute
)

type world struct {
	*testing.T
	plane *controlplane.Plane
	kube  kube.Client
	vault *vault.Server
	ns    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, plane: controlplane.Start(t)}
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	if w.kube, err = kube.New(w.plane.Config, kube.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	w.kubectl("apply", "--server-side", "-k", filepath.Join(controlplane.Root(), "config/default"))
	w.plane.InstallCRDs(t)
	server, err := w.plane.User("system:serviceaccount:"+system+":scaivault-server", "system:serviceaccounts")
	if err != nil {
		t.Fatal(err)
	}
	w.vault = vault.New(t, "--kubernetes-auth", "--kubeconfig", server, "--operator-service-account", system+"/scaivault-operator")
	w.vault.Start()
	w.ns = w.plane.Namespace(t, "app", nil)
	return w
}

func (w *world) kubectl(args ...string) {
	w.Helper()
	if _, err := w.plane.Kubectl(w.Context(), args...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) make(objs ...kube.Object) {
	w.Helper()
	for _, o := range objs {
		if err := w.kube.Create(w.Context(), o); err != nil {
			w.Fatal(err)
		}
	}
}

// undeploy runs the task as a person does whose cluster has no node for the job.
func (w *world) undeploy() string {
	w.Helper()
	assets, err := exec.CommandContext(w.Context(), "bash", filepath.Join(controlplane.Root(), "hack/controlplane/assets.sh")).Output()
	if err != nil {
		w.Fatal(err)
	}
	cmd := exec.CommandContext(w.Context(), "make", "undeploy")
	cmd.Dir = controlplane.Root()
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.plane.Kubeconfig, "KUBECTL="+filepath.Join(strings.TrimSpace(string(assets)), "kubectl"),
		"RELEASE_WAIT=2s", "VAULT_URL="+w.vault.URL)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func (w *world) until(what string, ok func() bool) {
	w.Helper()
	end := time.After(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			w.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// served is an object whose operator is gone, and the Secret that it made.
func (w *world) served(name string, retain bool) {
	w.Helper()
	v := &v1alpha1.VaultSecret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec:       v1alpha1.VaultSecretSpec{Sources: []v1alpha1.Source{{Name: "db", Path: "a/b"}}},
	}
	if retain {
		v.Spec.WhenDeleted = v1alpha1.RetainTarget
	}
	w.make(v)
	yes := true
	w.make(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.ns, Name: name, Labels: map[string]string{v1alpha1.LabelManaged: "true"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "VaultSecret", Name: name, UID: v.UID, Controller: &yes}},
	}})
}

// The whole install goes, though no operator runs. What holds data stays.
func TestUndeploy(t *testing.T) {
	w := newWorld(t)
	w.served("deleted", false)
	w.served("retained", true)
	w.make(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "scaivault-root-key"}, StringData: map[string]string{"root.key": "x"}},
		&v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: "orphaned"}, Spec: v1alpha1.VaultPolicySpec{
			Rules: []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{"a/**"}, Permissions: []v1alpha1.Permission{"read"}}},
		}},
	)
	start := time.Now()
	out := w.undeploy()
	t.Logf("%s\n%s", time.Since(start).Round(time.Second), out)
	for _, part := range []string{"releasing from this machine", "released; the operator can go", "gone; namespace"} {
		if !strings.Contains(out, part) {
			t.Errorf("it does not say %q", part)
		}
	}
	w.until("the end of our resource definitions", func() bool {
		_, err := w.plane.Kubectl(t.Context(), "get", "crd", "vaultsecrets.scaivault.io")
		return err != nil && strings.Contains(err.Error(), "NotFound")
	})
	w.until("the end of a Secret that is to go", func() bool {
		return apierrors.IsNotFound(w.kube.Get(t.Context(), kube.ObjectKey{Namespace: w.ns, Name: "deleted"}, &corev1.Secret{}))
	})
	for ns, name := range map[string]string{w.ns: "retained", system: "scaivault-root-key"} {
		if err := w.kube.Get(t.Context(), kube.ObjectKey{Namespace: ns, Name: name}, &corev1.Secret{}); err != nil {
			t.Errorf("Secret %s/%s: %v", ns, name, err)
		}
	}
	set := kubernetes.NewForConfigOrDie(w.plane.Config)
	if _, err := set.RbacV1().ClusterRoles().Get(t.Context(), "scaivault-operator", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("ClusterRole scaivault-operator: %v", err)
	}
	if l, err := set.AppsV1().Deployments(system).List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) > 0 {
		t.Errorf("Deployments: %d, %v", len(l.Items), err)
	}
	if out := w.undeploy(); !strings.Contains(out, "gone; namespace") || strings.Contains(out, "releasing") {
		t.Errorf("a second time: %s", out)
	}
}
