package operator_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/operator"
)

// holders are the identities that hold a policy in the vault, in order.
func (w *world) holders(p *v1alpha1.VaultPolicy) string {
	w.Helper()
	b, err := w.admin.Policies.Bindings(w.Context(), "home."+p.Name)
	if err != nil {
		return vaultapi.Code(err)
	}
	return identities(b.Bindings)
}

// bound waits until exactly these identities hold a policy.
func (w *world) bound(p *v1alpha1.VaultPolicy, want string) {
	w.Helper()
	w.until("who holds "+p.Name, want, func() string { return w.holders(p) })
}

// boundIn is bound within the promise, from a cause on.
func (w *world) boundIn(what string, since time.Time, p *v1alpha1.VaultPolicy, want string) {
	w.Helper()
	w.bound(p, want)
	w.promised(what, since, sighting{at: time.Now()})
}

// selecting is the ServiceAccount "app" of every namespace with a label.
func selecting(key, value string) v1alpha1.PolicySubject {
	return v1alpha1.PolicySubject{Kind: v1alpha1.SubjectServiceAccounts, Name: "app", NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}}
}

func (w *world) statusBindings(p *v1alpha1.VaultPolicy) string {
	w.Helper()
	got := &v1alpha1.VaultPolicy{}
	if err := w.kube.Get(w.Context(), keyOf(p), got); err != nil {
		return err.Error()
	}
	return fmt.Sprint(got.Status.Bindings)
}

// A selector follows labels, new namespaces and namespaces that go, each within a second; {namespace} gives every
// namespace its own paths and no other's.
func TestSelectorFollowsNamespaces(t *testing.T) {
	w := running(t)
	label := "pick-" + w.ns
	first, second := w.namespace("first", map[string]string{label: "yes"}), w.namespace("second", nil)
	p := w.policy([]v1alpha1.PathPattern{"apps/{namespace}/**"}, selecting(label, "yes"))
	w.policyIs(p, "True/Applied")
	w.bound(p, "sa:"+first+":app")

	for _, step := range []struct{ what, change, want string }{
		{"a label that comes", label + "=yes", "sa:" + first + ":app sa:" + second + ":app"},
		{"a label of another value", label + "=no", "sa:" + first + ":app"},
		{"a label that comes back", label + "=yes", "sa:" + first + ":app sa:" + second + ":app"},
	} {
		w.kubectl("label", "--overwrite", "namespace", second, step.change)
		w.boundIn(step.what, time.Now(), p, step.want)
	}

	for _, ns := range []string{first, second} {
		w.ns = ns
		own := w.value("own")
		w.put("apps/"+ns+"/db", map[string]any{"k": own})
		v := w.declared("db", "apps/"+ns+"/db")
		v.Namespace = ns
		foreign := w.declared("foreign", "apps/"+map[string]string{first: second, second: first}[ns]+"/db")
		foreign.Namespace = ns
		for _, o := range []*v1alpha1.VaultSecret{v, foreign} {
			if err := w.kube.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		w.holds("db", "k="+own)
		w.is("foreign", "False/AccessDenied")
	}

	w.kubectl("label", "namespace", second, label+"-")
	w.boundIn("a label that goes", time.Now(), p, "sa:"+first+":app")
	third := w.namespace("third", map[string]string{label: "yes"})
	w.boundIn("a namespace that comes", time.Now(), p, "sa:"+first+":app sa:"+third+":app")
	w.remove(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: third}})
	w.bound(p, "sa:"+first+":app") // when it is gone, not when it is told to go
	w.until("bindings in the status", "1", func() string { return w.statusBindings(p) })
}

