package operator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
)

// under reads everything below a prefix as source "all", each field as name_field.
func under(prefix string) func(*v1alpha1.VaultSecretSpec) {
	return func(s *v1alpha1.VaultSecretSpec) {
		s.Sources = []v1alpha1.Source{{Name: "all", PathPrefix: v1alpha1.PathPrefix(prefix)}}
		s.DataFrom = []v1alpha1.DataFrom{{Source: "all", KeyFormat: "{name}_{field}"}}
	}
}

func (w *world) delete(path string) {
	w.Helper()
	if _, err := w.admin.Secrets.Delete(w.Context(), path, client.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
}

// Every secret below a prefix is in the Secret; new ones, changed ones and deleted ones are followed within a
// second, and a secret beside the prefix, or of which only the name begins so, is none of them.
func TestPrefix(t *testing.T) {
	w := running(t)
	prefix := w.path("all/")
	w.create("all", "", under(prefix))
	w.is("all", "False/AccessDenied")
	w.says("all", "sa:"+w.ns+":app may list nothing below "+prefix, "allow list and read on "+prefix+"**")
	w.put(w.path("alley"), map[string]any{"k": "not below"})
	w.put(prefix+"db", map[string]any{"url": "u1", "n": 5})
	w.put(prefix+"eu/web", map[string]any{"key": "w1"})
	secrets, objects := w.watch(&corev1.SecretList{}), w.watch(&v1alpha1.VaultSecretList{})
	start := time.Now()
	w.allow()
	w.promised("policy → Ready", start, objects.await("Ready", becomes("all", "True/Synced")))
	w.holds("all", "db_n=5 db_url=u1 eu.web_key=w1")
	w.create("text", "", under(prefix), func(s *v1alpha1.VaultSecretSpec) {
		s.DataFrom = nil
		s.Data = []v1alpha1.DataEntry{{Key: "list", Template: `{{ range $name, $f := .all }}{{ $name }};{{ end }}{{ .all.db.url }}`}}
	})
	w.holds("text", "list=db;eu.web;u1")
	w.synced("text")

	secrets.mark()
	start = w.put(prefix+"cache", map[string]any{"host": "c"})
	w.promised("a new secret → its keys", start, secrets.await("its keys", contains("all", "cache_host=c db_n=5 db_url=u1 eu.web_key=w1")))
	start = w.put(prefix+"db", map[string]any{"url": "u2"})
	w.promised("a changed secret → its keys", start, secrets.await("its keys", contains("all", "cache_host=c db_url=u2 eu.web_key=w1")))
	start = time.Now()
	w.delete(prefix + "cache")
	w.promised("a deleted secret → no keys", start, secrets.await("the keys' end", contains("all", "db_url=u2 eu.web_key=w1")))
	w.holds("text", "list=db;eu.web;u2")
	w.synced("all", "text")
	w.until("the status after the Secret", "2", func() string { return fmt.Sprint(w.get("all").Status.SyncedCount) })
	st := w.get("all").Status
	if len(st.Synced) != 2 || st.Synced[0].Path != prefix+"db" || st.Synced[0].Version != 2 || st.Synced[1].Source != "all" {
		t.Errorf("status %+v", st.Synced)
	}

	// What was deleted is no way to empty a Secret: with the last secret the source itself is missing.
	w.create("gone", "", under(prefix), deleting)
	w.synced("gone")
	w.delete(prefix + "db")
	w.delete(prefix + "eu/web")
	w.until("word of the end", "true", func() string {
		return fmt.Sprint(strings.Contains(condition(w.get("all"), v1alpha1.ConditionReady).Message, "no secret below "+prefix))
	})
	w.is("all", "False/SecretMissing")
	if got := content(w.secret("all")); got != "db_url=u2 eu.web_key=w1" && got != "eu.web_key=w1" {
		t.Errorf("the Secret was emptied: %q", got)
	}
	w.holds("gone", "")
	w.put(prefix+"back", map[string]any{"k": "1"})
	w.holds("all", "back_k=1")
	w.holds("gone", "back_k=1")
	w.synced("all", "gone")
	w.remove(w.get("text")) // its template speaks of a secret that is gone
}

// What the ServiceAccount may list and not read is left out, and comes with the right; but a right that is lost takes
// no key away.
func TestPrefixAndRights(t *testing.T) {
	w := running(t)
	prefix := w.path("all/")
	for _, name := range []string{"a", "b", "c"} {
		w.put(prefix+name, map[string]any{"k": name})
	}
	app := serviceAccount(w.ns, "app")
	pattern := func(name string) []v1alpha1.PathPattern {
		return []v1alpha1.PathPattern{v1alpha1.PathPattern(prefix + name)}
	}
	lists := &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "lists-"}, Spec: v1alpha1.VaultPolicySpec{
		Rules: []v1alpha1.PolicyRule{{Paths: pattern("**"), Permissions: []v1alpha1.Permission{"list"}}}, Subjects: []v1alpha1.PolicySubject{app}}}
	if err := w.kube.Create(t.Context(), lists); err != nil {
		t.Fatal(err)
	}
	w.policyIs(lists, "True/Applied")
	w.policyIs(w.policy(pattern("a"), app), "True/Applied")
	w.create("all", "", under(prefix))
	w.synced("all")
	w.holds("all", "a_k=a")
	second := w.policy(pattern("b"), app)
	w.holds("all", "a_k=a b_k=b")
	w.synced("all")

	w.remove(second) // read is lost, list stays
	w.is("all", "False/AccessDenied")
	w.says("all", prefix+"b")
	w.holds("all", "a_k=a b_k=b")
	second = w.policy(pattern("b"), app)
	w.synced("all")
	w.remove(lists) // list of c is lost, which was never held: nothing changes
	w.still()
	w.synced("all")
	w.remove(second) // now b is out of sight altogether
	w.is("all", "False/AccessDenied")
	w.holds("all", "a_k=a b_k=b")
	w.allow()
	w.holds("all", "a_k=a b_k=b c_k=c")
	w.synced("all")
}

