package operator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/operator"
)

// releases runs the command with the rights of the operator's own ServiceAccount, as the chart's hook does.
func (w *world) releases(args ...string) (string, error) {
	w.Helper()
	args = append([]string{"release", "--service-account", operator.Account}, args...)
	return w.operator.Command(w.Context(), w.operator.Kubeconfig, args...)
}

// elected is a world whose operator takes part in the election of a leader, and leads.
func elected(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.scale(1)
	w.operator.Args = append(w.operator.Args, "--leader-elect")
	w.operator.Start()
	w.until("a leader", "true", func() string {
		if w.holder() != "" && w.subscriptions() == 1 {
			return "true"
		}
		return "false"
	})
	return w
}

// holder is who holds the operator's lease.
func (w *world) holder() string {
	w.Helper()
	l, err := w.core.CoordinationV1().Leases(operator.Namespace).Get(w.Context(), "scaivault-operator", metav1.GetOptions{})
	if kube.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
	if err != nil || l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func (w *world) scale(replicas int32) {
	w.Helper()
	deployments := w.core.AppsV1().Deployments(operator.Namespace)
	s, err := deployments.GetScale(w.Context(), operator.Account, metav1.GetOptions{})
	if err == nil {
		s.Spec.Replicas, s.ResourceVersion = replicas, "" // its status changes all the time
		_, err = deployments.UpdateScale(w.Context(), operator.Account, s, metav1.UpdateOptions{})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// obeys ends the operator's process when its Deployment has no replicas: a stand-in for the kubelet.
func (w *world) obeys() {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			s, err := w.core.AppsV1().Deployments(operator.Namespace).GetScale(ctx, operator.Account, metav1.GetOptions{})
			if err == nil && s.Spec.Replicas == 0 {
				w.operator.Stop()
				return
			}
		}
	}()
	w.Cleanup(func() { cancel(); <-done })
}

// collected waits until the garbage collector did what whenDeleted says.
func (w *world) collected(name string) {
	w.Helper()
	w.until("Secret "+name, "gone", func() string {
		if w.secret(name) == nil {
			return "gone"
		}
		return "there"
	})
}

// The operator is released: it stops, its things in the vault go, nothing waits for it, the Secrets stay. Deleted
// without any operator, each object's Secret does what whenDeleted says, and a namespace ends. An operator that comes
// back takes up where this one stopped.
func TestRelease(t *testing.T) {
	w := elected(t)
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("one")})
	want := "k=" + w.value("one")
	policy := w.allowed()
	w.create("deleted", path)
	w.create("retained", path, retaining)
	w.create("late", path)
	w.create("kept", path)
	w.create("shared", path, sharing("together"))
	w.create("shared-retained", path, sharing("beside"), retaining)
	w.applies("somebody", "together", "theirs=1")
	w.applies("somebody", "beside", "theirs=1")
	w.synced("deleted", "retained", "late", "kept", "shared", "shared-retained")
	w.obeys()

	out, err := w.releases()
	if err != nil {
		t.Fatal(err, out)
	}
	if w.operator.Running() {
		t.Error("the operator runs on")
	}
	if n := w.subscriptions(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
	w.noPolicies()
	for name, content := range map[string]string{
		"deleted": want, "retained": want, "late": want, "together": "theirs=1", "beside": want + " theirs=1",
	} {
		w.holds(name, content)
	}
	if w.holder() != "" {
		t.Errorf("the lease is held by %s", w.holder())
	}
	if again, err := w.releases(); err != nil {
		t.Errorf("a second time: %v %s", err, again)
	}
	w.remove(w.get("deleted"), w.get("retained"))
	w.collected("deleted")
	w.holds("retained", want)

	w.put(path, map[string]any{"k": w.value("two")})
	w.operator.Start()
	w.policyIs(policy, "True/Applied")
	w.holds("late", "k="+w.value("two"))
	w.synced("late", "shared", "kept")
	w.holds("together", "k="+w.value("two")+" theirs=1")
	if w.subscriptions() != 1 {
		t.Error("no subscription")
	}
}

func retaining(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = v1alpha1.RetainTarget }

// ownedPolicies are those that this cluster's VaultPolicies made in the vault.
func (w *world) ownedPolicies() []vaultapi.Policy {
	w.Helper()
	l, err := w.admin.Policies.List(w.Context(), client.PolicyFilter{Owner: "k8s:home/VaultPolicy", IncludeInactive: true})
	if err != nil {
		w.Fatal(err)
	}
	return l.Policies
}

// noPolicies fails if the vault holds a policy of this cluster.
func (w *world) noPolicies() {
	w.Helper()
	if l := w.ownedPolicies(); len(l) > 0 {
		w.Errorf("left in the vault: %v", l)
	}
}

