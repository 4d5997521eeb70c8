package operator_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/test/operator"
)

// The server is killed. What is there stays, what cannot be done says why. It comes back, and until the operator
// reaches it others change everything: secrets are written, deleted and restored, rights given and taken; and the
// events of all that are lost. Then everything is as the vault is now, and what did not change was not written.
func TestServerDownAndBack(t *testing.T) {
	w := running(t)
	for _, s := range []string{"changed", "same", "edited", "deleted", "gone", "restored", "lost", "later"} {
		w.put(w.path(s), map[string]any{"k": "1"})
	}
	w.allowed()
	w.account(w.ns, "other")
	lost := w.policy([]v1alpha1.PathPattern{v1alpha1.PathPattern(w.path("lost"))}, serviceAccount(w.ns, "other"))
	w.policyIs(lost, "True/Applied")
	for _, s := range []string{"changed", "same", "edited", "deleted", "restored"} {
		w.create(s, w.path(s))
	}
	w.create("gone", w.path("gone"), deleting)
	w.create("lost", w.path("lost"), func(s *v1alpha1.VaultSecretSpec) {
		s.ServiceAccountName, s.RefreshInterval = "other", "10s" // the safety net finds a lost right without an event
	})
	w.synced("changed", "same", "edited", "deleted", "restored", "gone", "lost")
	w.vaultDeletes("restored", false)
	w.is("restored", "False/SecretMissing")
	same := w.secret("same").ResourceVersion

	w.vault.Kill()
	w.create("later", w.path("later"))
	late := w.policy([]v1alpha1.PathPattern{v1alpha1.PathPattern(w.path("**"))}, serviceAccount(w.ns, "late"))
	w.edit("edited", `{"data":{"k":"aGFja2Vk","extra":"eA=="}}`)
	w.is("later", "False/VaultUnavailable")
	w.says("later", "does not answer")
	w.policyIs(late, "False/VaultUnavailable")
	w.until("the trouble of an object that is well", "True/Synced VaultUnavailable", func() string { // it was edited
		v := w.get("edited")
		return ready(v) + " " + condition(v, v1alpha1.ConditionReconciling).Reason
	})

	w.wire.Shut()
	w.vault.Start()
	for _, s := range []string{"changed", "edited", "later"} {
		w.put(w.path(s), map[string]any{"k": "2"})
	}
	w.vaultDeletes("deleted", false)
	w.vaultDeletes("gone", true)
	if _, err := w.admin.Secrets.Restore(t.Context(), w.path("restored")); err != nil {
		t.Fatal(err)
	}
	w.remove(lost)
	w.loseEvents()
	w.wire.Open()

	w.holds("changed", "k=2")
	w.holds("edited", "k=2")
	w.holds("later", "k=2")
	w.synced("changed", "same", "edited", "restored", "later")
	w.policyIs(late, "True/Applied")
	w.is("deleted", "False/SecretMissing")
	w.is("gone", "False/SecretMissing")
	w.says("gone", "if a second look agrees")
	w.is("lost", "False/AccessDenied")
	w.ended(&v1alpha1.VaultPolicy{}, keyOf(lost))
	for _, s := range []string{"deleted", "gone", "lost"} {
		w.holds(s, "k=1")
	}
	if now := w.secret("same").ResourceVersion; now != same {
		t.Error("what had not changed was written")
	}
	if n := w.subscriptions(); n != 1 {
		t.Errorf("the operator has %d subscriptions, want 1", n)
	}
	w.put(w.path("same"), map[string]any{"k": "2"}) // and events arrive again
	w.holds("same", "k=2")
}

// The answer to a poll is lost together with the operator: its events are in no answer that anybody will get.
func TestEventsLostWithTheOperator(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	w.allowed()
	w.create("s", w.path("s"))
	w.synced("s")
	killed := w.wire.Trap(true, func(c operator.Call) bool { return strings.HasSuffix(c.Path, "/poll") }, w.operator.Kill)
	w.put(w.path("s"), map[string]any{"k": "2"}) // ends the poll that is under way
	w.holds("s", "k=2")
	w.rests("s")
	w.put(w.path("s"), map[string]any{"k": "3"}) // ends the one that is caught
	<-killed
	w.holds("s", "k=2")
	w.operator.Start()
	w.holds("s", "k=3")
	w.synced("s")
}

// rests waits until nothing has happened to a VaultSecret for a second: no run goes on that would read a newer value.
func (w *world) rests(name string) {
	w.Helper()
	at, since := "", time.Now()
	w.until("VaultSecret "+name+" at rest", "true", func() string {
		if now := w.get(name).ResourceVersion; now != at {
			at, since = now, time.Now()
		}
		return fmt.Sprint(time.Since(since) > time.Second)
	})
}

func (w *world) vaultDeletes(name string, permanent bool) {
	w.Helper()
	if _, err := w.admin.Secrets.Delete(w.Context(), w.path(name), client.DeleteOptions{Permanent: permanent}); err != nil {
		w.Fatal(err)
	}
}

