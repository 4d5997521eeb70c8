package operator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scailabs/scaivault/test/operator"
)

// Two operators. The leader is stopped in the middle of its work: one write is on its way to the API server, and
// one value on its way back from the vault. The other takes over and writes what is newer. Then the old write
// arrives, and the old leader goes on where it was stopped. Nothing of it brings an old value back.
func TestStoppedLeader(t *testing.T) {
	w := newWorld(t)
	first, api, wire := w.another()
	first.Args, w.operator.Args = []string{"--leader-elect"}, []string{"--leader-elect"}
	first.Start()
	both := func(value string) {
		for _, s := range []string{"writing", "reading"} {
			w.put(w.path(s), map[string]any{"k": value})
		}
	}
	both("1")
	w.allowed()
	w.create("writing", w.path("writing"))
	w.create("reading", w.path("reading"))
	w.synced("writing", "reading")
	w.operator.Start() // and waits for its turn
	secrets := w.watch(&corev1.SecretList{})

	write, arrives := api.Hold(false, func(c operator.Call) bool {
		return c.Method == http.MethodPatch && strings.HasSuffix(c.Path, "/secrets/writing")
	})
	answer, comes := wire.Hold(true, func(c operator.Call) bool {
		return readsValues(c) && strings.HasSuffix(c.Path, "/reading")
	})
	both("2")
	w.caught("the leader's write", write)
	w.caught("the vault's answer", answer)
	first.Pause()
	both("3")
	start := time.Now()
	w.holds("writing", "k=3")
	w.holds("reading", "k=3")
	t.Logf("the other took over and was done after %s", time.Since(start).Round(time.Millisecond))
	arrives()
	comes()
	first.Resume()
	w.until("the leader that was stopped", "ended", func() string {
		if first.Died() {
			return "ended"
		}
		return "runs"
	})
	w.still()
	w.synced("writing", "reading")
	for _, s := range secrets.all() {
		if s.at.After(start) && strings.Contains(content(s.obj.(*corev1.Secret)), "2") {
			t.Errorf("Secret %s was old again: %s", s.obj.GetName(), content(s.obj.(*corev1.Secret)))
		}
	}

	first.Kill() // what is left of it
	first.Start()
	w.operator.Stop() // as an upgrade does
	start = time.Now()
	both("4")
	w.holds("writing", "k=4")
	w.holds("reading", "k=4")
	t.Logf("handed over and done after %s", time.Since(start).Round(time.Millisecond))
}

// caught waits until a gate holds something.
func (w *world) caught(what string, held <-chan operator.Call) {
	w.Helper()
	limit := time.NewTimer(soon)
	defer limit.Stop()
	select {
	case <-held:
	case <-limit.C:
		w.Fatalf("%s was not seen within %s", what, soon)
	}
}
