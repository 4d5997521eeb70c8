package target

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/test/controlplane"
)

// bench is a writer on a real API server, with a watch whose lag the test chooses.
type bench struct {
	*Writer
	t     *testing.T
	core  corev1client.CoreV1Interface
	owner Owner
	watch *frozen
}

// frozen stands for a watch: it shows the API server's state as of the last thaw.
type frozen struct {
	client.Reader
	still bool
	seen  map[client.ObjectKey]*metav1.PartialObjectMetadata
}

func (f *frozen) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if !f.still {
		return f.Reader.Get(ctx, key, obj, opts...)
	}
	m, ok := f.seen[key]
	if !ok {
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	m.DeepCopyInto(obj.(*metav1.PartialObjectMetadata))
	return nil
}

func (f *frozen) freeze(t *testing.T, ns, name string) {
	t.Helper()
	m, err := metadata(t.Context(), f.Reader, ns, name)
	if err != nil {
		t.Fatal(err)
	}
	f.still, f.seen = true, map[client.ObjectKey]*metav1.PartialObjectMetadata{}
	if m != nil {
		f.seen[client.ObjectKey{Namespace: ns, Name: name}] = m
	}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	p := controlplane.Start(t)
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	live, err := client.New(p.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	core := corev1client.NewForConfigOrDie(p.Config)
	watch := &frozen{Reader: live}
	b := &bench{t: t, core: core, watch: watch, Writer: &Writer{Secrets: core, Cached: watch, Live: live, Memory: NewMemory()}}
	b.owner = b.newOwner(p.Namespace(t, "target", nil), "db", live)
	return b
}

// newOwner makes a real object, because the garbage collector deletes what an unknown one owns.
func (b *bench) newOwner(ns, name string, c client.Client) Owner {
	b.t.Helper()
	controlplane.Start(b.t).InstallCRDs(b.t)
	v := &v1alpha1.VaultSecret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1alpha1.VaultSecretSpec{Sources: []v1alpha1.Source{{Name: "db", Path: "a"}}}}
	if err := c.Create(b.t.Context(), v); err != nil {
		b.t.Fatal(err)
	}
	return Owner{Kind: "VaultSecret", Namespace: ns, Name: name, UID: v.UID}
}

func (b *bench) desired(data map[string]string) Desired {
	d := Desired{Owner: b.owner, Name: "db", Labels: map[string]string{"team": "pay"}, Annotations: map[string]string{"note": "x"}, Data: map[string][]byte{}}
	for k, v := range data {
		d.Data[k] = []byte(v)
	}
	return d
}

func (b *bench) apply(d Desired) State {
	b.t.Helper()
	s, err := b.Apply(b.t.Context(), d)
	if err != nil {
		b.t.Fatalf("apply: %v", err)
	}
	return s.State
}

