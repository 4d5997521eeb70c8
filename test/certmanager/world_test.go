package certmanager_test

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scailabs/scaivault/test/certmanager"
	"github.com/scailabs/scaivault/test/controlplane"
)

// soon bounds what cert-manager does at once; a loaded machine may take long.
const soon = time.Minute

// world is a control plane with cert-manager and a namespace of its user.
type world struct {
	*testing.T
	plane *controlplane.Plane
	kube  kube.Client // cluster-admin
	ns    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log.SetLogger(logr.Discard()) // the library of the test's own client asks for one
	w := &world{T: t, plane: controlplane.Start(t)}
	start := time.Now()
	certmanager.Start(t, w.plane)
	t.Logf("cert-manager was installed and decided after %s", time.Since(start).Round(100*time.Millisecond))
	w.kube = w.client(w.plane.Kubeconfig)
	w.ns = w.plane.Namespace(t, "certificates", nil)
	return w
}

func (w *world) client(kubeconfig string) kube.Client {
	w.Helper()
	cfg, err := controlplane.Load(kubeconfig)
	w.must(err)
	c, err := kube.New(cfg, kube.Options{})
	w.must(err)
	return c
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// until waits until got gives no error, and fails after soon with the last one.
func (w *world) until(what string, got func() error) {
	w.Helper()
	limit := time.Now().Add(soon)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := got()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			w.Fatalf("%s after %s: %v", what, soon, err)
		}
		<-tick.C
	}
}

// object is one of cert-manager's in the world's namespace.
func (w *world) object(kind, name string, spec map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: kind})
	o.SetNamespace(w.ns)
	o.SetName(name)
	if spec != nil {
		o.Object["spec"] = spec
	}
	return o
}

func (w *world) create(kind, name string, spec map[string]any) {
	w.Helper()
	w.must(w.kube.Create(w.Context(), w.object(kind, name, spec)))
}

func (w *world) get(kind, name string) (*unstructured.Unstructured, error) {
	o := w.object(kind, name, nil)
	return o, w.kube.Get(w.Context(), kube.ObjectKeyFromObject(o), o)
}

func (w *world) secret(name string) *corev1.Secret {
	w.Helper()
	s := &corev1.Secret{}
	w.must(w.kube.Get(w.Context(), kube.ObjectKey{Namespace: w.ns, Name: name}, s))
	return s
}

// condition is a condition's status and reason: True/Issued; "" before there is one.
func condition(o *unstructured.Unstructured, kind string) string {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range list {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return c["status"].(string) + "/" + c["reason"].(string)
		}
	}
	return ""
}

func text(o *unstructured.Unstructured, fields ...string) string {
	s, _, _ := unstructured.NestedString(o.Object, fields...)
	return s
}
