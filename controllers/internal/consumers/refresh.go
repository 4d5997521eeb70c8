package consumers

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

const (
	// refreshRate limits the patches of pods per second, over all namespaces; they are spread evenly.
	refreshRate = 50
	// refreshGather is how long changes in a namespace are gathered before its pods are listed. It also gives the
	// kubelets' own watches the time to see the Secret before they are told to look.
	refreshGather = 200 * time.Millisecond
	// kubeletSync is when a kubelet looks by itself: what was not reached by then is left to it.
	kubeletSync = time.Minute
	// refreshWorkers is how many namespaces are worked on at a time, so that a large one does not hold up the rest.
	refreshWorkers = 4
)

// Refresher makes kubelets look at mounted Secrets at once, by an annotation of the pods that mount them.
type Refresher struct {
	live      client.Reader
	client    client.Writer
	now       func() time.Time
	log       logr.Logger
	refreshed *prometheus.CounterVec
	queue     workqueue.TypedDelayingInterface[string] // namespaces
	limit     flowcontrol.RateLimiter

	mu    sync.Mutex
	asked map[string]*burst
}

// burst is the changed Secrets of a namespace whose pods were not listed yet.
type burst struct {
	since   time.Time
	secrets map[string]bool
}

// RefreshCounter registers the metric of refreshed pods.
func RefreshCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "scaivault_operator_pod_refreshes_total",
		Help: "Pods whose kubelet was made to look at a changed Secret, by result (patched, failed, left: to the kubelet's own sync).",
	}, []string{"result"})
}

// NewRefresher makes a Refresher that lists with live and patches with to; Start runs it.
func NewRefresher(live client.Reader, to client.Writer, now func() time.Time, log logr.Logger, refreshed *prometheus.CounterVec) *Refresher {
	return &Refresher{
		live: live, client: to, now: now, log: log, refreshed: refreshed,
		queue: workqueue.NewTypedDelayingQueue[string](),
		limit: flowcontrol.NewTokenBucketRateLimiter(refreshRate, 1),
		asked: map[string]*burst{},
	}
}

// Refresh asks for the pods that mount a Secret to be refreshed. It returns at once, and what is lost with the
// process is done by the kubelets a minute later.
func (r *Refresher) Refresh(namespace, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.asked[namespace]
	if b == nil {
		b = &burst{since: r.now(), secrets: map[string]bool{}}
		r.asked[namespace] = b
	}
	b.secrets[secret] = true
	r.queue.AddAfter(namespace, refreshGather)
}

// Start works until ctx ends.
func (r *Refresher) Start(ctx context.Context) error {
	var all sync.WaitGroup
	for range refreshWorkers {
		all.Go(func() { r.work(ctx) })
	}
	<-ctx.Done()
	r.queue.ShutDown()
	all.Wait()
	return nil
}

func (r *Refresher) work(ctx context.Context) {
	for {
		namespace, over := r.queue.Get()
		if over || ctx.Err() != nil {
			return
		}
		r.refresh(ctx, namespace)
		r.queue.Done(namespace)
	}
}

func (r *Refresher) take(namespace string) *burst {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.asked[namespace]
	delete(r.asked, namespace)
	return b
}

// refresh lists the pods of a namespace once and patches those that mount what changed.
func (r *Refresher) refresh(ctx context.Context, namespace string) {
	b := r.take(namespace)
	if b == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, kubeletSync-r.now().Sub(b.since))
	defer cancel()
	pods, err := r.mounting(ctx, namespace, b.secrets)
	if err != nil {
		r.log.Info("pods are left to their kubelets", "namespace", namespace, "cause", reason(err))
		return
	}
	for i, pod := range pods {
		if err := r.limit.Wait(ctx); err != nil { // what is left would be later than the kubelet
			r.refreshed.WithLabelValues("left").Add(float64(len(pods) - i))
			return
		}
		r.patch(ctx, namespace, pod)
	}
}

// podID names one pod.
type podID struct {
	name string
	uid  types.UID
}

// mounting lists the pods of a namespace that a refresh helps.
func (r *Refresher) mounting(ctx context.Context, namespace string, secrets map[string]bool) ([]podID, error) {
	var found []podID
	err := pages(ctx, r.live, &corev1.PodList{}, func(o runtime.Object) {
		if p := o.(*corev1.Pod); p.DeletionTimestamp == nil && mounts(&p.Spec, secrets) {
			found = append(found, podID{name: p.Name, uid: p.UID})
		}
	}, client.InNamespace(namespace), client.MatchingFieldsSelector{Selector: running()})
	return found, err
}

// running selects the pods that a kubelet has; the others start with the new content.
func running() fields.Selector {
	return fields.AndSelectors(fields.OneTermNotEqualSelector("spec.nodeName", ""),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)))
}

// mounts tells whether a pod has a file of one of the Secrets that the kubelet refreshes.
func mounts(pod *corev1.PodSpec, secrets map[string]bool) bool {
	for secret, how := range Uses(pod) {
		if secrets[secret] && how.Has(File) {
			return true
		}
	}
	return false
}

func (r *Refresher) patch(ctx context.Context, namespace string, pod podID) {
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.uid, "annotations": map[string]string{v1alpha1.AnnotationRefreshedAt: r.now().UTC().Format(time.RFC3339Nano)},
	}})
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod.name}}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	if err == nil {
		err = r.client.Patch(ctx, m, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(fieldManager))
	}
	switch {
	case err == nil:
		r.refreshed.WithLabelValues("patched").Inc()
	case !apierrors.IsNotFound(err) && !apierrors.IsConflict(err): // gone, or another of its name
		r.refreshed.WithLabelValues("failed").Inc()
		r.log.Info("a pod is left to its kubelet", "namespace", namespace, "pod", pod.name, "cause", reason(err))
	}
}
