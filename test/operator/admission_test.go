package operator_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/test/operator"
)

// asOperator is a client with the operator's own token: what somebody has who took the operator over.
func (w *world) asOperator() (kube.Client, kubernetes.Interface) {
	w.Helper()
	token, err := w.plane.ServiceAccountToken(w.Context(), operator.Namespace, operator.Account, apiAudience)
	if err != nil {
		w.Fatal(err)
	}
	cfg := &rest.Config{Host: w.plane.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: w.plane.Config.CAFile}, QPS: -1}
	c, err := kube.New(cfg, kube.Options{Scheme: w.kube.Scheme()})
	if err != nil {
		w.Fatal(err)
	}
	return c, kubernetes.NewForConfigOrDie(cfg)
}

// almighty binds the operator to cluster-admin in the test's namespace, so that nothing but admission is in its way.
func (w *world) almighty() {
	w.Helper()
	w.kubectl("-n", w.ns, "create", "rolebinding", "almighty", "--clusterrole=cluster-admin", "--serviceaccount="+operator.Namespace+":"+operator.Account)
	w.until("rights", "yes", func() string {
		out, _ := w.plane.Kubectl(w.Context(), "-n", w.ns, "auth", "can-i", "create", "pods/exec", "--as", "system:serviceaccount:"+operator.Namespace+":"+operator.Account)
		return strings.TrimSpace(out)
	})
}

// denied fails unless admission refused: not RBAC, and not the schema.
func (w *world) denied(what string, err error) {
	w.Helper()
	if err == nil || !strings.Contains(err.Error(), "ScaiVault operator") {
		w.Errorf("%s: %v", what, err)
	}
}

// Whoever has the operator's token, and all rights besides, can do nothing to a workload but what a restart does.
func TestOperatorChangesOnlyAnnotationsOfTemplates(t *testing.T) {
	w := newWorld(t)
	theirs := map[string]string{"theirs": "kept"}
	annotated := template(pod(corev1.Container{}))
	annotated.Annotations = theirs
	d, s, ds := w.deploy("d", annotated.Spec), w.statefulSet("d", annotated.Spec), w.daemonSet("d", annotated.Spec)
	for _, kind := range []string{"deployment", "statefulset", "daemonset"} {
		w.kubectl("-n", w.ns, "patch", kind, "d", "--type=merge", "-p", `{"metadata":{"annotations":{"theirs":"kept"}},"spec":{"template":{"metadata":{"annotations":{"theirs":"kept"}}}}}`)
	}
	w.almighty()
	c, set := w.asOperator()
	try := func(o kube.Object, raw string) error {
		o = o.DeepCopyObject().(kube.Object)
		return c.Patch(t.Context(), o, kube.RawPatch(types.MergePatchType, []byte(raw)))
	}
	const allowed = `{"spec":{"template":{"metadata":{"annotations":{"scaivault.io/restart.vaultsecret.%s":"1"}}}}}`
	forbidden := map[string]string{
		"image":               `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"evil"}]}}}}`,
		"second container":    `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"none"},{"name":"d","image":"evil"}]}}}}`,
		"ServiceAccount":      `{"spec":{"template":{"spec":{"serviceAccountName":"app"}}}}`,
		"volume":              `{"spec":{"template":{"spec":{"volumes":[{"name":"x","hostPath":{"path":"/"}}]}}}}`,
		"template label":      `{"spec":{"template":{"metadata":{"labels":{"x":"y"}}}}}`,
		"template finalizer":  `{"spec":{"template":{"metadata":{"finalizers":["x.io/y"]}}}}`,
		"template annotation": `{"spec":{"template":{"metadata":{"annotations":{"x":"y"}}}}}`,
		"lookalike":           `{"spec":{"template":{"metadata":{"annotations":{"scaivault.io/restart":"y"}}}}}`,
		"their annotation":    `{"spec":{"template":{"metadata":{"annotations":{"theirs":"taken"}}}}}`,
		"theirs removed":      `{"spec":{"template":{"metadata":{"annotations":{"theirs":null}}}}}`,
		"all removed":         `{"spec":{"template":{"metadata":{"annotations":null}}}}`,
		"a long value":        `{"spec":{"template":{"metadata":{"annotations":{"scaivault.io/restart.x":"` + strings.Repeat("x", 65) + `"}}}}}`,
		"restart and more":    `{"metadata":{"labels":{"x":"y"}},"spec":{"template":{"metadata":{"annotations":{"scaivault.io/restart.x":"1"}}}}}`,
		"history":             `{"spec":{"revisionHistoryLimit":0}}`,
		"label":               `{"metadata":{"labels":{"x":"y"}}}`,
		"annotation":          `{"metadata":{"annotations":{"x":"y"}}}`,
		"annotation removed":  `{"metadata":{"annotations":{"theirs":null}}}`,
		"finalizer":           `{"metadata":{"finalizers":["x.io/y"]}}`,
		"owner":               `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"x"}]}}`,
	}
	special := map[kube.Object]map[string]string{
		d:  {"replicas": `{"spec":{"replicas":0}}`, "paused": `{"spec":{"paused":true}}`, "strategy": `{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`},
		s:  {"replicas": `{"spec":{"replicas":0}}`, "strategy": `{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}`},
		ds: {"strategy": `{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}`},
	}
	special[d]["the count of a DaemonSet"] = `{"metadata":{"annotations":{"deprecated.daemonset.template.generation":"7"}}}`
	for o, more := range special {
		w.until("a restart", "<nil>", func() string { return fmt.Sprint(try(o, fmt.Sprintf(allowed, "first"))) })
		for _, cases := range []map[string]string{forbidden, more} {
			for what, raw := range cases {
				w.denied(fmt.Sprintf("%T: %s", o, what), try(o, raw))
			}
		}
		for _, name := range []string{"first", "second"} {
			if err := try(o, strings.ReplaceAll(fmt.Sprintf(allowed, name), `"1"`, `"2"`)); err != nil {
				t.Errorf("%T: %v", o, err)
			}
		}
		w.denied(fmt.Sprintf("%T: creation", o), c.Create(t.Context(), fresh(o)))
	}
	_, err := set.AppsV1().Deployments(w.ns).Patch(t.Context(), "d", types.MergePatchType, []byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{}, "scale")
	w.denied("scale", err)
	_, err = set.AppsV1().StatefulSets(w.ns).Patch(t.Context(), "d", types.MergePatchType, []byte(`{"status":{"replicas":7}}`), metav1.PatchOptions{}, "status")
	w.denied("status", err)
}

