package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/scailabs/scaivault/test/controlplane"
)

// bench is a Restarter on a real API server, whose lists and successful patches are counted.
type bench struct {
	*Restarter
	*testing.T
	plane          *controlplane.Plane
	kube           client.WithWatch
	ns             string
	mu             sync.Mutex
	lists, patches int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, plane: controlplane.Start(t)}
	b.kube = b.connect(b.plane.Kubeconfig)
	b.ns = b.plane.Namespace(t, "consumers", nil)
	b.Restarter = b.restarter(b.kube)
	return b
}

func (b *bench) connect(kubeconfig string) client.WithWatch {
	b.Helper()
	cfg, err := controlplane.Load(kubeconfig)
	b.must(err)
	scheme := runtime.NewScheme()
	b.must(errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme), batchv1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), metav1.AddMetaToScheme(scheme)))
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	b.must(err)
	return interceptor.NewClient(c, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			b.count(&b.lists)
			return c.List(ctx, l, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			err := c.Patch(ctx, o, p, opts...)
			if err == nil { // one that met a new status is repeated
				b.count(&b.patches)
			}
			return err
		},
	})
}

func (b *bench) count(n *int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*n++
}

func (b *bench) restarter(c client.WithWatch) *Restarter {
	return &Restarter{Live: c, Client: c, Now: time.Now, Restarts: RestartCounter()}
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// podTemplate uses Secret s by environment.
func podTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}, Annotations: map[string]string{"theirs": "kept"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none", EnvFrom: []corev1.EnvFromSource{
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}}},
			RestartPolicy: corev1.RestartPolicyAlways},
	}
}

// create makes a workload; none has pods, so that only what we do changes it.
func (b *bench) create(kind, name string) {
	b.Helper()
	m := metav1.ObjectMeta{Namespace: b.ns, Name: name}
	sel := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}
	var o client.Object
	switch kind {
	case "Deployment":
		o = &appsv1.Deployment{ObjectMeta: m, Spec: appsv1.DeploymentSpec{Replicas: new(int32(0)), Selector: sel, Template: podTemplate()}}
	case "StatefulSet":
		o = &appsv1.StatefulSet{ObjectMeta: m, Spec: appsv1.StatefulSetSpec{Replicas: new(int32(0)), Selector: sel, Template: podTemplate(), ServiceName: "x"}}
	case "DaemonSet":
		o = &appsv1.DaemonSet{ObjectMeta: m, Spec: appsv1.DaemonSetSpec{Selector: sel, Template: podTemplate()}}
	case "CronJob":
		t := podTemplate()
		t.Spec.RestartPolicy = corev1.RestartPolicyNever
		o = &batchv1.CronJob{ObjectMeta: m, Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *", Suspend: new(true), JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: t}}}}
	}
	b.must(b.kube.Create(b.Context(), o))
}

// annotations are those of the pod template of a workload.
func (b *bench) annotations(kind, name string) map[string]string {
	b.Helper()
	all, err := workloadObjects(b.Context(), b.kube, b.ns)
	b.must(err)
	return all[kind+" "+name]
}

func workloadObjects(ctx context.Context, c client.Client, ns string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, l := range []client.ObjectList{&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSetList{}, &batchv1.CronJobList{}} {
		if err := c.List(ctx, l, client.InNamespace(ns)); err != nil {
			return nil, err
		}
		_ = meta.EachListItem(l, func(o runtime.Object) error {
			switch o := o.(type) {
			case *appsv1.Deployment:
				out["Deployment "+o.Name] = o.Spec.Template.Annotations
			case *appsv1.StatefulSet:
				out["StatefulSet "+o.Name] = o.Spec.Template.Annotations
			case *appsv1.DaemonSet:
				out["DaemonSet "+o.Name] = o.Spec.Template.Annotations
			case *batchv1.CronJob:
				out["CronJob "+o.Name] = o.Spec.JobTemplate.Spec.Template.Annotations
			}
			return nil
		})
	}
	return out, nil
}

const key = "scaivault.io/restart.vaultsecret.s"

// users chooses who uses Secret s.
func users(checksum string) Choice {
	return func(w Workload) map[string]string {
		if w.Uses["s"] == 0 {
			return nil
		}
		return map[string]string{key: checksum}
	}
}

