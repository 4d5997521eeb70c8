package operator_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// sharing writes every field of the source into a Shared target.
func sharing(name string) func(*v1alpha1.VaultSecretSpec) {
	return target(v1alpha1.SecretTarget{Name: name, Mode: v1alpha1.SharedTarget})
}

// applies writes keys of a Secret by server-side apply, as another tool would: "k=v".
func (w *world) applies(manager, name string, data ...string) {
	w.Helper()
	raw := map[string][]byte{}
	for _, pair := range data {
		k, v, _ := strings.Cut(pair, "=")
		raw[k] = []byte(v)
	}
	_, err := w.core.CoreV1().Secrets(w.ns).Apply(w.Context(), corev1ac.Secret(name, w.ns).WithData(raw), metav1.ApplyOptions{FieldManager: manager, Force: true})
	if err != nil {
		w.Fatal(err)
	}
}

// edits sets a key of a Secret as a person with kubectl would.
func (w *world) edits(name, key, value string) {
	w.Helper()
	w.kubectl("-n", w.ns, "patch", "secret", name, "--type=merge", "-p", fmt.Sprintf(`{"data":{%q:%q}}`, key, base64.StdEncoding.EncodeToString([]byte(value))))
}

func (w *world) gone(name string) {
	w.Helper()
	w.until("the end of VaultSecret "+name, "gone", func() string {
		if apierrors.IsNotFound(w.kube.Get(w.Context(), w.key(name), &v1alpha1.VaultSecret{})) {
			return "gone"
		}
		return "there"
	})
}

func (w *world) conflicts(name string) string {
	var out []string
	for _, c := range w.get(name).Status.Conflicts {
		out = append(out, c.Key+":"+c.Manager)
	}
	return strings.Join(out, " ")
}

// Two objects and another tool write keys of one Secret: each has its own, edits of ours are repaired within a second,
// what others do to theirs costs nothing, a key that is taken is told and taken over when it becomes free, and what is
// ours goes with its object.
func TestShared(t *testing.T) {
	w := running(t)
	w.allowed()
	w.put(w.path("a"), map[string]any{"a": "1"})
	w.put(w.path("b"), map[string]any{"b": "1", "c": "1"})
	w.create("a", w.path("a"), sharing("app"))
	w.synced("a")
	w.applies("argocd", "app", "c=theirs")
	w.create("b", w.path("b"), sharing("app"))
	w.is("b", "False/Conflict")
	w.says("b", "others hold 1 of the keys", "c (argocd)", "the rest is applied", v1alpha1.AnnotationAdopt+"=b")
	w.holds("app", "a=1 b=1 c=theirs")
	if got := w.conflicts("b"); got != "c:argocd" || w.get("b").Status.ConflictCount != 1 || w.get("b").Status.Binding.Name != "app" {
		t.Errorf("conflicts %q", got)
	}
	s := w.secret("app")
	if len(s.OwnerReferences) != 0 || s.Labels[v1alpha1.LabelManaged] != "true" || len(w.get("a").Finalizers) != 0 {
		t.Errorf("owners %v, labels %v, finalizers %v", s.OwnerReferences, s.Labels, w.get("a").Finalizers)
	}

	secrets, objects := w.watch(&corev1.SecretList{}), w.watch(&v1alpha1.VaultSecretList{})
	start := w.put(w.path("a"), map[string]any{"a": "2"})
	w.promised("a change of ours", start, secrets.await("the change", contains("app", "a=2 b=1 c=theirs")))
	start = time.Now()
	w.edits("app", "b", "hacked")
	w.promised("an edit is repaired", start, secrets.await("the repair", contains("app", "a=2 b=1 c=theirs")))
	start = time.Now()
	w.kubectl("-n", w.ns, "patch", "secret", "app", "--type=merge", "-p", `{"data":{"a":null},"metadata":{"labels":{"`+v1alpha1.LabelManaged+`":null}}}`)
	w.promised("a removal is repaired", start, secrets.await("the repair", contains("app", "a=2 b=1 c=theirs")))
	w.is("a", "True/Synced")

	w.still()
	w.forgetCalls()
	before, reads := w.states(&v1alpha1.VaultSecretList{}), w.reads()
	for i := range 20 {
		w.applies("argocd", "app", fmt.Sprint("c=theirs", i), fmt.Sprint("d=", i))
	}
	w.kubectl("-n", w.ns, "label", "secret", "app", "theirs=x")
	w.pass(3 * time.Second)
	if calls := w.api.Calls(writesObjects); len(calls) != 0 || w.states(&v1alpha1.VaultSecretList{}) != before || w.reads() != reads {
		t.Errorf("what others do to theirs made us work: %v, %d reads", calls, w.reads()-reads)
	}

	start = time.Now()
	w.applies("argocd", "app", "d=19")
	w.promised("a key that became free", start, secrets.await("our key", contains("app", "a=2 b=1 c=1 d=19")))
	w.promised("and is no conflict", start, objects.await("Ready", becomes("b", "True/Synced")))
	if w.conflicts("b") != "" || w.get("b").Status.ConflictCount != 0 {
		t.Errorf("conflicts %q", w.conflicts("b"))
	}

	w.remove(w.get("b"))
	w.gone("b")
	w.holds("app", "a=2 d=19")
	w.remove(w.get("a"))
	w.gone("a")
	w.holds("app", "d=19")
	if s := w.secret("app"); len(s.Annotations) != 0 || s.Labels[v1alpha1.LabelManaged] != "" || s.Labels["theirs"] != "x" {
		t.Errorf("marks are left: %v %v", s.Labels, s.Annotations)
	}
}

