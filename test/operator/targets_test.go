package operator_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/test/operator"
)

func target(t v1alpha1.SecretTarget) func(*v1alpha1.VaultSecretSpec) {
	return func(s *v1alpha1.VaultSecretSpec) { s.Target = &t }
}

// theirs makes a Secret as somebody else would.
func (w *world) theirs(name string, data map[string]string) *corev1.Secret {
	w.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, StringData: data}
	if err := w.kube.Create(w.Context(), s); err != nil {
		w.Fatal(err)
	}
	return s
}

// What becomes of the Secret when its VaultSecret is deleted, and how a later one of the same name finds it.
func TestDeleteAndRetain(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	w.allowed()
	retain := func(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = v1alpha1.RetainTarget }
	gone, kept := w.create("gone", w.path("s")), w.create("kept", w.path("s"), retain)
	w.synced("gone", "kept")
	uid := w.secret("kept").UID
	w.remove(gone, kept)
	w.holds("gone", "")
	w.holds("kept", "k=1")
	if s := w.secret("kept"); len(s.OwnerReferences) != 0 || s.Annotations[v1alpha1.AnnotationAdopt] != "kept" {
		t.Errorf("retained with owners %v and annotations %v", s.OwnerReferences, s.Annotations)
	}

	w.put(w.path("s"), map[string]any{"k": "2"})
	w.create("kept", w.path("s"))
	w.synced("kept")
	w.holds("kept", "k=2")
	s := w.secret("kept")
	if ref := metav1.GetControllerOf(s); s.UID != uid || ref == nil || ref.Name != "kept" {
		t.Errorf("not taken up again: UID %s and %s, owner %v", uid, s.UID, ref)
	}

	w.change("kept", retain) // from Delete to Retain and away
	w.until("owner references", "0", func() string { return itoa(len(w.secret("kept").OwnerReferences)) })
	w.remove(w.get("kept"))
	w.until("the object's end", "gone", func() string {
		if apierrors.IsNotFound(w.kube.Get(w.Context(), w.key("kept"), &v1alpha1.VaultSecret{})) {
			return "gone"
		}
		return "there"
	})
	w.pass(2 * time.Second) // the garbage collector takes about a second
	w.holds("kept", "k=2")
}

