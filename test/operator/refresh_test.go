package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/test/operator"
)

// node makes a node without a kubelet, for pods that need none; it goes with the test.
func (w *world) node() string {
	w.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}}
	if err := w.kube.Create(w.Context(), n); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = w.kube.Delete(context.WithoutCancel(w.Context()), n) })
	return n.Name
}

// pod makes a pod on a node.
func (w *world) pod(name, node string, spec corev1.PodSpec) *corev1.Pod {
	w.Helper()
	w.until("ServiceAccount default", "true", func() string { // without it no pod is accepted
		return fmt.Sprint(w.kube.Get(w.Context(), w.key("default"), &corev1.ServiceAccount{}) == nil)
	})
	spec.NodeName = node
	p := &corev1.Pod{ObjectMeta: w.meta(name), Spec: spec}
	p.Annotations = map[string]string{"theirs": "kept"}
	if err := w.kube.Create(w.Context(), p); err != nil {
		w.Fatal(err)
	}
	return p
}

func immediately(s *v1alpha1.VaultSecretSpec) { s.RefreshPods = v1alpha1.RefreshImmediately }

// refreshedAt is the annotation of a pod.
func (w *world) refreshedAt(pod string) string {
	w.Helper()
	p := &corev1.Pod{}
	if err := w.kube.Get(w.Context(), w.key(pod), p); err != nil {
		w.Fatal(err)
	}
	return p.Annotations[v1alpha1.AnnotationRefreshedAt]
}

// A change reaches the pods that mount the Secret within a second, once each; those are not restarted that a fresh
// file is enough for. Pods of other Secrets, other namespaces and immutable Secrets are left alone.
func TestRefreshPods(t *testing.T) {
	w := newWorld(t)
	w.allowRefresh()
	w.operator.Start()
	w.allowed()
	path := w.path("s")
	w.put(path, map[string]any{"k": "1"})
	node := w.node()
	mine := w.ns
	w.ns = w.namespace("other", nil)
	foreign := w.pod("mounts", node, byFile("s"))
	w.ns = mine
	w.pod("mounts", node, byFile("s"))
	w.pod("projects", node, byProjected("s"))
	for name, spec := range map[string]corev1.PodSpec{"env": byEnv("s"), "sub-path": bySubPath("s"), "frozen": byFile("fixed"), "other": byFile("x")} {
		w.pod(name, node, spec)
	}
	spared := []kube.Object{w.deploy("file", byFile("s")), w.deploy("projected", byProjected("s"))}
	restarted := []kube.Object{w.deploy("env", byEnv("s")), w.deploy("sub", bySubPath("s")), w.deploy("init", byInit("s")), w.deploy("fixed", byFile("fixed"))}
	w.create("s", path, immediately, restarting(brief))
	w.create("fixed", path, immediately, restarting(brief), func(s *v1alpha1.VaultSecretSpec) { s.Target = &v1alpha1.SecretTarget{Immutable: true} })
	w.synced("s", "fixed")
	w.still()

	pods := w.watch(&corev1.PodList{})
	last := map[string]string{"mounts": w.refreshedAt("mounts"), "projects": w.refreshedAt("projects")}
	for round := range 3 {
		acknowledged := w.put(path, map[string]any{"k": fmt.Sprint(round + 2)})
		for range last {
			seen := pods.await("refreshed pod", func(s sighting) bool {
				at, known := last[s.obj.GetName()]
				return known && s.obj.GetAnnotations()[v1alpha1.AnnotationRefreshedAt] != at
			})
			last[seen.obj.GetName()] = seen.obj.GetAnnotations()[v1alpha1.AnnotationRefreshedAt]
			w.promised("change → pod "+seen.obj.GetName(), acknowledged, seen)
		}
	}
	w.until("generations", "env fixed init sub", func() string {
		var more []string
		for _, g := range strings.Fields(w.generations(restarted...)) {
			if name, n, _ := strings.Cut(g, "="); n != "1" {
				more = append(more, name)
			}
		}
		return strings.Join(more, " ")
	})
	w.restOwed("")
	w.still()
	w.are(1, spared...)
	for _, name := range []string{"env", "sub-path", "frozen", "other"} {
		if at := w.refreshedAt(name); at != "" {
			t.Errorf("pod %s was refreshed at %s", name, at)
		}
	}
	for name, at := range last {
		if now := w.refreshedAt(name); now != at {
			t.Errorf("pod %s was refreshed again, at %s", name, now)
		}
	}
	w.ns = foreign.Namespace
	if at := w.refreshedAt("mounts"); at != "" {
		t.Errorf("a pod of another namespace was refreshed at %s", at)
	}
	w.ns = mine
}

// An install that does not allow it says so, touches no pod, and brings the Secret nevertheless; so does one whose
// operator was told to but lacks the right.
func TestRefreshPodsNotAllowed(t *testing.T) {
	touchesPods := func(c operator.Call) bool { return strings.Contains(c.Path, "/pods") }
	w := running(t)
	w.allowed()
	path := w.path("s")
	w.put(path, map[string]any{"k": "1"})
	w.pod("mounts", w.node(), byFile("s"))
	w.create("s", path, immediately)
	w.synced("s")
	w.says("s", "holds what the vault holds", "--refresh-pods", "operator.refreshPods", "within about a minute")
	w.put(path, map[string]any{"k": "2"})
	w.holds("s", "k=2")
	w.still()
	if got := w.api.Calls(touchesPods); len(got) != 0 {
		t.Errorf("calls: %v", got)
	}
	if e := w.events("VaultSecret", "s", "RefreshNotAllowed"); strings.Count(e, "--refresh-pods") != 1 {
		t.Errorf("events %q", e)
	}

	w.operator.Stop()
	w.operator.Args = append(w.operator.Args, "--refresh-pods") // without config/refresh-pods
	w.operator.Start()
	w.put(path, map[string]any{"k": "3"})
	w.holds("s", "k=3")
	w.until("tries", "true", func() string { return fmt.Sprint(len(w.api.Calls(touchesPods)) > 0) })
	w.still()
	w.synced("s")
	if at := w.refreshedAt("mounts"); at != "" {
		t.Errorf("refreshed at %s", at)
	}
}
