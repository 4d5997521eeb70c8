package consumers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// viewLife is how long the list of a namespace's workloads is kept for others that restart there.
	viewLife = time.Minute
	// patchTries bounds how often a patch is repeated because only the workload's status had changed.
	patchTries = 5
	// fieldManager is the name of what we write to workloads and pods in their managedFields.
	fieldManager = "scaivault-operator"
)

// Restarter restarts workloads. All exported fields are required.
type Restarter struct {
	// Live lists and gets from the API server itself.
	Live client.Reader
	// Client patches.
	Client client.Writer
	Now    func() time.Time
	// Restarts counts by kind and result.
	Restarts *prometheus.CounterVec

	mu    sync.Mutex
	views map[string]*view
}

// view is the list of a namespace's workloads at a time.
type view struct {
	mu    sync.Mutex // held while somebody restarts in the namespace
	at    time.Time  // just before it was listed
	all   []Workload
	users int // guarded by Restarter.mu
}

// RestartCounter registers the metric of restarts.
func RestartCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "scaivault_operator_workload_restarts_total",
		Help: "Workloads restarted because a Secret that they use changed, by kind and result (restarted, failed).",
	}, []string{"kind", "result"})
}

// Choice says which annotations, named by Mark, the pod template of a workload is to have; empty leaves it alone.
type Choice func(Workload) map[string]string

// Outcome is what a restart came to.
type Outcome struct {
	// Restarted are those whose pod template was changed now.
	Restarted []Workload
	// Next are the CronJobs that were chosen: their next Job starts with the new content.
	Next []Workload
}

// Restart asks choose about every workload of a namespace, as they were at a time after content was written, and
// restarts those that lack an annotation that it wants. One that came or was changed later starts with the content
// anyway. In one namespace one call works at a time, so that nobody restarts what another just did.
//
// A workload that cannot be restarted keeps none of the others from it; the error names it.
func (r *Restarter) Restart(ctx context.Context, namespace string, written time.Time, choose Choice) (Outcome, error) {
	v := r.enter(namespace)
	defer r.leave(v)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := r.look(ctx, namespace, v, written); err != nil {
		return Outcome{}, err
	}
	var out Outcome
	var failed []error
	for i := range v.all {
		w := &v.all[i]
		lacking := missing(choose(*w), w.Marks)
		switch {
		case len(lacking) == 0:
		case !w.Restartable():
			out.Next = append(out.Next, *w)
		default:
			done, err := r.restart(ctx, namespace, w, lacking)
			if done {
				out.Restarted = append(out.Restarted, *w)
			}
			failed = append(failed, err)
		}
	}
	if err := errors.Join(failed...); err != nil {
		v.at = time.Time{} // it may differ from what was listed
		return out, err
	}
	return out, nil
}

// enter returns the view of a namespace and drops those that nobody needs.
func (r *Restarter) enter(namespace string) *view {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	maps.DeleteFunc(r.views, func(_ string, v *view) bool { return v.users == 0 && !fresh(v.at, now) })
	if r.views == nil {
		r.views = map[string]*view{}
	}
	v := r.views[namespace]
	if v == nil {
		v = &view{}
		r.views[namespace] = v
	}
	v.users++
	return v
}

func (r *Restarter) leave(v *view) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v.users--
}

func fresh(at, now time.Time) bool { return !at.After(now) && now.Sub(at) < viewLife }

// look lists the workloads unless they were listed after the content was written.
func (r *Restarter) look(ctx context.Context, namespace string, v *view, written time.Time) error {
	now := r.Now()
	if fresh(v.at, now) && v.at.After(written) {
		return nil
	}
	all, err := workloads(ctx, r.Live, namespace)
	if err != nil {
		v.at = time.Time{}
		return fmt.Errorf("list the workloads of namespace %s: %s", namespace, reason(err))
	}
	v.at, v.all = now, all
	return nil
}

// missing are the annotations that are wanted and not there.
func missing(wanted, there map[string]string) map[string]string {
	m := map[string]string{}
	for k, v := range wanted {
		if there[k] != v {
			m[k] = v
		}
	}
	return m
}

// restart changes the pod template of a workload whose spec is still the one that was looked at; done tells whether
// it did. One that is gone needs nothing.
func (r *Restarter) restart(ctx context.Context, namespace string, w *Workload, lacking map[string]string) (done bool, err error) {
	for range patchTries {
		err = r.patch(ctx, namespace, w, lacking)
		if !apierrors.IsConflict(err) {
			break
		}
		if err = r.onlyStatusChanged(ctx, namespace, w); err != nil {
			break
		}
	}
	switch {
	case err == nil:
		maps.Copy(w.Marks, lacking)
		r.Restarts.WithLabelValues(w.Kind, "restarted").Inc()
		return true, nil
	case apierrors.IsNotFound(err):
		return false, nil
	}
	r.Restarts.WithLabelValues(w.Kind, "failed").Inc()
	return false, fmt.Errorf("%s could not be restarted: %s; this is tried again, see what keeps it from being changed", w, reason(err))
}

var errChanged = errors.New("somebody changed it at the same time")

// patch adds annotations to the pod template of exactly this state of a workload.
func (r *Restarter) patch(ctx context.Context, namespace string, w *Workload, add map[string]string) error {
	raw, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": w.UID, "resourceVersion": w.resourceVersion},
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": add}}},
	})
	if err != nil {
		return err
	}
	m := w.metadata(namespace)
	if err := r.Client.Patch(ctx, m, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(fieldManager)); err != nil {
		return err
	}
	w.resourceVersion, w.generation = m.ResourceVersion, m.Generation
	return nil
}

// onlyStatusChanged takes a newer version of a workload whose spec is still the one that was looked at: the status
// of one that is being rolled out changes all the time. Else it fails, for example because another operator that
// leads now has restarted it.
func (r *Restarter) onlyStatusChanged(ctx context.Context, namespace string, w *Workload) error {
	m := w.metadata(namespace)
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
		return err
	}
	if m.UID != w.UID || m.Generation != w.generation {
		return errChanged
	}
	w.resourceVersion = m.ResourceVersion
	return nil
}

func (w *Workload) metadata(namespace string) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: w.Name}}
	m.SetGroupVersionKind(schema.FromAPIVersionAndKind(w.APIVersion(), w.Kind))
	return m
}

// reason is why a call failed, without the text of the API server or of somebody's admission webhook: it may quote
// the object, and with it what is in its environment.
func reason(err error) string {
	if errors.Is(err, errChanged) {
		return errChanged.Error()
	}
	if r := apierrors.ReasonForError(err); r != metav1.StatusReasonUnknown {
		return string(r)
	}
	return "no answer"
}