func (b *bench) get() *corev1.Secret {
	b.t.Helper()
	s, err := b.core.Secrets(b.owner.Namespace).Get(b.t.Context(), "db", metav1.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) want(data map[string]string) *corev1.Secret {
	b.t.Helper()
	s := b.get()
	got := map[string]string{}
	for k, v := range s.Data {
		got[k] = string(v)
	}
	if diff := cmp.Diff(data, got); diff != "" {
		b.t.Fatalf("data (-want +got)\n%s", diff)
	}
	return s
}

func (b *bench) patch(raw string) {
	b.t.Helper()
	_, err := b.core.Secrets(b.owner.Namespace).Patch(b.t.Context(), "db", types.MergePatchType, []byte(raw), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		b.t.Fatal(err)
	}
}

// Made, changed, keys removed, hand edits repaired, foreign keys removed, foreign labels left alone, and
// nothing written when nothing differs.
func TestLifeOfASecret(t *testing.T) {
	b := newBench(t)
	first := b.apply(b.desired(map[string]string{"a": "1", "b": "2"}))
	s := b.want(map[string]string{"a": "1", "b": "2"})
	if s.Labels[v1alpha1.LabelManaged] != "true" || s.Labels["team"] != "pay" || !metav1.IsControlledBy(s, &metav1.ObjectMeta{UID: b.owner.UID}) {
		t.Fatalf("metadata %+v", s.ObjectMeta)
	}

	d := b.desired(map[string]string{"a": "1", "c": "3"})
	d.Labels, d.Annotations = nil, map[string]string{"other": "y"}
	second := b.apply(d)
	s = b.want(map[string]string{"a": "1", "c": "3"})
	if second.UID != first.UID || s.Labels["team"] != "" || s.Annotations["note"] != "" || s.Annotations["other"] != "y" {
		t.Fatalf("labels and annotations of the spec before: %+v", s.ObjectMeta)
	}

	b.patch(`{"metadata":{"labels":{"theirs":"1","scaivault.io/managed":null}},"data":{"a":"aGFja2Vk","extra":"eA=="}}`)
	b.apply(d)
	s = b.want(map[string]string{"a": "1", "c": "3"})
	if s.Labels["theirs"] != "1" || s.Labels[v1alpha1.LabelManaged] != "true" {
		t.Fatalf("labels %v", s.Labels)
	}

	before := b.get().ResourceVersion
	if at := b.apply(d); at.ResourceVersion != before {
		t.Fatal("an apply without a difference wrote")
	}
}

// Mistake 42: no annotation repeats the content (last-applied-configuration did). Mistake 61: nothing of ours
// keeps a Secret, or its namespace, from being deleted.
func TestMistake42NothingBesidesTheContent(t *testing.T) {
	b := newBench(t)
	b.apply(b.desired(map[string]string{"a": "hunter2"}))
	b.apply(b.desired(map[string]string{"a": "hunter3"}))
	s := b.get()
	if diff := cmp.Diff(map[string]string{"note": "x"}, s.Annotations); diff != "" || len(s.Finalizers) != 0 {
		t.Fatalf("annotations %s finalizers %v", diff, s.Finalizers)
	}
	if b := s.OwnerReferences[0].BlockOwnerDeletion; b != nil && *b {
		t.Error("the Secret blocks the deletion of its owner")
	}
}

// A Secret that is not ours is not touched until its annotation hands it over.
func TestConflictAndAdoption(t *testing.T) {
	b := newBench(t)
	_, err := b.core.Secrets(b.owner.Namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, StringData: map[string]string{"theirs": "x"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := b.desired(map[string]string{"a": "1"})
	if _, err := b.Apply(t.Context(), d); reconcile.ReasonOf(err) != v1alpha1.ReasonConflict {
		t.Fatalf("applied over a foreign Secret: %v", err)
	}
	b.want(map[string]string{"theirs": "x"})
	b.patch(`{"metadata":{"annotations":{"scaivault.io/adopt":"another"}}}`)
	if _, err := b.Apply(t.Context(), d); reconcile.ReasonOf(err) != v1alpha1.ReasonConflict {
		t.Fatalf("took a Secret reserved for another: %v", err)
	}
	b.patch(`{"metadata":{"annotations":{"scaivault.io/adopt":"db"}}}`)
	b.apply(d)
	b.want(map[string]string{"a": "1"})
}

// Neither a lagging watch nor a stale leader puts an old value over a new one, and a lagging watch
// alone does not fail a burst of writes.
func TestStaleViews(t *testing.T) {
	b := newBench(t)
	b.apply(b.desired(map[string]string{"a": "1"}))
	b.watch.freeze(t, b.owner.Namespace, "db")
	for _, v := range []string{"2", "3", "4"} { // the watch shows none of these
		b.apply(b.desired(map[string]string{"a": v}))
	}
	b.want(map[string]string{"a": "4"})

	stale := &Writer{Secrets: b.Secrets, Cached: b.watch, Live: b.Live, Memory: NewMemory()} // only knows the frozen watch
	_, err := stale.Apply(t.Context(), b.desired(map[string]string{"a": "old"}))
	if err == nil {
		t.Fatal("a stale leader wrote")
	}
	b.want(map[string]string{"a": "4"})
}

// The type and the content of an immutable Secret are changed by replacing the Secret.
func TestReplace(t *testing.T) {
	b := newBench(t)
	d := b.desired(map[string]string{"username": "u", "password": "p"})
	d.Immutable = true
	first := b.apply(d)
	d.Type = corev1.SecretTypeBasicAuth
	second := b.apply(d)
	if second.UID == first.UID || b.get().Type != corev1.SecretTypeBasicAuth {
		t.Fatal("type not changed")
	}
	d.Data["password"] = []byte("q")
	third := b.apply(d)
	if third.UID == second.UID {
		t.Fatal("immutable Secret not replaced")
	}
	if s := b.want(map[string]string{"username": "u", "password": "q"}); s.Immutable == nil || !*s.Immutable {
		t.Fatal("no longer immutable")
	}
	if again := b.apply(d); again.UID != third.UID {
		t.Fatal("replaced without a change")
	}
}

// A retained Secret has no owner, is offered to an object of the same name, and is taken up by it.
func TestRetain(t *testing.T) {
	b := newBench(t)
	d := b.desired(map[string]string{"a": "1"})
	first := b.apply(d)
	d.Retain = true
	b.apply(d)
	if s := b.get(); len(s.OwnerReferences) != 0 || s.Annotations[v1alpha1.AnnotationAdopt] != "db" {
		t.Fatalf("%+v", s.ObjectMeta)
	}
	b.owner.UID = "another-incarnation"
	d.Owner = b.owner
	if got := b.apply(d); got.UID != first.UID {
		t.Fatal("not taken up")
	}
	d.Retain = false // its real owner again, or the garbage collector removes it
	d.Owner = b.newOwner(b.owner.Namespace, "db2", b.Live.(client.Client))
	d.Owner.Name = "db"
	b.apply(d)
	if s := b.get(); s.Annotations[v1alpha1.AnnotationAdopt] != "" || len(s.OwnerReferences) != 1 {
		t.Fatalf("%+v", s.ObjectMeta)
	}
}

// A Secret that still names an earlier object of our name is taken over without a gap.
func TestRecreatedOwner(t *testing.T) {
	b := newBench(t)
	d := b.desired(map[string]string{"a": "1"})
	first := b.apply(d)
	d.Owner.UID = b.newOwner(b.owner.Namespace, "elsewhere", b.Live.(client.Client)).UID
	second := b.apply(d)
	s := b.want(map[string]string{"a": "1"})
	if second.UID != first.UID || len(s.OwnerReferences) != 1 || s.OwnerReferences[0].UID != d.Owner.UID {
		t.Fatalf("%+v", s.ObjectMeta)
	}
}

// Release deletes only what is ours.
func TestRelease(t *testing.T) {
	b := newBench(t)
	b.apply(b.desired(map[string]string{"a": "1"}))
	stranger := b.owner
	stranger.UID, stranger.Name = "x", "stranger"
	if err := b.Release(t.Context(), stranger, "db", false); err != nil {
		t.Fatal(err)
	}
	b.want(map[string]string{"a": "1"})
	if err := b.Release(t.Context(), b.owner, "db", true); err != nil {
		t.Fatal(err)
	}
	if s := b.get(); len(s.OwnerReferences) != 0 {
		t.Fatal("still owned")
	}
	if err := b.Release(t.Context(), b.owner, "db", false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.core.Secrets(b.owner.Namespace).Get(t.Context(), "db", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("still there: %v", err)
	}
}

// A Secret that vanished behind our back is made again.
func TestVanished(t *testing.T) {
	b := newBench(t)
	d := b.desired(map[string]string{"a": "1"})
	b.apply(d)
	if err := b.core.Secrets(b.owner.Namespace).Delete(t.Context(), "db", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Apply(t.Context(), d); err == nil { // it relied on its memory, and says: once more
		t.Fatal("updated what is not there")
	}
	b.apply(d)
	b.want(map[string]string{"a": "1"})
}

// The Secret of an owner that is gone is not made anew while the watch of owners lags: the garbage collector took it.
func TestNothingIsMadeForAnOwnerThatIsGone(t *testing.T) {
	b := newBench(t)
	d := b.desired(map[string]string{"k": "1"})
	d.Owner.Made = b.apply(d).UID
	if err := b.core.Secrets(b.owner.Namespace).Delete(t.Context(), "db", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.Memory.Forget(d.Owner)
	d.Owner.UID = "that of an object before" // as if the object of this name were another one
	if _, err := b.Apply(t.Context(), d); err == nil {
		t.Error("it was made anew")
	}
	if _, err := b.core.Secrets(b.owner.Namespace).Get(t.Context(), "db", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("there is a Secret: %v", err)
	}
	d.Owner.UID = b.owner.UID
	b.apply(d)
}