// fresh is an object as it would be created under another name.
func fresh(o kube.Object) kube.Object {
	o = o.DeepCopyObject().(kube.Object)
	o.SetName("another")
	o.SetResourceVersion("")
	o.SetUID("")
	return o
}

// Whoever has the operator's token, and all rights besides, can do nothing to a pod but have it refreshed.
func TestOperatorChangesOnlyOneAnnotationOfPods(t *testing.T) {
	w := newWorld(t)
	p := w.pod("p", w.node(), byFile("s"))
	w.almighty()
	c, set := w.asOperator()
	try := func(raw string, sub ...string) error {
		kind := types.StrategicMergePatchType
		if strings.HasPrefix(raw, "[") {
			kind = types.JSONPatchType
		}
		_, err := set.CoreV1().Pods(w.ns).Patch(t.Context(), "p", kind, []byte(raw), metav1.PatchOptions{}, sub...)
		return err
	}
	const allowed = `{"metadata":{"annotations":{"scaivault.io/refreshedAt":"2026-01-02T03:04:05.%dZ"}}}`
	for n := range 2 {
		if err := try(fmt.Sprintf(allowed, n)); err != nil {
			t.Error(err)
		}
	}
	for what, raw := range map[string]string{
		"image":              `{"spec":{"containers":[{"name":"c","image":"evil"}]}}`,
		"deadline":           `{"spec":{"activeDeadlineSeconds":1}}`,
		"toleration":         `[{"op":"add","path":"/spec/tolerations/-","value":{"operator":"Exists"}}]`,
		"label":              `{"metadata":{"labels":{"x":"y"}}}`,
		"finalizer":          `{"metadata":{"finalizers":["x.io/y"]}}`,
		"owner":              `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"x"}]}}`,
		"annotation":         `{"metadata":{"annotations":{"x":"y"}}}`,
		"lookalike":          `{"metadata":{"annotations":{"scaivault.io/refreshedAt2":"y"}}}`,
		"their annotation":   `{"metadata":{"annotations":{"theirs":"taken"}}}`,
		"theirs removed":     `{"metadata":{"annotations":{"theirs":null}}}`,
		"all removed":        `[{"op":"remove","path":"/metadata/annotations"}]`,
		"a long value":       `{"metadata":{"annotations":{"scaivault.io/refreshedAt":"` + strings.Repeat("x", 65) + `"}}}`,
		"refreshed and more": `{"metadata":{"labels":{"x":"y"},"annotations":{"scaivault.io/refreshedAt":"1"}}}`,
	} {
		w.denied(what, try(raw))
	}
	w.denied("status", try(`{"status":{"reason":"x"}}`, "status"))
	w.denied("ephemeral container", try(`{"spec":{"ephemeralContainers":[{"name":"e","image":"evil"}]}}`, "ephemeralcontainers"))
	w.denied("creation", c.Create(t.Context(), fresh(p)))
	w.denied("eviction", set.PolicyV1().Evictions(w.ns).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "p"}}))
	err := set.CoreV1().RESTClient().Post().Resource("pods").Namespace(w.ns).Name("p").SubResource("exec").Param("command", "id").Do(t.Context()).Error()
	w.denied("exec", err)
}

// What the install gives the operator of pods: to list them, and with config/refresh-pods to patch them as well.
func TestOperatorsRightsToPods(t *testing.T) {
	w := newWorld(t)
	as := "system:serviceaccount:" + operator.Namespace + ":" + operator.Account
	rights := func() string {
		var can []string
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} {
			for _, sub := range []string{"", "status", "exec", "ephemeralcontainers", "eviction", "log"} {
				out, _ := w.plane.Kubectl(t.Context(), "-n", w.ns, "auth", "can-i", verb, "pods", "--subresource="+sub, "--as", as)
				if strings.Contains(out, "yes") {
					can = append(can, strings.TrimSuffix(verb+" pods/"+sub, "/"))
				}
			}
		}
		return strings.Join(can, ", ")
	}
	w.until("rights", "list pods", rights)
	w.allowRefresh()
	w.until("rights", "list pods, patch pods", rights)
}