func named(all []Workload) string {
	var out []string
	for _, w := range all {
		out = append(out, w.String())
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// All kinds are restarted by one annotation; a CronJob is found and left alone; who asks again changes nothing, and
// who asks for content of before the list needs no list of his own.
func TestRestartOnce(t *testing.T) {
	b := newBench(t)
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "CronJob"} {
		b.create(kind, "a")
		b.create(kind, "b")
	}
	written := time.Now()
	not := func(w Workload) map[string]string {
		if w.Name == "b" {
			return nil
		}
		return users("1")(w)
	}
	out, err := b.Restart(t.Context(), b.ns, written, not)
	b.must(err)
	if got, want := named(out.Restarted)+" | "+named(out.Next), "DaemonSet a, Deployment a, StatefulSet a | CronJob a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for kind, want := range map[string]map[string]string{
		"Deployment": {"theirs": "kept", key: "1"}, "StatefulSet": {"theirs": "kept", key: "1"}, "DaemonSet": {"theirs": "kept", key: "1"},
		"CronJob": {"theirs": "kept"},
	} {
		if diff := cmp.Diff(want, b.annotations(kind, "a")); diff != "" {
			t.Errorf("%s a (-want +got)\n%s", kind, diff)
		}
		if diff := cmp.Diff(map[string]string{"theirs": "kept"}, b.annotations(kind, "b")); diff != "" {
			t.Errorf("%s b (-want +got)\n%s", kind, diff)
		}
	}

	b.lists, b.patches = 0, 0
	for range 3 {
		again, err := b.Restart(t.Context(), b.ns, written, not)
		b.must(err)
		if len(again.Restarted) != 0 {
			t.Errorf("restarted twice: %s", named(again.Restarted))
		}
	}
	if b.lists+b.patches != 0 {
		t.Errorf("%d lists and %d patches for what was known", b.lists, b.patches)
	}
	fresh := b.restarter(b.kube) // another process: what it needs to know is in the cluster
	again, err := fresh.Restart(t.Context(), b.ns, written, not)
	b.must(err)
	if len(again.Restarted) != 0 || b.patches != 0 || b.lists != 4 {
		t.Errorf("another operator restarted %s, with %d lists and %d patches", named(again.Restarted), b.lists, b.patches)
	}

	b.create("Deployment", "later")
	out, err = b.Restart(t.Context(), b.ns, time.Now(), users("2"))
	b.must(err)
	if got, want := named(out.Restarted), "DaemonSet a, DaemonSet b, Deployment a, Deployment b, Deployment later, StatefulSet a, StatefulSet b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Many who restart at a time for the same content, of the same or of several Secrets, change each workload once.
func TestRestartTogether(t *testing.T) {
	b := newBench(t)
	b.create("Deployment", "a")
	b.create("StatefulSet", "a")
	written := time.Now()
	var all sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		all.Go(func() {
			_, errs[i] = b.Restart(t.Context(), b.ns, written, func(w Workload) map[string]string {
				if w.Marks[fmt.Sprint(key, i%4)] == "1" {
					return nil
				}
				return map[string]string{key + "0": "1", key + "1": "1", key + "2": "1", key + "3": "1"}
			})
		})
	}
	all.Wait()
	b.must(errors.Join(errs...))
	if b.patches != 2 || b.lists != 4 {
		t.Errorf("%d patches, %d lists", b.patches, b.lists)
	}
}

// More workloads than a page holds are all found.
func TestPages(t *testing.T) {
	b := newBench(t)
	const n = pageSize + 10
	for i := range n {
		b.create("CronJob", fmt.Sprint("c", i))
	}
	out, err := b.Restart(t.Context(), b.ns, time.Now(), users("1"))
	b.must(err)
	if len(out.Next) != n || b.lists != 5 {
		t.Errorf("%d found, %d lists", len(out.Next), b.lists)
	}
}

