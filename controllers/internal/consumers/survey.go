package consumers

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

const (
	// kubeletBound is when every kubelet that works has refreshed the files of a Secret: measured 55 to 70 s.
	kubeletBound = 2 * time.Minute
	// refreshBound is the same for a pod whose kubelet was made to look: measured 0.3 s.
	refreshBound = 5 * time.Second
)

// Survey is who uses Secrets in a namespace at a time, as the API server itself tells.
type Survey struct {
	at        time.Time
	workloads []Workload
	pods      []pod
}

// pod is what is to be known of one that a kubelet has.
type pod struct {
	name      string
	uses      map[string]Usage
	marks     map[string]string
	created   time.Time
	refreshed time.Time // when its kubelet was made to look last
	ready     bool
}

// Content is what a Secret holds.
type Content struct {
	// Secret is its name, Since when it holds the content, to the second.
	Secret string
	Since  time.Time
	// Mark and Checksum are the annotation of a pod that was started for the content; empty: nobody marks pods.
	Mark, Checksum string
	// Immutable tells that a running pod never sees a change of its files.
	Immutable bool
}

// +kubebuilder:rbac:groups="",resources=pods,verbs=list

// Look lists the workloads and the pods of a namespace.
func Look(ctx context.Context, live client.Reader, namespace string, now time.Time) (*Survey, error) {
	all, err := workloads(ctx, live, namespace)
	if err != nil {
		return nil, err
	}
	s := &Survey{at: now, workloads: all}
	err = pages(ctx, live, &corev1.PodList{}, func(o runtime.Object) { s.pods = append(s.pods, describePod(o.(*corev1.Pod))) },
		client.InNamespace(namespace), client.MatchingFieldsSelector{Selector: running()})
	if err != nil {
		return nil, fmt.Errorf("list the pods of namespace %s: %s", namespace, reason(err))
	}
	return s, nil
}

func describePod(p *corev1.Pod) pod {
	d := pod{name: p.Name, uses: Uses(&p.Spec), marks: marks(p.Annotations), created: p.CreationTimestamp.Time}
	for _, c := range p.Status.Conditions {
		d.ready = d.ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}
	if at, err := time.Parse(time.RFC3339Nano, p.Annotations[v1alpha1.AnnotationRefreshedAt]); err == nil {
		d.refreshed = at
	}
	return d
}

// Behind says who uses a Secret and is not seen to run with its content, each with what it lacks; nobody if empty.
// A pod counts as running with the content when it was made after the Secret had it, or for it; one that has only
// files which its kubelet refreshes, when it is ready and the kubelet has had the time. A workload has to be rolled
// out and ready besides.
func (s *Survey) Behind(c Content) []string {
	var behind []string
	for i := range s.workloads {
		if w := &s.workloads[i]; w.Uses[c.Secret] != 0 && w.unsettled != "" {
			behind = append(behind, w.String()+": "+w.unsettled)
		}
	}
	for i := range s.pods {
		if lacks := s.pods[i].lacks(c, s.at); lacks != "" {
			behind = append(behind, "pod "+s.pods[i].name+": "+lacks)
		}
	}
	return behind
}

// lacks says what keeps a pod from counting as one that runs with the content.
func (p *pod) lacks(c Content, now time.Time) string {
	by := p.uses[c.Secret]
	switch {
	case by == 0, c.Mark != "" && p.marks[c.Mark] == c.Checksum, p.created.After(c.Since):
		return ""
	case by.Has(Env):
		return "started before with it in its environment"
	case by.Has(Fixed), c.Immutable:
		return "started before with a file of it that does not change"
	case !p.ready:
		return "not ready, so that its files may not be refreshed"
	case p.refreshed.After(c.Since) && now.Sub(p.refreshed) >= refreshBound, now.Sub(c.Since) >= kubeletBound:
		return ""
	}
	return fmt.Sprintf("its kubelet refreshes the files until %s", c.Since.Add(kubeletBound).UTC().Format(time.TimeOnly))
}

// Shown names a few of many.
func Shown(all []string) string {
	const most = 3
	if len(all) <= most {
		return strings.Join(all, "; ")
	}
	return fmt.Sprintf("%s; %d more", strings.Join(all[:most], "; "), len(all)-most)
}
