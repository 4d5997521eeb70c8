package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

const (
	// staleRetry is the pause after a status patch that met a newer object.
	staleRetry = 50 * time.Millisecond
	// cacheRetry is the pause until the cache shows our own last write.
	cacheRetry = 10 * time.Millisecond
	// absentRetry is the least pause after the API server could not be reached. A back-off would have grown while it
	// was away, and go on when it is back, of which nothing tells. Most runs end at the guard until then.
	absentRetry = 2 * time.Second
	// refreshSpread spreads the refreshes of objects that were made together.
	refreshSpread = 0.1
)

// Object is what Run can run.
type Object interface {
	client.Object
	ObjectStatus() *v1alpha1.ObjectStatus
}

// Step does one part of the work. The kind of its error says what follows.
type Step func(context.Context) error

// Plan is what a controller does with one object. Its functions are called after the object was read.
type Plan struct {
	// Suspended tells whether the object asks to be left alone; may be nil.
	Suspended func() bool
	// Steps run in order until one returns an error.
	Steps []Step
	// Done gives reason and message of Ready after all steps succeeded.
	Done func() (reason, message string)
	// Refresh is the time after which to look again without being told; at most a tenth is added.
	Refresh func() time.Duration
	// Until gives a moment at which to look again, if that is sooner; zero for none. May be nil.
	Until func() time.Time
	// Pending tells whether what scaivault.io/requestedAt asks for is not done yet, so that it is not echoed; nil: a
	// run does it.
	Pending func() bool
	// Release gives up what an object has elsewhere that is being deleted or is gone; nil: it has nothing. The object
	// may not have been read, and it may be called more than once.
	Release Step
}

// Recorder emits events; events.EventRecorder of client-go fits.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Runner runs plans for one kind. All fields are required.
type Runner struct {
	Client  client.Client
	Events  Recorder
	Now     func() time.Time
	Success prometheus.Gauge // unix time of the last run that ended without an error

	written sync.Map // types.NamespacedName to the version that our last status write left
}

// version is one state of one object.
type version struct {
	uid             types.UID
	resourceVersion string
}

// SuccessGauge registers the liveness metric of the operator: a kind whose time stands still while
// objects wait has stopped working, whatever the logs say.
func SuccessGauge(r prometheus.Registerer) (*prometheus.GaugeVec, error) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "scaivault_operator_last_success_timestamp_seconds",
		Help: "Unix time of the last reconcile of a kind that ended without an error.",
	}, []string{"kind"})
	return Registered(r, g)
}

// Registered registers a collector, or returns the one that was registered before under its name: an
// operator that is started twice in one process counts on.
func Registered[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	err := r.Register(c)
	var twice prometheus.AlreadyRegisteredError
	if errors.As(err, &twice) {
		if before, ok := twice.ExistingCollector.(C); ok {
			return before, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("register metric: %w", err)
	}
	return c, nil
}

// Run reads the object into obj and does what plan says.
func (r *Runner) Run(ctx context.Context, req ctrl.Request, obj Object, plan Plan) (ctrl.Result, error) {
	result, err := r.run(ctx, req, obj, plan)
	if noAnswer(err) {
		log.FromContext(ctx).V(1).Info("the API server does not answer", "cause", err.Error())
		return ctrl.Result{RequeueAfter: wait.Jitter(absentRetry, 1)}, nil
	}
	return result, err
}

func (r *Runner) run(ctx context.Context, req ctrl.Request, obj Object, plan Plan) (ctrl.Result, error) {
	if err := r.Client.Get(ctx, req.NamespacedName, obj); err != nil {
		if apierrors.IsNotFound(err) {
			r.written.Delete(req.NamespacedName)
			return release(ctx, plan)
		}
		return ctrl.Result{}, err
	}
	if r.behind(req, obj) {
		return ctrl.Result{RequeueAfter: cacheRetry}, nil
	}
	if !obj.GetDeletionTimestamp().IsZero() { // a finalizer of somebody else keeps it
		return release(ctx, plan)
	}
	if plan.Suspended != nil && plan.Suspended() {
		return ctrl.Result{}, nil
	}
	return r.work(ctx, obj, plan)
}

// release gives up what an object has elsewhere. Nobody waits for that: the operator puts no finalizer on anything,
// because nobody may be left to take it off. What fails is tried again, and what fails for good is swept later.
func release(ctx context.Context, plan Plan) (ctrl.Result, error) {
	if plan.Release == nil {
		return ctrl.Result{}, nil
	}
	err := plan.Release(ctx)
	if a := (*again)(nil); errors.As(err, &a) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	if IsStalled(err) { // another vault answers than the pinned one, say: there is no object to tell it
		log.FromContext(ctx).Info("nothing is released", "cause", err.Error())
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, err
}

// Lives asks the API server itself whether an object of ours is there and is to stay: a cache may not show yet what
// was made a moment ago.
func Lives(ctx context.Context, live client.Reader, kind string, key types.NamespacedName) (bool, error) {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	err := live.Get(ctx, key, m)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) { // or the whole kind is gone
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether %s %s is gone: %w", kind, key, err)
	}
	return m.DeletionTimestamp == nil, nil
}

// behind tells whether the cache does not show our own last write yet: a run on such a copy would read values
// that the status already knows, and could not save what it finds.
func (r *Runner) behind(req ctrl.Request, obj Object) bool {
	last, ok := r.written.Load(req.NamespacedName)
	if !ok || last.(version).uid != obj.GetUID() {
		return false
	}
	c, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), last.(version).resourceVersion)
	return err == nil && c < 0
}

