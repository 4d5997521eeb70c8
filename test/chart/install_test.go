package chart_test

import (
	"strings"
	"testing"

	"github.com/scailabs/scaivault/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
)

// A chart is linted, rendered, installed, used, upgraded, uninstalled and installed again, by each Helm, and no
// secret is lost on the way.
func TestLife(t *testing.T) {
	for _, h := range helms(t) {
		t.Run(h.name, func(t *testing.T) {
			w := newWorld(t, h)
			w.lint()
			w.install("install")
			admin := w.token("--admin")
			w.write(w.client(w.node.vault.url(), admin), "shop/db", "one")
			app := w.app("shop/db")
			w.synced(app, "one")

			w.upgrade()
			w.write(w.client(w.node.vault.url(), admin), "shop/db", "two")
			w.synced(app, "two")

			w.uninstall(app)
			w.install("install")
			w.write(w.client(w.node.vault.url(), admin), "shop/db", "three")
			w.synced(app, "three")
		})
	}
}

// lint runs the commands that look at a chart without a cluster, and has the API server judge what they render.
func (w *world) lint() {
	w.Helper()
	w.run("lint", "--strict", chart(), "--kube-version", "1.37.2")
	text := w.run("template", release, chart(), "--namespace", w.ns, "--kube-version", "1.37.2")
	if !strings.Contains(text, "kind: StatefulSet") {
		w.Errorf("helm template printed\n%s", text)
	}
}

// upgrade replaces every pod.
func (w *world) upgrade() {
	w.Helper()
	before := w.pods()
	w.install("upgrade", "image.tag=next", "operator.replicas=2")
	w.node.until("all pods replaced", func() error {
		for name := range w.pods() {
			if before[name] != "" && before[name] == w.pods()[name] {
				return errText(name + " is still there")
			}
		}
		return nil
	})
	if !strings.Contains(w.run("history", release, "--namespace", w.ns), "deployed") {
		w.Error("the upgrade is not deployed")
	}
}

// pods are those of server and operator, by name, with their UIDs.
func (w *world) pods() map[string]string {
	out := map[string]string{}
	for _, part := range []string{"server", "operator"} {
		for _, p := range w.node.of(part) {
			out[p.pod.Name] = string(p.pod.UID)
		}
	}
	return out
}

// uninstall leaves what must not be lost, and nothing else.
func (w *world) uninstall(app string) {
	w.Helper()
	manifest := w.run("get", "manifest", release, "--namespace", w.ns)
	w.run("uninstall", release, "--namespace", w.ns, "--wait", "--timeout", "3m")
	w.gone(manifest)
	for name, obj := range map[string]kube.Object{
		"scaivault-root-key": &corev1.Secret{}, "data-scaivault-server-0": &corev1.PersistentVolumeClaim{},
	} {
		w.must(w.kube.Get(w.Context(), kube.ObjectKey{Namespace: w.ns, Name: name}, obj))
	}
	w.must(w.kube.Get(w.Context(), kube.ObjectKey{Namespace: app, Name: "db"}, &corev1.Secret{})) // pods go on with it
	policy := &v1alpha1.VaultPolicy{}
	w.must(w.kube.Get(w.Context(), kube.ObjectKey{Name: app}, policy))
	if len(policy.Finalizers) > 0 {
		w.Errorf("the VaultPolicy waits for an operator that is gone: %v", policy.Finalizers)
	}
}

type errText string

func (e errText) Error() string { return string(e) }