// A Secret of somebody else is a conflict until it is handed over; then everything in it is ours.
func TestConflictAndAdoption(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	w.allowed()
	foreign := w.theirs("theirs", map[string]string{"x": "y"})
	version := foreign.ResourceVersion
	v := w.create("theirs", w.path("s"))
	w.is("theirs", "False/Conflict")
	w.says("theirs", "kubectl -n "+w.ns+" annotate secret theirs "+v1alpha1.AnnotationAdopt+"=theirs")
	if s := w.secret("theirs"); s.ResourceVersion != version {
		t.Fatal("a Secret of somebody else was written")
	}
	// The message's own command, and "do it now".
	w.kubectl("-n", w.ns, "annotate", "secret", "theirs", v1alpha1.AnnotationAdopt+"=theirs")
	w.annotate(v, v1alpha1.AnnotationRequestedAt, "now")
	w.synced("theirs")
	w.holds("theirs", "k=1")
	w.untilOwned("theirs")

	// Deleting a VaultSecret that never got its target takes nothing with it.
	other := w.theirs("other", map[string]string{"x": "y"})
	c := w.create("other", w.path("s"))
	w.is("other", "False/Conflict")
	w.remove(c)
	w.pass(2 * time.Second)
	if s := w.secret("other"); s == nil || s.UID != other.UID || s.ResourceVersion != other.ResourceVersion {
		t.Error("a Secret of somebody else was touched by a deletion")
	}

	// A Secret that another controller took is not fought over, but told.
	w.create("taken", w.path("s"))
	w.synced("taken")
	w.kubectl("-n", w.ns, "patch", "secret", "taken", "--type=merge", "-p",
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"kube-root-ca.crt","uid":"`+w.configMapUID()+`","controller":true}]}}`)
	w.is("taken", "False/Conflict")
	w.says("taken", "ConfigMap kube-root-ca.crt")
}

// What somebody writes on his own object widens nothing (field.md 20: scope was taken from annotations that the
// attacker set). Who may make a VaultSecret, and no more, gets no Secret handed over by it, nor another's rights.
func TestMistake20AnnotationsGrantNothing(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	w.put("apps/of-others/s", map[string]any{"k": "2"})
	w.allowed()
	other := w.namespace("other", nil)
	foreign := w.theirs("theirs", map[string]string{"x": "y"})
	marks := map[string]string{
		v1alpha1.AnnotationAdopt: "theirs", v1alpha1.LabelManaged: "true", "scaivault.io/cluster-wide": "true", "scaivault.io/owner": "theirs",
		"scaivault.io/namespace": other, "scaivault.io/service-account": operatorAccount, "scaivault.io/identity": "user:dev", "scaivault.io/path": "apps/of-others/s",
	}
	for name, path := range map[string]string{"theirs": w.path("s"), "far": "apps/of-others/s"} {
		v := w.declared(name, path)
		v.Annotations, v.Labels = marks, map[string]string{v1alpha1.LabelManaged: "true"}
		v.Status.Target = &v1alpha1.TargetStatus{Name: foreign.Name, UID: string(foreign.UID), ResourceVersion: foreign.ResourceVersion}
		if err := w.kube.Create(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	w.is("theirs", "False/Conflict")
	w.is("far", "False/AccessDenied")
	w.says("far", "sa:"+w.ns+":app")
	w.holds("far", "")
	w.remove(w.get("theirs"), w.get("far"))
	w.pass(2 * time.Second) // the garbage collector takes about a second
	if s := w.secret("theirs"); s == nil || s.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("a Secret of somebody else became %v", s)
	}
	w.ns = other
	w.holds("theirs", "")
}

const operatorAccount = operator.Namespace + "/" + operator.Account

func (w *world) configMapUID() string {
	w.Helper()
	return strings.TrimSpace(w.kubectl("-n", w.ns, "get", "configmap", "kube-root-ca.crt", "-o", "jsonpath={.metadata.uid}"))
}

// Two objects that claim one Secret: the first keeps it, the second says so, and takes it when the first is gone.
func TestTwoClaims(t *testing.T) {
	w := running(t)
	w.put(w.path("a"), map[string]any{"k": "a"})
	w.put(w.path("b"), map[string]any{"k": "b"})
	w.allowed()
	secrets := w.watch(&corev1.SecretList{})
	a := w.create("a", w.path("a"), target(v1alpha1.SecretTarget{Name: "shared"}))
	w.synced("a")
	w.create("b", w.path("b"), target(v1alpha1.SecretTarget{Name: "shared"}))
	w.is("b", "False/Conflict")
	w.says("b", "VaultSecret a")
	w.put(w.path("b"), map[string]any{"k": "b2"})
	w.put(w.path("a"), map[string]any{"k": "a2"})
	w.holds("shared", "k=a2")
	w.is("b", "False/Conflict")
	for _, s := range secrets.all() {
		if strings.Contains(content(s.obj.(*corev1.Secret)), "b") {
			t.Error("both wrote")
		}
	}
	w.remove(a)
	w.holds("shared", "k=b2")
	w.synced("b")
}

// Changes of the target: another name, type, immutability.
func TestTargetChanges(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"username": "u", "password": "1"})
	w.allowed()
	w.create("s", w.path("s"), target(v1alpha1.SecretTarget{
		Labels: map[string]v1alpha1.LabelValue{"team": "pay"}, Annotations: map[string]v1alpha1.AnnotationValue{"note": "x"}}))
	w.synced("s")
	if s := w.secret("s"); s.Labels["team"] != "pay" || s.Annotations["note"] != "x" || s.Type != corev1.SecretTypeOpaque {
		t.Errorf("labels %v, annotations %v, type %s", s.Labels, s.Annotations, s.Type)
	}
	w.change("s", target(v1alpha1.SecretTarget{Name: "renamed"}))
	w.holds("renamed", "password=1 username=u")
	w.holds("s", "")
	w.synced("s")
	if s := w.secret("renamed"); s.Labels["team"] != "" || s.Annotations["note"] != "" {
		t.Errorf("what is no longer wanted stays: %v %v", s.Labels, s.Annotations)
	}

	w.change("s", target(v1alpha1.SecretTarget{Name: "renamed", Type: "kubernetes.io/basic-auth"}))
	w.until("type", "kubernetes.io/basic-auth", func() string {
		if s := w.secret("renamed"); s != nil {
			return string(s.Type)
		}
		return ""
	})
	w.change("s", target(v1alpha1.SecretTarget{Name: "renamed", Type: "kubernetes.io/basic-auth", Immutable: true}))
	w.until("immutable", "true", func() string {
		if s := w.secret("renamed"); s != nil && s.Immutable != nil && *s.Immutable {
			return "true"
		}
		return ""
	})
	w.synced("s")
	before := w.secret("renamed")
	w.put(w.path("s"), map[string]any{"username": "u", "password": "2"})
	w.holds("renamed", "password=2 username=u")
	after := w.secret("renamed")
	if after.UID == before.UID || after.Type != "kubernetes.io/basic-auth" || after.Immutable == nil {
		t.Error("an immutable Secret is replaced by one of the same kind")
	}
	w.synced("s")
}

// The Secret of the old name is given up only when the new one is there, and by the rule that the object has: a
// retained one is offered to whoever has its name.
func TestRename(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	w.allowed()
	retain := func(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = v1alpha1.RetainTarget }
	w.theirs("theirs", map[string]string{"x": "y"})
	w.create("s", w.path("s"), retain)
	w.synced("s")
	uid := w.secret("s").UID
	w.change("s", target(v1alpha1.SecretTarget{Name: "theirs"}))
	w.is("s", "False/Conflict")
	w.holds("s", "k=1")
	w.holds("theirs", "x=y")
	w.change("s", target(v1alpha1.SecretTarget{Name: "new"}))
	w.synced("s")
	w.holds("new", "k=1")
	if s := w.secret("s"); s == nil || s.UID != uid || s.Annotations[v1alpha1.AnnotationAdopt] != "s" || len(s.OwnerReferences) != 0 {
		t.Errorf("the old one: %+v", s)
	}
	if st := w.get("s").Status; st.Binding.Name != "new" || st.Target.Name != "new" {
		t.Errorf("status %+v %+v", st.Binding, st.Target)
	}
	w.put(w.path("s"), map[string]any{"k": "2"})
	w.holds("new", "k=2")
	w.holds("s", "k=1")
	w.change("s", target(v1alpha1.SecretTarget{})) // back: it is taken up, and the other one is retained
	w.holds("s", "k=2")
	w.synced("s")
	if s := w.secret("s"); s.UID != uid {
		t.Error("not taken up again")
	}
	w.change("s", target(v1alpha1.SecretTarget{Name: "last"}), func(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = v1alpha1.DeleteTarget })
	w.holds("last", "k=2")
	w.holds("s", "")
	w.holds("new", "k=2")
	w.synced("s")
}

// What must never be written is refused by the schema, with words that say why; what an administrator may allow is
// refused by the operator. (field.md 15, 16)
func TestMistake15And16ForbiddenTargets(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1", "type": "kubernetes.io/service-account-token", "metadata.ownerReferences": "[]"})
	w.allowed()
	for text, bad := range map[string]v1alpha1.SecretTarget{
		"never written":           {Type: "kubernetes.io/service-account-token"},
		"is never written":        {Type: "bootstrap.kubernetes.io/token"},
		"never":                   {Type: "helm.sh/release.v1"},
		"labels of kubernetes.io": {Labels: map[string]v1alpha1.LabelValue{"app.kubernetes.io/name": "x"}},
		"helm.sh":                 {Labels: map[string]v1alpha1.LabelValue{"helm.sh/chart": "x"}},
		"secret replicators":      {Annotations: map[string]v1alpha1.AnnotationValue{"replicator.v1.mittwald.de/replicate-to": "*"}},
		"replicators":             {Annotations: map[string]v1alpha1.AnnotationValue{"reflector.v1.k8s.emberstack.com/reflects": "x"}},
		"argoproj.io":             {Annotations: map[string]v1alpha1.AnnotationValue{"argocd.argoproj.io/sync-wave": "1"}},
		"scaivault.io":            {Annotations: map[string]v1alpha1.AnnotationValue{v1alpha1.AnnotationAdopt: "x"}},
	} {
		err := w.kube.Create(t.Context(), w.declared("bad", w.path("s"), target(bad)))
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %q", bad, err, text)
		}
	}
	w.create("other", w.path("s"), target(v1alpha1.SecretTarget{Type: "example.com/other"}))
	w.is("other", "False/InvalidTarget")
	w.says("other", "example.com/other", "--allow-secret-type")
	if w.secret("other") != nil {
		t.Error("written in spite of its type")
	}

	// Names of fields are keys and nothing else.
	w.create("dotted", w.path("s"))
	w.synced("dotted")
	s := w.secret("dotted")
	if s.Type != corev1.SecretTypeOpaque || metav1.GetControllerOf(s) == nil || string(s.Data["metadata.ownerReferences"]) != "[]" {
		t.Errorf("type %s, owners %v, data %v", s.Type, s.OwnerReferences, s.Data)
	}

	// Nothing is written where the cluster or the operator keeps its own.
	for _, ns := range []string{"kube-system", "scaivault-system"} {
		v := w.declared("system", w.path("s"))
		v.Namespace = ns
		if err := w.kube.Create(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		w.until("Ready in "+ns, "False/InvalidTarget", func() string {
			got := &v1alpha1.VaultSecret{}
			if err := w.kube.Get(t.Context(), keyOf(v), got); err != nil {
				return err.Error()
			}
			return ready(got)
		})
		w.remove(v)
	}
}