// Neither somebody who insists on a key of ours, nor two who want one key, make a hot loop.
func TestSharedFight(t *testing.T) {
	w := running(t)
	w.allowed()
	w.put(w.path("a"), map[string]any{"a": "ours"})
	w.create("a", w.path("a"), sharing("app"))
	w.create("same", w.path("a"), sharing("app"))
	w.until("one has it, the other says so", "True/Synced False/Conflict", func() string {
		both := []string{ready(w.get("a")), ready(w.get("same"))}
		slices.SortFunc(both, func(x, y string) int { return strings.Compare(y, x) })
		return strings.Join(both, " ")
	})
	w.still()
	w.forgetCalls()
	w.pass(3 * time.Second)
	if calls := w.api.Calls(writesObjects); len(calls) != 0 {
		t.Errorf("two of us fight: %v", calls)
	}

	secrets := w.watch(&corev1.SecretList{})
	until := time.Now().Add(5 * time.Second)
	for time.Now().Before(until) { // as fast as we repair
		w.applies("stubborn", "app", "a=theirs")
		secrets.await("the repair", contains("app", "a=ours"))
	}
	if n := len(w.api.Calls(writesSecrets)); n < 3 || n > 30 {
		t.Errorf("%d writes within five seconds", n)
	}
	w.remove(w.get("a"), w.get("same"))
	w.gone("a")
	w.gone("same")
}

