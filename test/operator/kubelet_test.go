package operator_test

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
)

// hand does by hand what scheduler and kubelet of one node do with the pods of the test's namespace, as far as the API
// server sees it: a pod is bound, runs, is ready, and ends when it is deleted. What runs in it is nothing. The suite in
// test/e2e has a real kubelet.
type hand struct {
	*world
	node string
	mu   sync.Mutex
	off  bool
}

// kubelet makes the node, which works until the test ends.
func (w *world) kubelet() *hand {
	w.Helper()
	h := &hand{world: w, node: "hand-" + w.ns}
	if err := w.kube.Create(w.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.node}}); err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			h.round(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	w.Cleanup(func() {
		cancel()
		<-done
		_ = w.kube.Delete(context.WithoutCancel(w.Context()), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.node}})
	})
	return h
}

// works says whether new pods are started; pods that are deleted end anyway.
func (h *hand) works(yes bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.off = !yes
}

// round looks at every pod once. What fails is done in the next round.
func (h *hand) round(ctx context.Context) {
	h.heartbeat(ctx)
	var l corev1.PodList
	if err := h.kube.List(ctx, &l, kube.InNamespace(h.ns)); err != nil {
		return
	}
	h.mu.Lock()
	off := h.off
	h.mu.Unlock()
	for i := range l.Items {
		p := &l.Items[i]
		switch {
		case p.DeletionTimestamp != nil:
			_ = h.kube.Delete(ctx, p, kube.GracePeriodSeconds(0))
		case off:
		case p.Spec.NodeName == "":
			_ = h.core.CoreV1().Pods(p.Namespace).Bind(ctx, &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: h.node},
			}, metav1.CreateOptions{})
		case p.Status.Phase == corev1.PodPending:
			now := metav1.Now()
			p.Status.Phase, p.Status.StartTime = corev1.PodRunning, &now
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}}
			_ = h.kube.Status().Update(ctx, p)
		}
	}
}

// heartbeat keeps the node from being taken for dead.
func (h *hand) heartbeat(ctx context.Context) {
	n := &corev1.Node{}
	if err := h.kube.Get(ctx, kube.ObjectKey{Name: h.node}, n); err != nil {
		return
	}
	now := metav1.Now()
	if len(n.Status.Conditions) > 0 && now.Sub(n.Status.Conditions[0].LastHeartbeatTime.Time) < 5*time.Second {
		return
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Hand", LastHeartbeatTime: now, LastTransitionTime: now}}
	_ = h.kube.Status().Update(ctx, n)
}