// loseEvents takes the operator's subscription away, as its end in the vault does, with all events in it.
func (w *world) loseEvents() {
	w.Helper()
	l, err := w.admin.Subscriptions.List(w.Context(), client.SubscriptionFilter{})
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range l.Subscriptions {
		if err := w.admin.Subscriptions.Delete(w.Context(), s.ID); err != nil {
			w.Fatal(err)
		}
	}
}

// edit changes a Secret as a person would.
func (w *world) edit(name, patch string) {
	w.Helper()
	w.kubectl("-n", w.ns, "patch", "secret", name, "--type=merge", "-p", patch)
}

// An empty server stands in place of the old one. Nothing is written or deleted, whatever people do meanwhile and
// however often the operator starts, and the empty server is asked for no value and given no policy. The command
// lifts it, and everything is as people want it by then.
func TestEmptyServerDeletesNothing(t *testing.T) {
	w := running(t)
	for _, s := range []string{"keep", "delete", "edited", "renamed", "ended"} {
		w.put(w.path(s), map[string]any{"k": w.value("old")})
	}
	allowed := w.allowed()
	ended := w.policy([]v1alpha1.PathPattern{v1alpha1.PathPattern(w.path("ended"))}, serviceAccount(w.ns, "app"))
	w.policyIs(ended, "True/Applied")
	for _, s := range []string{"keep", "edited", "renamed"} {
		w.create(s, w.path(s))
	}
	w.create("delete", w.path("delete"), deleting)
	w.synced("keep", "delete", "edited", "renamed")
	old := "k=" + w.value("old")
	written := w.watch(&corev1.SecretList{})

	w.vault.Stop()
	if err := os.RemoveAll(w.vault.Vault()); err != nil {
		t.Fatal(err)
	}
	w.vault.Start()
	w.forgetCalls()
	replaced := []string{"keep", "delete", "edited", "renamed"}
	for range 2 {
		for _, s := range replaced {
			w.is(s, "False/VaultReplaced")
			w.says(s, "nothing is written or deleted", "scaivault-operator accept-vault")
		}
		w.policyIs(allowed, "False/VaultReplaced")
		w.operator.Kill()
		w.operator.Start()
	}
	w.create("new", w.path("new"))
	w.edit("edited", `{"data":{"extra":"eA=="}}`)
	w.change("renamed", target(v1alpha1.SecretTarget{Name: "other"}))
	w.remove(ended)
	for _, s := range append(replaced, "new") {
		w.annotate(w.get(s), v1alpha1.AnnotationRequestedAt, "now")
		w.until("echo of the request", "now", func() string { return w.get(s).Status.LastHandledRequest })
		w.is(s, "False/VaultReplaced")
	}
	w.ended(&v1alpha1.VaultPolicy{}, keyOf(ended))
	w.emptyServerUntouched(written)

	w.put(w.path("keep"), map[string]any{"k": "2"})
	out, err := w.operator.Command(t.Context(), w.plane.Kubeconfig, "accept-vault")
	if version, e := w.admin.System.Version(t.Context()); err != nil || e != nil || !strings.Contains(out, version.InstanceID) {
		t.Fatalf("accept-vault: %s %v %v", out, err, e)
	}
	w.holds("keep", "k=2")
	w.synced("keep")
	w.policyIs(allowed, "True/Applied")
	for _, s := range []string{"delete", "edited", "renamed", "new"} {
		w.is(s, "False/SecretMissing")
	}
	w.says("delete", "if a second look agrees")
	w.holds("delete", old)
	w.put(w.path("renamed"), map[string]any{"k": "2"})
	w.holds("other", "k=2")
	w.holds("renamed", "")
}

// emptyServerUntouched fails if anything was written or deleted since an empty server took the old one's place.
func (w *world) emptyServerUntouched(written *trail) {
	w.Helper()
	for _, s := range written.all() {
		edited := s.obj.GetName() == "edited" && content(s.obj.(*corev1.Secret)) == "extra=x k="+w.value("old")
		if s.kind != watch.Added && !edited {
			w.Errorf("Secret %s: %s %s", s.obj.GetName(), s.kind, content(s.obj.(*corev1.Secret)))
		}
	}
	if got := w.api.Calls(writesSecrets); len(got) != 0 {
		w.Errorf("writes of Secrets: %v", got)
	}
	if got := w.wire.Calls(func(c operator.Call) bool { return readsValues(c) || strings.HasPrefix(c.Path, "/v1/policies") }); len(got) != 0 {
		w.Errorf("the empty server was asked for %v", got)
	}
	if l, err := w.admin.Policies.List(w.Context(), client.PolicyFilter{Owner: "k8s:home", IncludeInactive: true}); err != nil || len(l.Policies) != 0 {
		w.Errorf("policies in the empty server: %+v %v", l, err)
	}
	if l, err := w.admin.Secrets.List(w.Context(), client.ListOptions{}); err != nil || len(l.Secrets) != 0 {
		w.Errorf("secrets in the empty server: %+v %v", l, err)
	}
}
