package operator_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// The main job: nothing is written until a policy allows it, then within a second; each change follows within a
// second; each kind of hand edit is repaired within a second, whatever the refresh interval.
func TestMainJob(t *testing.T) {
	w := running(t)
	path := w.path("billing/database")
	first := w.value("first")
	w.put(path, map[string]any{"url": first, "port": 5432})
	objects, secrets := w.watch(&v1alpha1.VaultSecretList{}), w.watch(&corev1.SecretList{})
	w.create("billing", path, func(s *v1alpha1.VaultSecretSpec) {
		s.Data = []v1alpha1.DataEntry{
			{Key: "DB_URL", From: &v1alpha1.FieldRef{Source: "db", Field: "url"}},
			{Key: "app.yaml", Template: "{{ .db.url }}:{{ .db.port }}"},
		}
	})
	holding := func(v string) string { return "DB_URL=" + v + " app.yaml=" + v + ":5432" }
	w.is("billing", "False/AccessDenied")
	w.says("billing", "sa:"+w.ns+":app", path, "VaultPolicy")
	if w.secret("billing") != nil {
		t.Fatal("written without a right")
	}

	start := time.Now()
	w.allow()
	w.promised("policy → Ready", start, objects.await("Ready", becomes("billing", "True/Synced")))
	w.promised("policy → Secret", start, secrets.await("the Secret", contains("billing", holding(first))))

	last := first
	for _, n := range []string{"second", "third", "fourth", "fifth", "sixth"} {
		last = w.value(n)
		acknowledged := w.put(path, map[string]any{"url": last, "port": 5432})
		w.promised("change → Secret", acknowledged, secrets.await("the change", contains("billing", holding(last))))
	}
	w.synced("billing")

	for name, edit := range map[string]string{
		"value":  `{"data":{"DB_URL":"aGFja2Vk"}}`,
		"key":    `{"data":{"extra":"eA=="}}`,
		"gone":   `{"data":{"DB_URL":null}}`,
		"all":    `{"data":null}`,
		"label":  `{"metadata":{"labels":{"scaivault.io/managed":null}},"data":{"DB_URL":"aGFja2Vk"}}`,
		"owner":  `{"metadata":{"ownerReferences":null},"data":{"DB_URL":"aGFja2Vk"}}`,
		"fields": `{"metadata":{"managedFields":[{}]},"data":{"DB_URL":"aGFja2Vk","extra":"eA=="}}`,
	} {
		secrets.mark()
		start := time.Now()
		w.kubectl("-n", w.ns, "patch", "secret", "billing", "--type=merge", "-p", edit)
		edited := secrets.await("the edit", func(s sighting) bool { return s.obj.GetName() == "billing" })
		if edited.at.Before(start) {
			t.Fatal("a sighting of before")
		}
		w.promised("hand edit of "+name+" → repaired", edited.at, secrets.await("the repair of "+name, contains("billing", holding(last))))
		w.synced("billing")
		w.untilOwned("billing")
	}
	secrets.mark()
	start = time.Now()
	w.remove(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "billing"}})
	w.promised("deletion → made anew", start, secrets.await("the new Secret", contains("billing", holding(last))))
	w.synced("billing")
}

// untilOwned waits until a Secret carries our label and owner reference again.
func (w *world) untilOwned(name string) {
	w.Helper()
	w.until("label and owner of "+name, "true VaultSecret "+name, func() string {
		s := w.secret(name)
		ref := metav1.GetControllerOf(s)
		if ref == nil {
			return "no owner"
		}
		return s.Labels[v1alpha1.LabelManaged] + " " + ref.Kind + " " + ref.Name
	})
}