// A binding ends when it says: the rights at that moment, the binding and its place in the status right after.
func TestBindingEnds(t *testing.T) {
	w := running(t)
	path := w.path("db")
	w.put(path, map[string]any{"k": "1"})
	end := metav1.NewTime(time.Now().Add(6 * time.Second).Truncate(time.Second))
	limited := serviceAccount(w.ns, "app")
	limited.ExpiresAt = &end
	p := w.policy([]v1alpha1.PathPattern{v1alpha1.PathPattern(w.path("**"))}, limited, serviceAccount(w.ns, "other"))
	w.policyIs(p, "True/Applied")
	w.bound(p, "sa:"+w.ns+":app sa:"+w.ns+":other")
	w.until("bindings in the status", "2", func() string { return w.statusBindings(p) })
	w.create("db", path)
	w.synced("db")
	if !time.Now().Before(end.Time) {
		t.Fatal("this machine is too slow for six seconds")
	}
	w.bound(p, "sa:"+w.ns+":other")
	if early := time.Until(end.Time); early > 0 {
		t.Errorf("bound %s too short", early)
	}
	w.promised("the end of a binding", end.Time, sighting{at: time.Now()})
	w.until("bindings in the status", "1", func() string { return w.statusBindings(p) })
	w.annotate(w.get("db"), v1alpha1.AnnotationRequestedAt, "after")
	w.is("db", "False/AccessDenied")
	w.holds("db", "k=1")

	longer := &v1alpha1.VaultPolicy{}
	if err := w.kube.Get(t.Context(), keyOf(p), longer); err != nil {
		t.Fatal(err)
	}
	base := longer.DeepCopy()
	longer.Spec.Subjects[0].ExpiresAt = nil
	if err := w.kube.Patch(t.Context(), longer, kube.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	w.synced("db")
}

// A name that somebody else holds in the vault is a conflict that says whose it is, and passes when he lets go.
func TestPolicyOfSomebodyElse(t *testing.T) {
	w := running(t)
	name := "taken-" + w.ns
	theirs, err := w.admin.Policies.Create(t.Context(), vaultapi.PolicyWrite{Name: "home." + name, Rules: []vaultapi.Rule{{PathPattern: "theirs/**", Permissions: []string{"read"}}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.VaultPolicySpec{
		Rules:    []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{"mine/**"}, Permissions: []v1alpha1.Permission{"read"}}},
		Subjects: []v1alpha1.PolicySubject{serviceAccount(w.ns, "app")},
	}}
	if err := w.kube.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.policyIs(p, "False/Conflict")
	got := &v1alpha1.VaultPolicy{}
	if err := w.kube.Get(t.Context(), keyOf(p), got); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"belongs to an administrator", "rename this VaultPolicy"} {
		if m := condition(got, v1alpha1.ConditionReady).Message; !strings.Contains(m, part) {
			t.Errorf("message %q does not hold %q", m, part)
		}
	}
	if still, err := w.admin.Policies.Get(t.Context(), theirs.ID); err != nil || still.Rules[0].PathPattern != "theirs/**" || len(still.Bindings) > 0 {
		t.Errorf("their policy: %+v, %v", still, err)
	}
	if err := w.admin.Policies.Delete(t.Context(), theirs.ID, client.PolicyDeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	w.policyIs(p, "True/Applied")
	w.promised("a name that becomes free", since, sighting{at: time.Now()})

	// What is ours nobody else changes over the API, and what a super administrator changes is put right.
	if _, err := w.admin.Policies.Replace(t.Context(), "home."+name, vaultapi.PolicyWrite{Name: "home." + name, Rules: theirs.Rules}); vaultapi.Code(err) != "managed_resource" {
		t.Errorf("an owned policy was changed: %v", err)
	}
	forged := vaultapi.BindingWrite{IdentityID: "user:mallory@example.org", Owner: "k8s:home/VaultPolicy//" + name + "/" + string(got.UID)}
	if _, err := w.admin.Policies.Bind(t.Context(), "home."+name, forged); err != nil {
		t.Fatal(err)
	}
	w.bound(p, "sa:"+w.ns+":app")
}

// One policy for five hundred namespaces: bound once, and one label more costs one binding more.
func TestFiveHundredNamespaces(t *testing.T) {
	const many = 500
	w := running(t)
	label := "many-" + w.ns
	var names sync.Map
	var wait sync.WaitGroup
	for worker := range 10 {
		wait.Go(func() {
			for i := worker; i < many; i += 10 {
				ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%03d", w.ns, i), Labels: map[string]string{label: "yes"}}}
				if i == 0 {
					ns.Labels[label] = "no"
				}
				if err := w.kube.Create(t.Context(), ns); err != nil {
					t.Error(err)
				}
				names.Store(ns.Name, true)
			}
		})
	}
	wait.Wait()
	start := time.Now()
	p := w.policy([]v1alpha1.PathPattern{"apps/{namespace}/**"}, selecting(label, "yes"))
	w.until("bindings", fmt.Sprint(many-1), func() string { return w.statusBindings(p) })
	t.Logf("%d bindings: %s", many-1, time.Since(start).Round(time.Millisecond))
	w.wire.Forget()
	w.kubectl("label", "--overwrite", "namespace", w.ns+"-000", label+"=yes")
	w.boundToo(time.Now(), p, "sa:"+w.ns+"-000:app")
	binds := w.wire.Calls(func(c operator.Call) bool { return c.Writes() && strings.HasSuffix(c.Path, "/bindings") })
	if len(binds) != 1 {
		t.Errorf("one more namespace took %d bindings", len(binds))
	}
	gone := time.Now()
	w.remove(p)
	w.until("policies in the vault", "", w.ownedInVault) // nothing waits for the operator
	t.Logf("released: %s", time.Since(gone).Round(time.Millisecond))
	names.Range(func(name, _ any) bool {
		return w.kube.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name.(string)}}) == nil
	})
}

// boundToo waits until one more identity holds a policy, and holds the promise.
func (w *world) boundToo(since time.Time, p *v1alpha1.VaultPolicy, identity string) {
	w.Helper()
	w.until("binding of "+identity, "true", func() string { return fmt.Sprint(strings.Contains(w.holders(p)+" ", identity+" ")) })
	w.promised("one label among five hundred namespaces", since, sighting{at: time.Now()})
}
