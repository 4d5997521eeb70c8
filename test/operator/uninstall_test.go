package operator_test

import (
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/operator"
)

// uninstallLimit is the promise for the end of everything.
const uninstallLimit = 3 * time.Minute

// Somebody deletes what he once applied, all at once and without a release before it, while objects are in use. It
// ends, whatever goes first: nothing in it waits for a part that may be gone. Secrets do what whenDeleted says.
func TestUninstallEndsInEveryOrder(t *testing.T) {
	for _, first := range []struct {
		name string
		goes func(*world)
	}{
		{"definitions", func(w *world) {
			w.kubectl("delete", "--wait=false", "-k", filepath.Join(controlplane.Root(), "config/crd"))
		}},
		{"operator", func(w *world) { w.operator.Kill() }},
		{"server", func(w *world) { w.vault.Kill() }},
		{"namespace", func(w *world) { w.kubectl("delete", "--wait=false", "namespace", operator.Namespace) }},
	} {
		t.Run(first.name+" first", func(t *testing.T) {
			w := running(t)
			w.inUse()
			first.goes(w)
			w.uninstall()
		})
	}
}

// inUse makes an object of each kind that could wait for something.
func (w *world) inUse() {
	w.Helper()
	w.put(w.path("s"), map[string]any{"k": "1"})
	w.allowed()
	w.theirs("theirs", map[string]string{"theirs": "x"})
	w.create("deleted", w.path("s"))
	w.create("retained", w.path("s"), retaining)
	w.create("shared", w.path("s"), sharing("theirs"))
	w.create("shared-retained", w.path("s"), sharing("beside"), retaining)
	w.create("waiting", w.path("none"))
	w.synced("deleted", "retained", "shared", "shared-retained")
	w.is("waiting", "False/SecretMissing")
}

func (w *world) uninstall() {
	w.Helper()
	installed.Lock()
	defer installed.Unlock()
	installed.done = false
	start := time.Now()
	w.kubectl("delete", "--ignore-not-found", "--timeout="+uninstallLimit.String(), "-k", filepath.Join(controlplane.Root(), "config/default"))
	took := time.Since(start)
	if w.Logf("%s", took.Round(time.Millisecond)); took > uninstallLimit {
		w.Errorf("it took %s", took)
	}
	for kind, name := range map[string]string{"crd": "vaultsecrets.scaivault.io", "clusterrole": "scaivault-operator"} {
		if out, err := w.plane.Kubectl(w.Context(), "get", kind, name); err == nil {
			w.Errorf("left: %s", out)
		}
	}
	w.ended(&corev1.Namespace{}, keyOf(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operator.Namespace}}))
	w.holds("deleted", "")
	w.holds("retained", "k=1")
	w.until("the Secret of somebody else", "x", func() string { return string(w.secret("theirs").Data["theirs"]) })
	w.holds("beside", "k=1")
}
