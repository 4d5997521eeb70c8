package operator_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func deleting(s *v1alpha1.VaultSecretSpec) { s.WhenSourceMissing = v1alpha1.DeleteWhenMissing }

func removed(name string) func(sighting) bool {
	return func(s sighting) bool { return s.kind == watch.Deleted && s.obj.GetName() == name }
}

// An event that says a secret was deleted counts at once: Keep leaves the Secret, Delete takes it away, and both
// come back with the secret.
func TestSourceDeleted(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	w.put(w.path("other"), map[string]any{"k": "1"})
	w.allowed()
	w.create("kept", w.path("s"))
	w.create("gone", w.path("s"), deleting)
	w.create("optional", w.path("s"), func(s *v1alpha1.VaultSecretSpec) {
		s.Sources = append(s.Sources, source("other", w.path("other")))
		s.Data = []v1alpha1.DataEntry{field("k", "db", "k"), field("other", "other", "k")}
		s.Data[0].From.Optional = true
	})
	w.synced("kept", "gone", "optional")
	secrets, objects := w.watch(&corev1.SecretList{}), w.watch(&v1alpha1.VaultSecretList{})
	start := time.Now()
	if _, err := w.admin.Secrets.Delete(t.Context(), w.path("s"), client.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.promised("deleted in the vault → removed", start, secrets.await("the removal", removed("gone")))
	w.promised("deleted in the vault → told", start, objects.await("SecretMissing", becomes("kept", "False/SecretMissing")))
	w.is("gone", "False/SecretMissing")
	w.says("gone", w.path("s"), "was deleted")
	w.says("kept", w.path("s"), "left as it is")
	w.holds("kept", "k=1")
	w.holds("optional", "other=1")
	w.synced("optional")
	if st := w.get("gone").Status; st.Target != nil || st.Binding != nil || len(st.Synced) != 0 {
		t.Errorf("status of what is gone: %+v", st)
	}
	start = time.Now()
	if _, err := w.admin.Secrets.Restore(t.Context(), w.path("s")); err != nil {
		t.Fatal(err)
	}
	w.promised("restored → made anew", start, secrets.await("the Secret", contains("gone", "k=1")))
	w.synced("kept", "gone", "optional")
}

// A secret that expires is seen to be gone when it does. Keep leaves the Secret, and a new version brings all back.
func TestSourceExpires(t *testing.T) {
	w := running(t)
	w.allowed()
	raw := vaultapi.WriteRequest{Data: []byte(`{"k":"1"}`), Options: vaultapi.WriteOptions{ExpiresIn: "3s"}}
	written, err := w.admin.Secrets.Write(t.Context(), w.path("s"), raw)
	if err != nil {
		t.Fatal(err)
	}
	w.put(w.path("other"), map[string]any{"k": "1"})
	objects := w.watch(&v1alpha1.VaultSecretList{})
	w.create("kept", w.path("s"))
	w.create("deleting", w.path("s"), deleting)
	w.create("batch", w.path("s"), func(s *v1alpha1.VaultSecretSpec) {
		s.Sources = append(s.Sources, source("other", w.path("other")))
		s.Data = []v1alpha1.DataEntry{field("k", "db", "k"), field("other", "other", "k")}
	})
	w.synced("kept", "deleting", "batch")
	if y := w.get("kept").Status.Synced[0]; y.ExpiresAt == nil || !y.ExpiresAt.Time.Equal(written.ExpiresAt.Time) {
		t.Errorf("status tells %v, the vault %v", y.ExpiresAt, written.ExpiresAt)
	}
	for _, name := range []string{"kept", "deleting", "batch"} {
		w.promised("expired → told: "+name, written.ExpiresAt.Add(time.Second), objects.await("SecretMissing", becomes(name, "False/SecretMissing")))
		objects.rewind()
	}
	w.says("kept", "left as it is")
	w.holds("kept", "k=1")
	w.holds("deleting", "k=1") // until a second look agrees
	w.put(w.path("s"), map[string]any{"k": "2"})
	for _, name := range []string{"kept", "deleting"} {
		w.holds(name, "k=2")
	}
	w.synced("kept", "deleting", "batch")
}

// Half a minute, once for real. A source that is missing without an event that says why is looked for twice, half a
// minute apart, before the Secret goes. A VaultSecret that has waited so long for its policy is Ready within a
// second of it. (The documentation's promise; back-off must not stand in its way.)
func TestHalfAMinute(t *testing.T) {
	w := running(t)
	p := w.policy([]v1alpha1.PathPattern{v1alpha1.PathPattern(w.path("missing"))}, serviceAccount(w.ns, "app"))
	w.policyIs(p, "True/Applied")
	for _, name := range []string{"missing", "late"} {
		w.put(w.path(name), map[string]any{"k": name})
	}
	w.create("keep", w.path("missing"))
	w.create("delete", w.path("missing"), deleting)
	late := w.create("late", w.path("late"))
	w.synced("keep", "delete")
	w.is("late", "False/AccessDenied")

	w.operator.Stop() // its event is missed
	if _, err := w.admin.Secrets.Delete(t.Context(), w.path("missing"), client.DeleteOptions{Permanent: true}); err != nil {
		t.Fatal(err)
	}
	secrets, objects := w.watch(&corev1.SecretList{}), w.watch(&v1alpha1.VaultSecretList{})
	w.operator.Start()
	first := objects.await("the first look", becomes("delete", "False/SecretMissing"))
	w.says("delete", "if a second look agrees")
	w.annotate(w.get("delete"), v1alpha1.AnnotationRequestedAt, "look again") // which is no second look
	w.until("echo of the request", "look again", func() string { return w.get("delete").Status.LastHandledRequest })
	w.holds("delete", "k=missing")
	end := secrets.awaitFor(time.Minute, "the removal", removed("delete"))
	if took := end.at.Sub(first.at); took < 30*time.Second || took > 50*time.Second {
		t.Errorf("removed %s after the first look", took)
	} else {
		t.Logf("removed %s after the first look", took.Round(time.Millisecond))
	}
	w.holds("keep", "k=missing")

	if waited := time.Since(late.CreationTimestamp.Time); waited < 30*time.Second {
		t.Fatalf("only %s passed", waited)
	}
	w.is("late", "False/AccessDenied")
	objects.mark()
	start := time.Now()
	w.allow()
	w.promised("policy after half a minute → Ready", start, objects.await("Ready", becomes("late", "True/Synced")))
}

// When read is lost the Secret is kept and the condition says so; when it is back nothing has to be touched.
func TestReadLostAndBack(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	p := w.allowed()
	w.create("s", w.path("s"))
	w.synced("s")
	w.remove(p)
	w.is("s", "False/AccessDenied")
	w.put(w.path("s"), map[string]any{"k": "2"})
	w.still()
	w.holds("s", "k=1")
	w.is("s", "False/AccessDenied")
	objects := w.watch(&v1alpha1.VaultSecretList{})
	start := time.Now()
	w.allow()
	w.promised("policy is back → Ready", start, objects.await("Ready", becomes("s", "True/Synced")))
	w.holds("s", "k=2")
}