// Each object that is deleted gives back what it has: keys, or only its marks; a change of mode either way, a rename
// and a source that is gone do so as well.
func TestSharedGivenBack(t *testing.T) {
	w := running(t)
	w.allowed()
	for _, name := range []string{"a", "b", "gone"} {
		w.put(w.path(name), map[string]any{name: "1"})
	}
	a := w.create("a", w.path("a"), target(v1alpha1.SecretTarget{Name: "app"}))
	w.synced("a")
	uid := w.secret("app").UID
	w.change("a", sharing("app"))
	w.until("no owner", "0", func() string { return itoa(len(w.secret("app").OwnerReferences)) })
	w.synced("a")
	if s := w.secret("app"); s.UID != uid || content(s) != "a=1" || len(w.get("a").Finalizers) != 0 {
		t.Errorf("Exclusive → Shared: %s, %q, %v", s.UID, content(s), w.get("a").Finalizers)
	}
	w.create("b", w.path("b"), sharing("app"), func(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = v1alpha1.RetainTarget })
	w.create("gone", w.path("gone"), sharing("app"), deleting)
	w.synced("b", "gone")
	w.holds("app", "a=1 b=1 gone=1")
	w.delete(w.path("gone"))
	w.holds("app", "a=1 b=1")
	w.is("gone", "False/SecretMissing")
	w.remove(w.get("gone"))
	w.gone("gone")

	w.change("a", target(v1alpha1.SecretTarget{Name: "app"}))
	w.is("a", "False/Conflict")
	w.says("a", "others have b")
	w.holds("app", "a=1 b=1")
	w.change("a", sharing("renamed"))
	w.holds("renamed", "a=1")
	w.holds("app", "b=1")
	w.synced("a")
	w.change("a", target(v1alpha1.SecretTarget{Name: "renamed"}))
	w.until("owner", "1", func() string { return itoa(len(w.secret("renamed").OwnerReferences)) })
	w.synced("a")

	w.remove(w.get("b"))
	w.gone("b")
	w.until("labels and annotations of what is retained", "map[] map["+v1alpha1.AnnotationAdopt+":b]", func() string {
		s := w.secret("app")
		return fmt.Sprint(s.Labels, " ", s.Annotations)
	})
	w.holds("app", "b=1")
	w.put(w.path("b"), map[string]any{"b": "2"})
	w.create("b", w.path("b"), sharing("app"))
	w.holds("app", "b=2")
	w.synced("b")
	w.remove(a)
	w.holds("renamed", "")
}

// A namespace with Shared targets ends while the operator runs, and what somebody else holds in them is no matter.
func TestSharedNamespaceEnds(t *testing.T) {
	w := running(t)
	mine := w.ns
	w.ns = w.namespace("ending", nil)
	w.put(w.path("a"), map[string]any{"a": "1"})
	w.allowed()
	w.create("a", w.path("a"), sharing("app"))
	w.synced("a") // has the key before the other one asks
	w.create("b", w.path("a"), sharing("app"))
	w.is("b", "False/Conflict")
	w.applies("argocd", "app", "c=theirs")
	w.kubectl("delete", "namespace", w.ns, "--wait=false")
	w.until("the namespace", "gone", func() string {
		if apierrors.IsNotFound(w.kube.Get(w.Context(), w.key("a"), &v1alpha1.VaultSecret{})) && w.secret("app") == nil {
			return "gone"
		}
		return "there"
	})
	w.ns = mine
}

// A restart reads and writes nothing although others wrote to the Secret since.
func TestSharedRestart(t *testing.T) {
	w := running(t)
	w.allowed()
	w.put(w.path("a"), map[string]any{"a": "1"})
	w.put(w.path("later"), map[string]any{"k": "v"})
	w.create("a", w.path("a"), sharing("app"))
	w.synced("a")
	w.applies("argocd", "app", "c=theirs")
	w.still()
	w.operator.Stop()
	w.applies("argocd", "app", "c=theirs, still")
	before, reads := w.states(&corev1.SecretList{}, &v1alpha1.VaultSecretList{}), w.reads()
	w.operator.Start()
	w.still()
	w.pass(2 * time.Second)
	if after := w.states(&corev1.SecretList{}, &v1alpha1.VaultSecretList{}); after != before || w.reads() != reads {
		t.Errorf("a restart worked (%d reads); before:\n%s\nafter:\n%s", w.reads()-reads, before, after)
	}
	w.operator.Stop()
	w.edits("app", "a", "hacked")
	w.operator.Start()
	w.until("the repair", "1", func() string { return string(w.secret("app").Data["a"]) })
	w.synced("a")
}