// What happens between the look and the change: only a spec that is still the one looked at is changed, and nothing
// keeps the other workloads from their restart.
func TestRestartRaces(t *testing.T) {
	b := newBench(t)
	patch := func(sub bool, name, raw string) {
		t.Helper()
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: name}}
		p := client.RawPatch("application/merge-patch+json", []byte(raw))
		if sub {
			b.must(b.kube.Status().Patch(t.Context(), d, p))
			return
		}
		b.must(b.kube.Patch(t.Context(), d, p))
	}
	remove := func(name string) {
		t.Helper()
		b.must(b.kube.Delete(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: name}}))
	}
	between := map[string]func(){
		"a-status":   func() { patch(true, "a-status", `{"status":{"observedGeneration":99}}`) },
		"b-spec":     func() { patch(false, "b-spec", `{"spec":{"template":{"metadata":{"annotations":{"x":"y"}}}}}`) },
		"c-gone":     func() { remove("c-gone") },
		"d-replaced": func() { remove("d-replaced"); b.create("Deployment", "d-replaced") },
		"e-labels":   func() { patch(false, "e-labels", `{"metadata":{"labels":{"x":"y"}}}`) },
		"f-calm":     func() {},
	}
	for name := range between {
		b.create("Deployment", name)
	}
	written := time.Now()
	out, err := b.Restart(t.Context(), b.ns, written, func(w Workload) map[string]string {
		between[w.Name]()
		return users("1")(w)
	})
	if got, want := named(out.Restarted), "Deployment a-status, Deployment e-labels, Deployment f-calm"; got != want {
		t.Errorf("restarted %s, want %s", got, want)
	}
	for name := range between {
		if changed := name == "b-spec" || name == "d-replaced"; changed != strings.Contains(fmt.Sprint(err), "Deployment "+name+" could not be restarted: somebody changed it") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// Another look, although the content is the same.
	out, err = b.Restart(t.Context(), b.ns, written, users("1"))
	b.must(err)
	if got, want := named(out.Restarted), "Deployment b-spec, Deployment d-replaced"; got != want {
		t.Errorf("restarted %s, want %s", got, want)
	}
}

// An operator that no longer leads, and does not know it, restarts nothing that the next one restarted.
func TestStaleLeader(t *testing.T) {
	b := newBench(t)
	b.create("Deployment", "a")
	stale := b.restarter(b.kube)
	_, err := stale.Restart(t.Context(), b.ns, time.Now(), func(w Workload) map[string]string {
		_, err := b.Restart(t.Context(), b.ns, time.Now(), users("new")) // while this one sleeps
		b.must(err)
		return users("old")(w)
	})
	if err == nil {
		t.Error("nothing was said")
	}
	if got := b.annotations("Deployment", "a")[key]; got != "new" {
		t.Errorf("told of %s", got)
	}
}

// A workload that may not be changed is named, without what the API server said about it, and the others are
// restarted.
func TestRestartForbidden(t *testing.T) {
	b := newBench(t)
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		b.create(kind, "a")
	}
	user := "restarter-of-" + b.ns
	b.must(b.kube.Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "restart"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"apps", "batch"}, Resources: []string{"*"}, Verbs: []string{"list"}},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "daemonsets"}, Verbs: []string{"patch"}},
	}}))
	b.must(b.kube.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "restart"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "restart"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}}}))
	kubeconfig, err := b.plane.User(user)
	b.must(err)
	limited := b.restarter(b.connect(kubeconfig))
	var out Outcome
	b.until(func() bool { // the rights take a moment
		out, err = limited.Restart(t.Context(), b.ns, time.Now(), users("1"))
		return err == nil || !strings.HasPrefix(err.Error(), "list ")
	})
	if got := fmt.Sprint(err); got != "StatefulSet a could not be restarted: Forbidden; this is tried again, see what keeps it from being changed" {
		t.Errorf("error %q", got)
	}
	if got, want := named(out.Restarted), "DaemonSet a, Deployment a"; got != want {
		t.Errorf("restarted %s, want %s", got, want)
	}
}

func (b *bench) until(ok func() bool) {
	b.Helper()
	limit := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			b.Fatal("not within half a minute")
		}
	}
}

// What is known of namespaces is forgotten when nobody needs it.
func TestViewsAreForgotten(t *testing.T) {
	b := newBench(t)
	now := time.Now()
	b.Now = func() time.Time { return now }
	for i := range 3 {
		_, err := b.Restart(t.Context(), fmt.Sprint(b.ns, i), now, users("1"))
		b.must(err)
	}
	if n := len(b.views); n != 3 {
		t.Errorf("%d are known", n)
	}
	now = now.Add(viewLife)
	_, err := b.Restart(t.Context(), b.ns, now, users("1"))
	b.must(err)
	if names := slices.Collect(maps.Keys(b.views)); len(names) != 1 || names[0] != b.ns {
		t.Errorf("known are %v", names)
	}
}
