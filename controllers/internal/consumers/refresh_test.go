package consumers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// pod makes a pod as a kubelet of node "node" would have it, with no kubelet there.
func (b *bench) pod(name, node, spec string, phase corev1.PodPhase) {
	b.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: name, Labels: map[string]string{"app": "x"}, Annotations: map[string]string{"theirs": "kept"}}}
	b.must(json.Unmarshal([]byte(spec), &p.Spec))
	p.Spec.NodeName = node
	no := false
	p.Spec.AutomountServiceAccountToken = &no
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].Name, p.Spec.Containers[i].Image = "c", "none"
	}
	b.must(b.kube.Create(b.Context(), p))
	if phase != "" {
		b.must(b.kube.Status().Patch(b.Context(), p, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"phase":"`+string(phase)+`"}}`))))
	}
}

// refreshed are the pods whose annotation is set, fails if anything else of a pod changed.
func (b *bench) refreshed(before map[string]corev1.Pod) string {
	b.Helper()
	var out []string
	for name, is := range b.pods() {
		was := before[name]
		if at := is.Annotations[v1alpha1.AnnotationRefreshedAt]; at != was.Annotations[v1alpha1.AnnotationRefreshedAt] {
			out = append(out, name)
			if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
				b.Error(err)
			}
		}
		for _, p := range []*corev1.Pod{&is, &was} {
			p.Annotations = maps.Clone(p.Annotations)
			delete(p.Annotations, v1alpha1.AnnotationRefreshedAt)
			p.ManagedFields, p.ResourceVersion = nil, ""
		}
		if diff := cmp.Diff(was, is); diff != "" {
			b.Errorf("pod %s was changed\n%s", name, diff)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (b *bench) pods() map[string]corev1.Pod {
	b.Helper()
	var l corev1.PodList
	b.must(b.kube.List(b.Context(), &l, client.InNamespace(b.ns)))
	out := map[string]corev1.Pod{}
	for _, p := range l.Items {
		out[p.Name] = p
	}
	return out
}

func mounting(volume, mount string) string {
	return `{"containers":[{"volumeMounts":[{"name":"v","mountPath":"/v"` + mount + `}]}],"volumes":[{"name":"v",` + volume + `}]}`
}

// Of the pods of a namespace exactly those are touched that a refresh helps, each once for all Secrets of a burst,
// and nothing but the annotation.
func TestRefresh(t *testing.T) {
	b := newBench(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}} // pods of no node are collected
	b.must(b.kube.Create(t.Context(), node))
	t.Cleanup(func() { _ = b.kube.Delete(context.WithoutCancel(t.Context()), node) })
	b.until(func() bool { // without it no pod is accepted
		return b.kube.Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: "default"}, &corev1.ServiceAccount{}) == nil
	})
	secret := `"secret":{"secretName":"s"}`
	for name, p := range map[string]struct {
		spec, node string
		phase      corev1.PodPhase
	}{
		"volume":    {mounting(secret, ""), node.Name, corev1.PodRunning},
		"pending":   {mounting(secret, ""), node.Name, ""},
		"projected": {mounting(`"projected":{"sources":[{"secret":{"name":"s"}},{"secret":{"name":"t"}}]}`, ""), node.Name, corev1.PodRunning},
		"other":     {mounting(`"secret":{"secretName":"t"}`, ""), node.Name, corev1.PodRunning},
		"unrelated": {mounting(`"secret":{"secretName":"u"}`, ""), node.Name, corev1.PodRunning},
		"subpath":   {mounting(secret, `,"subPath":"k"`), node.Name, corev1.PodRunning},
		"env":       {`{"containers":[{"envFrom":[{"secretRef":{"name":"s"}}]}]}`, node.Name, corev1.PodRunning},
		"unmounted": {`{"containers":[{}],"volumes":[{"name":"v",` + secret + `}]}`, node.Name, corev1.PodRunning},
		"nowhere":   {mounting(secret, ""), "", ""},
		"succeeded": {mounting(secret, ""), node.Name, corev1.PodSucceeded},
		"failed":    {mounting(secret, ""), node.Name, corev1.PodFailed},
	} {
		b.pod(name, p.node, p.spec, p.phase)
	}
	counter := RefreshCounter()
	r := NewRefresher(b.kube, b.kube, time.Now, logr.Discard(), counter)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Start(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })

	before := b.pods()
	b.lists, b.patches = 0, 0
	r.Refresh(b.ns, "s")
	r.Refresh(b.ns, "t")
	r.Refresh(b.ns, "s")
	b.until(func() bool { return counted(t, counter, "patched") == 4 })
	if got, want := b.refreshed(before), "other pending projected volume"; got != want {
		t.Errorf("refreshed %s, want %s", got, want)
	}
	if b.lists != 2 || b.patches != 4 { // one list is ours, one that of this test
		t.Errorf("%d lists, %d patches", b.lists, b.patches)
	}

	before = b.pods()
	r.Refresh(b.ns, "t") // again, and a value that changes
	b.until(func() bool { return counted(t, counter, "patched") == 6 })
	if got, want := b.refreshed(before), "other projected"; got != want {
		t.Errorf("refreshed %s, want %s", got, want)
	}
	if n := counted(t, counter, "failed") + counted(t, counter, "left"); n != 0 {
		t.Errorf("%v failed or left", n)
	}
}

func counted(t *testing.T, c *prometheus.CounterVec, result string) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.WithLabelValues(result).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// crowd stands for an API server with many pods, so that a minute passes in no time. What a real one does with
// lists and patches is for TestRefresh.
type crowd struct {
	client.Reader
	client.Writer
	pods    map[string]int // by namespace
	mu      sync.Mutex
	patched map[string][]time.Time
}

func (c *crowd) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	o := client.ListOptions{}
	o.ApplyOptions(opts)
	first, _ := strconv.Atoi(o.Continue)
	l := into.(*corev1.PodList)
	for i := first; i < min(first+int(o.Limit), c.pods[o.Namespace]); i++ {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i)}}
		p.Spec.Containers = []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "v"}}}}
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}}
		l.Items = append(l.Items, p)
	}
	if next := first + int(o.Limit); next < c.pods[o.Namespace] {
		l.Continue = fmt.Sprint(next)
	}
	return nil
}

func (c *crowd) Patch(ctx context.Context, o client.Object, _ client.Patch, _ ...client.PatchOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patched[o.GetNamespace()] = append(c.patched[o.GetNamespace()], time.Now())
	return ctx.Err()
}

// Never more than fifty pods are patched in a second; those not reached within the minute in which their kubelets
// look anyway are left to them; a namespace with many pods holds up none with few.
func TestRefreshIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{pods: map[string]int{"large": 10_000, "small": 3}, patched: map[string][]time.Time{}}
		counter := RefreshCounter()
		r := NewRefresher(c, c, time.Now, logr.Discard(), counter)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = r.Start(ctx) })
		start := time.Now()
		r.Refresh("large", "s")
		time.Sleep(5 * time.Second)
		r.Refresh("small", "s")
		time.Sleep(2 * time.Second)
		if n := len(c.patched["small"]); n != 3 {
			t.Errorf("the small namespace waits: %d patched", n)
		}
		time.Sleep(2 * time.Minute)
		stop()
		running.Wait()

		all := append(slices.Clone(c.patched["large"]), c.patched["small"]...)
		slices.SortFunc(all, time.Time.Compare)
		if len(all) < refreshRate*55 {
			t.Errorf("only %d were patched", len(all))
		}
		if last := all[len(all)-1].Sub(start); last > kubeletSync {
			t.Errorf("the last was patched after %s", last)
		}
		for i := range all {
			if j := i + refreshRate; j < len(all) && all[j].Sub(all[i]) < time.Second {
				t.Fatalf("%d patches in %s", j-i+1, all[j].Sub(all[i]))
			}
		}
		left := counted(t, counter, "left")
		if want := float64(10_003 - len(all)); left != want {
			t.Errorf("%v left, want %v", left, want)
		}
	})
}

// What is asked for when the process ends is dropped, and nothing goes on.
func TestRefresherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{pods: map[string]int{"ns": 10_000}, patched: map[string][]time.Time{}}
		r := NewRefresher(c, c, time.Now, logr.Discard(), RefreshCounter())
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = r.Start(ctx) })
		r.Refresh("ns", "s")
		time.Sleep(time.Second)
		stop()
		running.Wait()
		n := len(c.patched["ns"])
		time.Sleep(time.Minute)
		if len(c.patched["ns"]) != n {
			t.Error("it went on")
		}
	})
}
