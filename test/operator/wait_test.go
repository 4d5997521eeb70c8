package operator_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// until waits until got gives want, and fails after soon with what it gave last.
func (w *world) until(what, want string, got func() string) {
	w.Helper()
	w.within(soon, what, want, got)
}

// within is until with another patience.
func (w *world) within(patience time.Duration, what, want string, got func() string) {
	w.Helper()
	limit := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		last := got()
		if last == want {
			return
		}
		if time.Now().After(limit) {
			w.Fatalf("%s: %q after %s, want %q", what, last, patience, want)
		}
		<-tick.C
	}
}

// is waits until Ready of a VaultSecret is want: status/reason.
func (w *world) is(name, want string) {
	w.Helper()
	w.until("Ready of VaultSecret "+name, want, func() string { return ready(w.get(name)) })
}

// synced is is for the good end of several.
func (w *world) synced(names ...string) {
	w.Helper()
	for _, n := range names {
		w.is(n, "True/Synced")
	}
}

func (w *world) policyIs(p *v1alpha1.VaultPolicy, want string) {
	w.Helper()
	w.until("Ready of VaultPolicy "+p.Name, want, func() string {
		got := &v1alpha1.VaultPolicy{}
		if err := w.kube.Get(w.Context(), kube.ObjectKeyFromObject(p), got); err != nil {
			return err.Error()
		}
		return ready(got)
	})
}

// holds waits until a Secret has exactly this content: key=value pairs in order, "" if there is no Secret.
func (w *world) holds(name, want string) {
	w.Helper()
	w.until("Secret "+name, want, func() string { return content(w.secret(name)) })
}

// says fails unless the message of Ready holds all parts.
func (w *world) says(name string, parts ...string) {
	w.Helper()
	c := condition(w.get(name), v1alpha1.ConditionReady)
	for _, p := range parts {
		if !strings.Contains(c.Message, p) {
			w.Errorf("%s: message %q does not hold %q", name, c.Message, p)
		}
	}
}

// statusObject is any of our kinds.
type statusObject interface {
	kube.Object
	ObjectStatus() *v1alpha1.ObjectStatus
}

func condition(o statusObject, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(o.ObjectStatus().Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// ready is status/reason of Ready, "" before the first.
func ready(o statusObject) string {
	c := condition(o, v1alpha1.ConditionReady)
	if c.Type == "" {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

func content(s *corev1.Secret) string {
	if s == nil {
		return ""
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(s.Data)) {
		out = append(out, k+"="+string(s.Data[k]))
	}
	return strings.Join(out, " ")
}

// trail is what a watch showed, in order, each with the time at which it was seen.
type trail struct {
	t       testing.TB
	mu      sync.Mutex
	seen    []sighting
	changed chan struct{} // closed at the next sighting
	next    int           // what await looks at first
}

type sighting struct {
	at   time.Time
	kind watch.EventType
	obj  kube.Object
}

// watch follows the objects of a kind in the test's namespace until the test ends.
func (w *world) watch(list kube.ObjectList) *trail {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := w.kube.Watch(ctx, list, kube.InNamespace(w.ns))
	if err != nil {
		cancel()
		w.Fatal(err)
	}
	tr := &trail{t: w, changed: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range stream.ResultChan() {
			if obj, ok := e.Object.(kube.Object); ok {
				tr.add(sighting{at: time.Now(), kind: e.Type, obj: obj})
			}
		}
	}()
	w.Cleanup(func() {
		cancel()
		stream.Stop()
		<-done
	})
	return tr
}

func (tr *trail) add(s sighting) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.seen = append(tr.seen, s)
	close(tr.changed)
	tr.changed = make(chan struct{})
}

// all is everything seen so far.
func (tr *trail) all() []sighting {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.seen)
}

// mark makes await look only at what is seen from now on.
func (tr *trail) mark() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.next = len(tr.seen)
}

// rewind makes await look at all that was seen.
func (tr *trail) rewind() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.next = 0
}

// await returns the first sighting after the last one returned, or after mark, that matches.
func (tr *trail) await(what string, match func(sighting) bool) sighting {
	tr.t.Helper()
	return tr.awaitFor(soon, what, match)
}

// awaitFor is await for what takes its time.
func (tr *trail) awaitFor(long time.Duration, what string, match func(sighting) bool) sighting {
	tr.t.Helper()
	limit := time.NewTimer(long)
	defer limit.Stop()
	for {
		s, wait := tr.find(match)
		if wait == nil {
			return s
		}
		select {
		case <-wait:
		case <-limit.C:
			tr.t.Fatalf("%s was not seen within %s", what, long)
		}
	}
}

func (tr *trail) find(match func(sighting) bool) (sighting, <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for ; tr.next < len(tr.seen); tr.next++ {
		if s := tr.seen[tr.next]; match(s) {
			tr.next++
			return s, nil
		}
	}
	return sighting{}, tr.changed
}

// becomes matches an object of ours by name and Ready.
func becomes(name, want string) func(sighting) bool {
	return func(s sighting) bool {
		o, ok := s.obj.(statusObject)
		return ok && o.GetName() == name && ready(o) == want
	}
}

// contains matches a Secret by name and content.
func contains(name, want string) func(sighting) bool {
	return func(s sighting) bool {
		o, ok := s.obj.(*corev1.Secret)
		return ok && s.kind != watch.Deleted && o.Name == name && content(o) == want
	}
}

// promised fails when more than a second passed between a cause and what was seen of its effect.
func (w *world) promised(what string, since time.Time, effect sighting) {
	w.Helper()
	took := effect.at.Sub(since).Round(time.Millisecond)
	if took > promise {
		w.Errorf("%s took %s, promised %s", what, took, promise)
		return
	}
	w.Logf("%s: %s", what, took)
}

// states is one line per object for comparing what is before with what is after: any write shows.
func (w *world) states(lists ...kube.ObjectList) string {
	w.Helper()
	var out []string
	for _, l := range lists {
		if err := w.kube.List(w.Context(), l); err != nil {
			w.Fatal(err)
		}
		err := meta.EachListItem(l, func(o runtimeObject) error {
			m, err := meta.Accessor(o)
			out = append(out, fmt.Sprintf("%T %s/%s %s %s", o, m.GetNamespace(), m.GetName(), m.GetUID(), m.GetResourceVersion()))
			return err
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
