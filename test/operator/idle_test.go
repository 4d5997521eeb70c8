package operator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/test/operator"
)

// quiet is how long nothing may happen; it covers several of the operator's short timers.
const quiet = 8 * time.Second

// writesObjects matches what changes objects; leases and tokens change none that anybody watches.
func writesObjects(c operator.Call) bool {
	return c.Writes() && !strings.Contains(c.Path, "/leases") && !strings.HasSuffix(c.Path, "/token")
}

func writesSecrets(c operator.Call) bool { return c.Writes() && strings.Contains(c.Path, "/secrets") }

// readsValues matches what gives values.
func readsValues(c operator.Call) bool {
	return c.Method == http.MethodGet && strings.HasPrefix(c.Path, "/v1/secrets/") && !strings.HasSuffix(c.Path, "/metadata") ||
		c.Path == "/v1/secrets/batch"
}

// still waits until the operator has written no object and read no value for a while.
func (w *world) still() {
	w.Helper()
	limit := time.Now().Add(soon)
	for n := -1; ; {
		now := len(w.api.Calls(writesObjects)) + len(w.wire.Calls(readsValues))
		if now == n {
			return
		}
		if n = now; time.Now().After(limit) {
			w.Fatalf("the operator does not come to rest: %d calls", n)
		}
		w.pass(time.Second)
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.Helper()
	select {
	case <-time.After(d):
	case <-w.Context().Done():
	}
}

func (w *world) forgetCalls() {
	w.api.Forget()
	w.wire.Forget()
}

// reads counts the entries of the audit trail in which the test's ServiceAccount read values.
func (w *world) reads() int {
	w.Helper()
	l, err := w.admin.Audit.Logs(w.Context(), client.AuditFilter{Actions: []string{"read", "batch_read"}, IdentityID: "sa:" + w.ns + ":app", Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	return len(l.Logs)
}

// One change costs one read, one write of the Secret and one of the status; the watch's echo of our own writes
// costs nothing. (field.md 62: a loop that feeds itself.)
func TestMistake62OneChangeOneRead(t *testing.T) {
	w := running(t)
	w.allowed()
	const objects, rounds = 10, 5
	for i := range objects {
		w.put(w.path(fmt.Sprint("s", i)), map[string]any{"k": "0"})
	}
	w.still() // the events of all that have arrived
	for i := range objects {
		w.create(fmt.Sprint("s", i), w.path(fmt.Sprint("s", i)))
	}
	for i := range objects {
		w.synced(fmt.Sprint("s", i))
	}
	w.still()
	if n := w.reads(); n != objects {
		t.Errorf("%d objects were made with %d reads", objects, n)
	}
	for round := range rounds {
		w.forgetCalls()
		before := w.reads()
		for i := range objects {
			w.put(w.path(fmt.Sprint("s", i)), map[string]any{"k": fmt.Sprint(round + 1)})
		}
		for i := range objects {
			w.holds(fmt.Sprint("s", i), fmt.Sprint("k=", round+1))
		}
		w.still()
		if n := w.reads() - before; n != objects {
			t.Errorf("round %d: %d changes caused %d reads", round, objects, n)
		}
		// The first apply after a Create also takes away what Create left in managedFields.
		want := objects
		if round == 0 {
			want = 2 * objects
		}
		if got := w.api.Calls(writesSecrets); len(got) != want {
			t.Errorf("round %d: %d changes caused %d writes of Secrets: %v", round, objects, len(got), got)
		}
		if got := w.api.Calls(writesStatus); len(got) != objects {
			t.Errorf("round %d: %d changes caused %d writes of status: %v", round, objects, len(got), got)
		}
	}
}

func writesStatus(c operator.Call) bool { return c.Writes() && strings.HasSuffix(c.Path, "/status") }

// Once everything is synced, nothing is written to the API server but leases and tokens, and nothing is read from
// the vault; neither after somebody touched a Secret in a way that is not ours to repair.
func TestIdle(t *testing.T) {
	w := running(t)
	w.allowed()
	for i := range 20 {
		w.put(w.path(fmt.Sprint("s", i)), map[string]any{"k": "v"})
		w.create(fmt.Sprint("s", i), w.path(fmt.Sprint("s", i)))
	}
	for i := range 20 {
		w.synced(fmt.Sprint("s", i))
	}
	w.kubectl("-n", w.ns, "label", "secret", "s3", "team=pay")
	w.kubectl("-n", w.ns, "annotate", "secret", "s4", "note=kept")
	w.still()
	if s := w.secret("s3"); s.Labels["team"] != "pay" {
		t.Errorf("a label of somebody else was taken away: %v", s.Labels)
	}

	all := func() string {
		return w.states(&corev1.SecretList{}, &v1alpha1.VaultSecretList{}, &v1alpha1.VaultPolicyList{}, &corev1.ConfigMapList{})
	}
	before, reads := all(), w.reads()
	w.forgetCalls()
	w.pass(quiet)
	if after := all(); after != before {
		t.Errorf("written while idle; before:\n%s\nafter:\n%s", before, after)
	}
	if n := w.reads() - reads; n != 0 {
		t.Errorf("%d values were read while idle", n)
	}
	if got := w.api.Calls(writesObjects); len(got) != 0 {
		t.Errorf("calls while idle: %v", got)
	}
	if got := w.wire.Calls(func(c operator.Call) bool { return !strings.HasSuffix(c.Path, "/poll") }); len(got) != 0 {
		t.Errorf("calls to the vault while idle: %v", got)
	}
}