func (r *Runner) work(ctx context.Context, obj Object, plan Plan) (ctrl.Result, error) {
	before := obj.DeepCopyObject().(Object)
	err := steps(ctx, plan.Steps)
	if a := (*again)(nil); errors.As(err, &a) {
		return ctrl.Result{RequeueAfter: staleRetry}, nil
	}
	o := conclude(err, Applied(before))
	if o.ready == "True" && !o.reconciling {
		o.reason, o.message = plan.Done()
		r.Success.Set(float64(r.Now().Unix()))
	}
	o.record(obj, r.Now())
	if o.retry == nil && (plan.Pending == nil || !plan.Pending()) {
		obj.ObjectStatus().LastHandledRequest = Asked(obj)
	}
	if err := r.save(ctx, before, obj); err != nil {
		if apierrors.IsConflict(err) { // our copy was old; look at the newer one
			return ctrl.Result{RequeueAfter: staleRetry}, nil
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.announce(before, obj, o)
	return r.next(o, plan)
}

func steps(ctx context.Context, all []Step) error {
	for _, step := range all {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// next says when the object runs again. Work that nobody waits for runs at the lowest priority.
func (r *Runner) next(o outcome, plan Plan) (ctrl.Result, error) {
	if o.retry != nil {
		return ctrl.Result{}, o.retry
	}
	low, after := RefreshPriority, plan.Refresh()
	if o.after > 0 {
		after = min(after, o.after)
	}
	var until time.Time
	if plan.Until != nil {
		until = plan.Until()
	}
	return ctrl.Result{RequeueAfter: Later(after, until, r.Now()), Priority: &low}, nil
}

// Later is how long after now to look at an object again: after its refresh, of which what is added spreads those
// that were made together, and not later than until, if that is not zero.
func Later(refresh time.Duration, until, now time.Time) time.Duration {
	after := wait.Jitter(refresh, refreshSpread)
	if until.IsZero() {
		return after
	}
	return min(after, max(until.Sub(now), time.Millisecond))
}

// save patches the status if it changed. The patch carries the resourceVersion, because a difference
// to an old copy could leave out what has to be written.
func (r *Runner) save(ctx context.Context, before, obj Object) error {
	if equality.Semantic.DeepEqual(before, obj) {
		return nil
	}
	err := r.Client.Status().Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err == nil {
		r.written.Store(client.ObjectKeyFromObject(obj), version{uid: obj.GetUID(), resourceVersion: obj.GetResourceVersion()})
	}
	return err
}

// announce emits one event when what a user sees of the object changed: never for a mere refresh, nor for
// a first success, which the condition tells and which would be a third write for each of many objects.
func (r *Runner) announce(before, obj Object, o outcome) {
	kind := v1alpha1.ConditionReady
	if o.reconciling && o.ready == "True" {
		kind = v1alpha1.ConditionReconciling
	}
	was := meta.FindStatusCondition(before.ObjectStatus().Conditions, kind)
	is := meta.FindStatusCondition(obj.ObjectStatus().Conditions, kind)
	if is == nil || (was != nil && was.Status == is.Status && was.Reason == is.Reason) {
		return
	}
	eventType := corev1.EventTypeWarning
	if o.ready == "True" && !o.reconciling {
		eventType = corev1.EventTypeNormal
	}
	if was == nil && eventType == corev1.EventTypeNormal {
		return
	}
	r.Events.Eventf(obj, nil, eventType, is.Reason, "Reconcile", "%s", is.Message)
}
