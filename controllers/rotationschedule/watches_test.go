package rotationschedule

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// noted is a queue that remembers who was put into it.
type noted struct {
	workqueue.TypedRateLimitingInterface[ctrl.Request]
	names map[string]bool
}

func (n *noted) AddAfter(r ctrl.Request, _ time.Duration) { n.names[r.Name] = true }

func (n *noted) take() string {
	s := strings.Join(slices.Sorted(maps.Keys(n.names)), " ")
	clear(n.names)
	return s
}

func named(name string, change func(*v1alpha1.RotationSchedule)) *v1alpha1.RotationSchedule {
	r := &v1alpha1.RotationSchedule{ObjectMeta: metav1.ObjectMeta{Namespace: "billing", Name: name}}
	change(r)
	return r
}

// An event about a path has those objects look that select it, or may.
func TestSinkFindsWhoSelects(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objs := []client.Object{
		named("path", func(r *v1alpha1.RotationSchedule) {
			r.Spec.Secrets.Paths = []v1alpha1.SecretPath{"x", "apps/billing/db"}
		}),
		named("pattern", func(r *v1alpha1.RotationSchedule) { r.Spec.Secrets.PathPattern = "apps/*/db" }),
		named("own", func(r *v1alpha1.RotationSchedule) { r.Spec.Secrets.PathPattern = "apps/{namespace}/**" }),
		named("tags", func(r *v1alpha1.RotationSchedule) { r.Spec.Secrets.Tags = []string{"t"} }),
		named("other", func(r *v1alpha1.RotationSchedule) {
			r.Spec.Secrets.Paths, r.Spec.Secrets.PathPattern = []v1alpha1.SecretPath{"apps/billing"}, "apps/billing/db/*"
		}),
	}
	q, inbox := &noted{names: map[string]bool{}}, reconcile.NewInbox()
	if err := inbox.Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	s := &Sink{Cached: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).Build(), Inbox: inbox}
	for path, want := range map[string]string{
		"apps/billing/db": "own path pattern tags", "apps/mail/db": "pattern tags", "apps/billing/a/b": "own tags", "elsewhere": "tags",
	} {
		s.Secret(t.Context(), path)
		if got := q.take(); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		s.Rotation(t.Context(), path)
		if got := q.take(); got != want {
			t.Errorf("rotation of %s: %s, want %s", path, got, want)
		}
	}
	for what, tell := range map[string]func(context.Context){
		"policies": func(ctx context.Context) { s.Policies(ctx, nil) }, "another vault": s.Replaced,
	} {
		tell(t.Context())
		if got := q.take(); got != "other own path pattern tags" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// A change of an object has it look, and with it those that it shares a secret with; a status of ours alone does not.
func TestObjectsQueueTheirRivals(t *testing.T) {
	q, h := &noted{names: map[string]bool{}}, objects()
	clash := func(with string) func(*v1alpha1.RotationSchedule) {
		return func(r *v1alpha1.RotationSchedule) {
			r.Status.Conflicts = []v1alpha1.RotationConflict{{Path: "a", With: "billing/" + with}}
		}
	}
	plain := func(*v1alpha1.RotationSchedule) {}
	newer := named("a", func(r *v1alpha1.RotationSchedule) { r.Generation = 2 })
	asked := named("a", func(r *v1alpha1.RotationSchedule) {
		r.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
	})
	ctx := t.Context()
	for name, c := range map[string]struct {
		was, is *v1alpha1.RotationSchedule
		want    string
	}{
		"nothing":             {named("a", plain), named("a", plain), ""},
		"the spec":            {named("a", plain), newer, "a"},
		"a request":           {named("a", plain), asked, "a"},
		"a conflict came":     {named("a", plain), named("a", clash("b")), "b"},
		"a conflict went":     {named("a", clash("b")), named("a", plain), "b"},
		"a conflict as it is": {named("a", clash("b")), named("a", clash("b")), ""},
		"another conflict":    {named("a", clash("b")), named("a", clash("c")), "b c"},
	} {
		h.Update(ctx, event.UpdateEvent{ObjectOld: c.was, ObjectNew: c.is}, q)
		if got := q.take(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	h.Create(ctx, event.CreateEvent{Object: named("a", plain)}, q)
	h.Delete(ctx, event.DeleteEvent{Object: named("d", clash("b"))}, q)
	if got := q.take(); got != "a b d" {
		t.Errorf("made and deleted: %s", got)
	}
}
