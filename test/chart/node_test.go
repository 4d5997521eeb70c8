package chart_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/operator"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	look = 100 * time.Millisecond // how often the stand-in looks at the cluster
	soon = 90 * time.Second       // bounds what a loaded machine may take long for
)

// node runs the pods of one namespace as processes: the stand-in for scheduler, kubelet, container runtime and the
// Service of the vault. It tells the API server what a kubelet would tell.
type node struct {
	t     *testing.T
	plane *controlplane.Plane
	kube  kubernetes.Interface
	ns    string
	dir   string
	bin   string // directory of our programs
	vault *service

	mu   sync.Mutex
	pods map[types.UID]*process
	past []*process               // all there ever were, for their logs
	ends map[string]chan struct{} // by the pod's name: closed when its process has ended
}

// newNode starts a node, which ends with the test.
func newNode(t *testing.T, plane *controlplane.Plane, ns string) *node {
	t.Helper()
	n := &node{
		t: t, plane: plane, kube: kubernetes.NewForConfigOrDie(plane.Config), ns: ns, dir: t.TempDir(),
		pods: map[types.UID]*process{}, ends: map[string]chan struct{}{},
	}
	n.bin = programs(t)
	n.vault = newService(t, n.serving)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return n
}

// programs is a directory with scaivault-server and scaivault-operator.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, build := range []func() (string, error){vault.Binary, operator.Binary} {
		path, err := build()
		if err != nil {
			t.Fatal(err)
		}
		link(t, path, filepath.Join(dir, filepath.Base(path)))
	}
	return dir
}

// run follows the cluster until ctx ends; then all processes end.
func (n *node) run(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			n.keep(nil)
			n.mu.Lock()
			ends := slices.Collect(maps.Values(n.ends))
			n.mu.Unlock()
			for _, end := range ends {
				<-end
			}
			return
		case <-tick.C:
			if err := n.look(ctx); err != nil && ctx.Err() == nil {
				n.t.Logf("node: %v", err)
			}
		}
	}
}

// look starts the processes of new pods, ends those of pods that are gone, and brings mounted Secrets up to date.
func (n *node) look(ctx context.Context) error {
	pods, err := n.kube.CoreV1().Pods(n.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	list, err := n.kube.CoreV1().Secrets(n.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	secrets := map[string]*corev1.Secret{}
	for i := range list.Items {
		secrets[list.Items[i].Name] = &list.Items[i]
	}
	present := map[types.UID]bool{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		present[pod.UID] = pod.DeletionTimestamp == nil
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodPending {
			n.admit(pod)
		}
	}
	n.keep(present)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pods {
		p.mount(ctx, secrets)
	}
	return nil
}

// admit makes a pod's process, which starts when what it mounts is there and its predecessor of the same name ended.
func (n *node) admit(pod *corev1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pods[pod.UID] != nil {
		return
	}
	p := newProcess(n, pod)
	n.pods[pod.UID] = p
	n.past = append(n.past, p)
	before := n.ends[pod.Name]
	end := make(chan struct{})
	n.ends[pod.Name] = end
	go func() {
		defer close(end)
		if before != nil {
			<-before
		}
		p.live()
	}()
}

// keep ends the processes of pods that are not present any more.
func (n *node) keep(present map[types.UID]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for uid, p := range n.pods {
		if !present[uid] {
			p.cancel()
			delete(n.pods, uid)
		}
	}
}

// of are the processes of a component, those that are ready first.
func (n *node) of(component string) []*process {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []*process
	for _, p := range n.pods {
		if p.pod.Labels["app.kubernetes.io/component"] == component {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *process) int {
		switch {
		case a.ready.Load() == b.ready.Load():
			return strings.Compare(a.pod.Name, b.pod.Name)
		case a.ready.Load():
			return -1
		}
		return 1
	})
	return all
}

// serving is where the vault's Service leads now.
func (n *node) serving() (string, error) {
	all := n.of("server")
	if len(all) == 0 {
		return "", fmt.Errorf("no pod of the vault in %s", n.ns)
	}
	return all[0].address("https"), nil
}

// until waits for something that the cluster does.
func (n *node) until(what string, done func() error) {
	n.t.Helper()
	limit := time.NewTimer(soon)
	defer limit.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-limit.C:
			n.t.Fatalf("%s: not within %s: %v\n%s", what, soon, err, n.logs())
		case <-tick.C:
		}
	}
}

// logs are the ends of all logs, also of pods that are gone.
func (n *node) logs() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var text strings.Builder
	for _, p := range n.past {
		fmt.Fprintf(&text, "--- %s\n%s\n", p.pod.Name, p.log.tail())
	}
	return text.String()
}