// What is changed while no operator runs is made good: a target that is to be retained from now on is.
func TestReleaseSeesTheSpecOfNow(t *testing.T) {
	w := elected(t)
	path := w.path("db")
	w.put(path, map[string]any{"k": "1"})
	w.allowed()
	w.create("changed", path)
	w.synced("changed")
	w.operator.Stop()
	w.change("changed", retaining)
	if out, err := w.releases(); err != nil {
		t.Fatal(err, out)
	}
	w.remove(w.get("changed"))
	w.ended(&v1alpha1.VaultSecret{}, w.key("changed"))
	if s := w.secret("changed"); s == nil || len(s.OwnerReferences) > 0 {
		t.Error("the Secret is collected although it was to be retained")
	}
	w.kubectl("-n", w.ns, "delete", "secret", "changed")
}

// Without a vault everything in the cluster is freed, and what is left is said. When the vault is back, an operator
// sweeps it.
func TestReleaseWithoutVault(t *testing.T) {
	w := elected(t)
	path := w.path("db")
	w.put(path, map[string]any{"k": "1"})
	policy := w.allowed()
	w.create("a", path, sharing("together"))
	w.synced("a")
	w.operator.Kill() // it does not give its lease back
	w.vault.Kill()
	out, err := w.releases("--patience", "20s")
	if err != nil || !strings.Contains(out, "left in the vault: whatever policies") {
		t.Errorf("%v: %s", err, out)
	}
	w.remove(policy, w.get("a"))
	w.ended(&v1alpha1.VaultPolicy{}, keyOf(policy))
	w.ended(&v1alpha1.VaultSecret{}, w.key("a"))
	w.vault.Start()
	w.operator.Start()
	w.nothingOwned(w.ns)
}

// Another vault than the pinned one is not touched: what lies in it is not ours to remove.
func TestReleaseLeavesAnotherVault(t *testing.T) {
	w := elected(t)
	policy := w.allowed()
	w.operator.Stop()
	pin := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: "scaivault-vault-pin"}}
	if err := w.kube.Patch(t.Context(), pin, kube.RawPatch("application/merge-patch+json", []byte(`{"data":{"instance_id":"another"}}`))); err != nil {
		t.Fatal(err)
	}
	out, err := w.releases()
	if err != nil || !strings.Contains(out, "left in the vault") {
		t.Errorf("%v: %s", err, out)
	}
	if len(w.ownedPolicies()) != 1 {
		t.Error("a policy of another vault was removed")
	}
	w.remove(policy) // the operator is not started again
}

// An operator that does not stop undoes what is released: nothing is begun, and the next step is said.
func TestReleaseWaitsForTheOperator(t *testing.T) {
	w := elected(t)
	w.allowed()
	out, err := w.releases("--deployment", "", "--patience", "3s")
	if err == nil || !strings.Contains(out, "end it and run this again") {
		t.Errorf("%v: %s", err, out)
	}
	if len(w.ownedPolicies()) != 1 {
		t.Error("released beside an operator that runs")
	}
}

// A namespace of the install that is ending, a cluster without our resource definitions: nothing to wait for.
func TestReleaseWithoutInstall(t *testing.T) {
	w := newWorld(t)
	admin := w.plane.Kubeconfig
	ending := w.plane.Namespace(t, "ending", nil)
	stuck := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ending, Name: "stuck", Finalizers: []string{"test.example/stuck"}}}
	if err := w.kube.Create(t.Context(), stuck); err != nil {
		t.Fatal(err)
	}
	w.remove(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ending}})
	t.Cleanup(func() {
		_ = w.kube.Patch(context.Background(), stuck, kube.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
	})
	args := []string{"release", "--service-account", operator.Namespace + "/" + operator.Account, "--patience", "2s"}
	out, err := w.operator.Command(t.Context(), admin, append(args, "--namespace", ending)...)
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	out, err = w.operator.Command(t.Context(), admin, append(args, "--namespace", "none")...)
	if err != nil {
		t.Errorf("a namespace that is not there: %v: %s", err, out)
	}
	edge := controlplane.Edge(t)
	out, err = w.operator.Command(t.Context(), edge.Kubeconfig, append(args, "--namespace", "kube-system")...)
	if err != nil || !strings.Contains(out, "VaultSecret: 0 looked at") {
		t.Errorf("a cluster without our resource definitions: %v: %s", err, out)
	}
}

// By its own rights the operator ends itself and scales nothing else, not even itself up.
func TestOperatorScalesItselfToZeroOnly(t *testing.T) {
	w := newWorld(t)
	w.scale(1)
	defer w.scale(1)
	_, as := w.asOperator()
	w.deploy("theirs", corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}})
	for _, c := range []struct {
		ns, name string
		replicas int32
		ok       bool
	}{
		{operator.Namespace, operator.Account, 5, false},
		{operator.Namespace, operator.Account, 0, true},
		{w.ns, "theirs", 0, false},
	} {
		s, err := w.core.AppsV1().Deployments(c.ns).GetScale(t.Context(), c.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Spec.Replicas, s.ResourceVersion = c.replicas, "" // its status changes all the time
		if _, err = as.AppsV1().Deployments(c.ns).UpdateScale(t.Context(), c.name, s, metav1.UpdateOptions{}); (err == nil) != c.ok {
			t.Errorf("%s to %d: %v", c.name, c.replicas, err)
		}
	}
}