// A restart reads no value where nothing changed, also beyond what the status lists; what changed meanwhile is done.
func TestPrefixRestart(t *testing.T) {
	w := running(t)
	w.allowed()
	for i := range 60 {
		w.put(w.path(fmt.Sprintf("many/s%02d", i)), map[string]any{"k": "v"})
	}
	w.put(w.path("few/s"), map[string]any{"k": "v"})
	w.put(w.path("later"), map[string]any{"k": "v"})
	w.create("many", "", under(w.path("many/")))
	w.create("few", "", under(w.path("few/")))
	w.synced("many", "few")
	if st := w.get("many").Status; st.SyncedCount != 60 || len(st.Synced) != v1alpha1.StatusListLimit {
		t.Errorf("%d of %d listed", len(st.Synced), st.SyncedCount)
	}
	w.still()
	w.operator.Stop()
	before, reads := w.states(&corev1.SecretList{}, &v1alpha1.VaultSecretList{}), w.reads()
	w.operator.Start()
	w.still()
	w.pass(2 * time.Second)
	if after := w.states(&corev1.SecretList{}, &v1alpha1.VaultSecretList{}); after != before {
		t.Errorf("a restart wrote; before:\n%s\nafter:\n%s", before, after)
	}
	if n := w.reads() - reads; n != 0 {
		t.Errorf("a restart read %d values", n)
	}
	w.create("later", w.path("later")) // when this is done, the start was compared
	w.synced("later")
	if n := w.reads() - reads; n != 1 {
		t.Errorf("%d values were read for one object", n)
	}

	w.operator.Stop()
	w.put(w.path("many/s55"), map[string]any{"k": "changed"})
	w.put(w.path("few/t"), map[string]any{"k": "new"})
	w.operator.Start()
	w.holds("few", "s_k=v t_k=new")
	w.until("a change beyond what the status lists", "changed", func() string { return string(w.secret("many").Data["s55_k"]) })
	w.synced("many", "few")
}

// A prefix that covers more than one object may read is told and nothing is written; when it fits again, it goes on.
func TestPrefixTooLarge(t *testing.T) {
	w := running(t)
	w.allowed()
	prefix := w.path("huge/")
	for i := range 501 {
		w.put(prefix+fmt.Sprint("s", i), map[string]any{"k": "v"})
	}
	w.create("huge", "", under(prefix))
	w.is("huge", "False/TooManySecrets")
	w.says("huge", "source all", prefix, "at most 500")
	if w.secret("huge") != nil {
		t.Error("a part was written")
	}
	w.delete(prefix + "s7")
	w.synced("huge")
	if s := w.secret("huge"); len(s.Data) != 500 || strings.Contains(content(s), "s7_k") {
		t.Errorf("%d keys", len(s.Data))
	}
	w.put(prefix+"another", map[string]any{"k": "v"})
	w.is("huge", "False/TooManySecrets")
	if s := w.secret("huge"); len(s.Data) != 500 {
		t.Errorf("%d keys are left", len(s.Data))
	}
}
