package vaultsecret

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/consumers"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

const (
	// namesInEvent bounds the workloads that an event names.
	namesInEvent = 10
	// surveyAge is how old a list of workloads may be that tells which of them exist, so that many objects of one
	// namespace share it.
	surveyAge = 5 * time.Second
	// surveyEvery is how often a workload that does not exist is looked for.
	surveyEvery = time.Minute
)

// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;list;patch
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=list

// restart restarts the workloads that have to be told of content which an earlier run wrote, once the debounce is
// over. It comes first, because a vault that is down must not hold it up. What goes wrong is said at the end, by owe,
// because a workload that cannot be restarted must not keep the Secret from following.
func (s *run) restart(ctx context.Context) error {
	if owes(&s.obj) && restartIn(&s.obj, s.Now()) <= 0 {
		s.unrestarted = s.restartNow(ctx)
	}
	return nil
}

func (s *run) restartNow(ctx context.Context) error {
	st := s.obj.Status.Restart
	mine := mark(&s.obj)
	out, found, err := s.each(ctx, s.written(), func(w consumers.Workload) map[string]string {
		if !concerns(&s.obj, w) || w.Marks[mine] == st.Checksum {
			return nil
		}
		return s.marks(ctx, w)
	})
	s.tell(out)
	if err != nil {
		return err
	}
	st.Since, st.Missing = nil, absent(s.obj.Spec.Restart, found)
	return nil
}

// each restarts what choose wants restarted, and tells which workloads there are.
func (s *run) each(ctx context.Context, written time.Time, choose consumers.Choice) (consumers.Outcome, map[v1alpha1.WorkloadReference]bool, error) {
	found := map[v1alpha1.WorkloadReference]bool{}
	out, err := s.Restarter.Restart(ctx, s.obj.Namespace, written, func(w consumers.Workload) map[string]string {
		found[v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadKind(w.Kind), Name: w.Name}] = true
		return choose(w)
	})
	return out, found, err
}

// written is a time after the content was written: what the status says is cut to seconds.
func (s *run) written() time.Time {
	if t := s.obj.Status.LastSyncTime; t != nil {
		return t.Add(time.Second)
	}
	return s.Now()
}

func mark(obj *v1alpha1.VaultSecret) string { return consumers.Mark("VaultSecret", obj.Name) }

// concerns tells whether a workload is to be restarted when the content of an object changes. One that uses the
// Secret only by files which the kubelet is told to refresh is not.
func concerns(obj *v1alpha1.VaultSecret, w consumers.Workload) bool {
	if obj.Spec.Restart.Mode == v1alpha1.RestartListed {
		return obj.Spec.Restart.Lists(w.Kind, w.Name)
	}
	by := w.Uses[obj.TargetName()]
	if obj.Spec.RefreshPods == v1alpha1.RefreshImmediately && !immutable(obj) {
		return by.Has(consumers.Env | consumers.Fixed)
	}
	return by.Has(consumers.Env | consumers.Fixed | consumers.File)
}

func immutable(obj *v1alpha1.VaultSecret) bool {
	return obj.Spec.Target != nil && obj.Spec.Target.Immutable
}

// marks are this object's and those of all others that owe the workload a restart: one restart tells it of all.
func (s *run) marks(ctx context.Context, w consumers.Workload) map[string]string {
	all := map[string]string{}
	lists := []client.MatchingFields{{indexListed: w.Kind + "/" + w.Name}}
	for secret := range w.Uses {
		lists = append(lists, client.MatchingFields{indexTarget: secret})
	}
	for _, by := range lists {
		objs, err := list(ctx, s.Runner.Client, client.InNamespace(s.obj.Namespace), by)
		if err != nil {
			break // the cache ends with the process
		}
		for i := range objs {
			if o := &objs[i]; owes(o) && concerns(o, w) {
				all[mark(o)] = o.Status.Restart.Checksum
			}
		}
	}
	all[mark(&s.obj)] = s.obj.Status.Restart.Checksum // the cache may be older
	return all
}

// absent are the listed workloads that do not exist.
func absent(r *v1alpha1.Restart, found map[v1alpha1.WorkloadReference]bool) []v1alpha1.WorkloadReference {
	if r.Mode != v1alpha1.RestartListed {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Workloads), func(w v1alpha1.WorkloadReference) bool { return found[w] })
}

// tell says in events what was restarted and why: on the workload, whose owner wonders, and on the object.
func (s *run) tell(out consumers.Outcome) {
	why := fmt.Sprintf("the content of Secret %s changed (VaultSecret %s)", s.obj.TargetName(), s.obj.Name)
	for _, w := range out.Restarted {
		at := &corev1.ObjectReference{APIVersion: w.APIVersion(), Kind: w.Kind, Namespace: s.obj.Namespace, Name: w.Name, UID: w.UID}
		s.Runner.Events.Eventf(at, &s.obj, corev1.EventTypeNormal, "Restarted", "Restart", "restarted because %s", why)
	}
	if len(out.Restarted) > 0 {
		s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeNormal, "Restarted", "Restart", "restarted %s because %s", names(out.Restarted), why)
	}
	if len(out.Next) > 0 {
		s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeNormal, "NextJob", "Restart",
			"the next Job of %s starts with the new content; a Job that runs now is left to end", names(out.Next))
	}
}

func names(all []consumers.Workload) string {
	var out []string
	for _, w := range all[:min(len(all), namesInEvent)] {
		out = append(out, w.String())
	}
	if more := len(all) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	return strings.Join(out, ", ")
}

// owe notes, after the Secret was written, that workloads have to be told of its content; they are when the debounce
// is over. A listed workload that does not exist is looked for when the spec is new, and as long as it is missing.
func (s *run) owe(ctx context.Context) error {
	spec, st := s.obj.Spec.Restart, &s.obj.Status
	if !spec.Active() {
		st.Restart = nil
		return nil
	}
	if !s.same {
		sum, err := checksum(&s.obj.Spec, s.state())
		if err != nil {
			return err
		}
		st.Restart = told(st.Restart, sum, s.differs, s.Now())
	}
	if st.Restart != nil && (len(st.Restart.Missing) > 0 || !reconcile.Applied(&s.obj)) {
		if err := s.survey(ctx); err != nil {
			return err
		}
	}
	if s.unrestarted != nil {
		return reconcile.Retrying(v1alpha1.ReasonRestartFailed, s.unrestarted)
	}
	return nil
}

// survey looks for the listed workloads without restarting any.
func (s *run) survey(ctx context.Context) error {
	if s.obj.Spec.Restart.Mode != v1alpha1.RestartListed {
		s.obj.Status.Restart.Missing = nil
		return nil
	}
	seen := s.Now() // what was missing may have come a moment ago
	if len(s.obj.Status.Restart.Missing) == 0 {
		seen = seen.Add(-surveyAge)
	}
	_, found, err := s.each(ctx, seen, func(consumers.Workload) map[string]string { return nil })
	if err != nil {
		return reconcile.Retrying(v1alpha1.ReasonRestartFailed, err)
	}
	s.obj.Status.Restart.Missing = absent(s.obj.Spec.Restart, found)
	return nil
}
