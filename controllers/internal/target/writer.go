package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// conflictRecheck is how often a target that is not ours is looked at again: nothing tells the operator
// of changes to Secrets that are not its own.
const conflictRecheck = 15 * time.Second

// deletionRecheck is how often a target is looked at that waits for somebody's finalizer; the watch tells
// of its end sooner.
const deletionRecheck = 5 * time.Second

// Writer writes Secrets. All fields but Memory's content are required.
type Writer struct {
	// Secrets writes.
	Secrets corev1client.SecretsGetter
	// Cached reads the metadata of managed Secrets from the watch; it may lag.
	Cached client.Reader
	// Live reads metadata from the API server itself.
	Live client.Reader
	// Memory is what our own writes left.
	Memory *Memory
	// Rules judge a Secret of somebody else in which we are to have a share.
	Rules Rules
}

// Apply makes the Secret equal to d, or a Shared one as far as others leave room.
func (w *Writer) Apply(ctx context.Context, d Desired) (Result, error) {
	if err := Content(d); err != nil {
		return Result{}, err
	}
	if d.Shared {
		return w.share(ctx, d)
	}
	w.Memory.begin(d.Owner)
	was, at, err := w.apply(ctx, d)
	if overwritten := w.Memory.end(d.Owner, at); overwritten && err == nil {
		return Result{}, reconcile.Again(errors.New("somebody else wrote to the Secret right after"))
	}
	return Result{State: at, Wrote: at != was}, err
}

func (w *Writer) apply(ctx context.Context, d Desired) (was, is State, err error) {
	if was, err = w.current(ctx, d); err != nil {
		return was, State{}, err
	}
	if was.UID == "" {
		if err := w.remains(ctx, d.Owner); err != nil {
			return was, State{}, err
		}
		is, err = w.create(ctx, d)
		return was, is, err
	}
	is, err = w.update(ctx, d, was)
	return was, is, err
}

// remains refuses to make a Secret anew for an owner that is gone. The garbage collector takes the Secret then, and the
// watch of owners may lag behind that of Secrets. Who had no Secret yet is not looked at.
func (w *Writer) remains(ctx context.Context, o Owner) error {
	if o.Made == "" {
		return nil
	}
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(o.Kind))
	err := w.Live.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.Name}, m)
	switch {
	case apierrors.IsNotFound(err), err == nil && (m.GetUID() != o.UID || m.GetDeletionTimestamp() != nil):
		return reconcile.Again(errors.New("its owner is gone"))
	case err != nil:
		return fmt.Errorf("look at %s %s: %w", o.Kind, o.Name, err)
	}
	return nil
}

// Settled tells whether the Secret is as our last write left it, as far as the watch shows. d may be without data.
func (w *Writer) Settled(ctx context.Context, d Desired, recorded State) (bool, error) {
	m, err := metadata(ctx, w.Cached, d.Owner.Namespace, recorded.Name)
	if err != nil || m == nil {
		return false, err
	}
	return !w.Disturbed(d, recorded, nil, m), nil
}

// Disturbed tells whether an owner has to look at a Secret that the watch shows: it is not as our last write left
// it, or what was left to others has become free. d may be without data.
func (w *Writer) Disturbed(d Desired, recorded State, left []Conflict, seen metav1.Object) bool {
	if !d.Shared {
		return w.Memory.Drifted(d.Owner, recorded, seen)
	}
	s := look(seen, d.Owner)
	if recorded.Name != seen.GetName() { // nothing in it is ours yet
		return s.eased(d, left)
	}
	return recorded.UID != seen.GetUID() || !s.intact(d) || s.eased(d, left)
}

// current returns the newest state known of the Secret, zero if there is none.
func (w *Writer) current(ctx context.Context, d Desired) (State, error) {
	m, err := metadata(ctx, w.Cached, d.Owner.Namespace, d.Name)
	if err != nil {
		return State{}, err
	}
	last := w.Memory.of(d.Owner, d.Name)
	if m == nil || newer(last.ResourceVersion, m.GetResourceVersion()) {
		return last, nil // what the watch shows is older than our own write
	}
	return w.claim(ctx, m, d)
}

// claim returns the state of an existing Secret if we may write to it.
func (w *Writer) claim(ctx context.Context, m *metav1.PartialObjectMetadata, d Desired) (State, error) {
	if m.GetDeletionTimestamp() != nil {
		return State{}, beingDeleted(d)
	}
	switch stand(m, d.Owner) {
	case foreign:
		if _, shared := listed(m, KeysAnnotation(d.Owner)); shared {
			return w.reclaim(ctx, d)
		}
		return State{}, reconcile.StalledFor(v1alpha1.ReasonConflict, conflictRecheck, describe(m, d.Owner))
	case previous: // two owners at a time are not allowed: the old reference goes first
		return w.leave(ctx, d.Owner, m)
	}
	return stateOf(m), nil
}

func beingDeleted(d Desired) error {
	return reconcile.Waiting(v1alpha1.ReasonRetrying, deletionRecheck, fmt.Errorf("Secret %s is being deleted; it is made anew when it is gone, and its finalizers are what it waits for", d.Name)) //nolint:staticcheck // Secret is the kind
}

func (w *Writer) create(ctx context.Context, d Desired) (State, error) {
	got, err := w.Secrets.Secrets(d.Owner.Namespace).Create(ctx, d.object(), metav1.CreateOptions{FieldManager: FieldManager(d.Owner)})
	if apierrors.IsAlreadyExists(err) {
		return w.takeOver(ctx, d)
	}
	if err != nil {
		return State{}, refused(d, err)
	}
	return w.Memory.put(d.Owner, got), nil
}

// takeOver handles a Secret that exists although the watch did not show it: one that we made a moment
// ago, one that is offered to us, or one of somebody else.
func (w *Writer) takeOver(ctx context.Context, d Desired) (State, error) {
	m, err := metadata(ctx, w.Live, d.Owner.Namespace, d.Name)
	if err != nil {
		return State{}, err
	}
	if m == nil {
		return State{}, reconcile.Again(errors.New("the Secret came and went"))
	}
	at, err := w.claim(ctx, m, d)
	if err != nil {
		return State{}, err
	}
	return w.update(ctx, d, at)
}

func (w *Writer) update(ctx context.Context, d Desired, at State) (State, error) {
	got, err := w.Secrets.Secrets(d.Owner.Namespace).Apply(ctx, applyConfig(d, at), metav1.ApplyOptions{FieldManager: FieldManager(d.Owner), Force: true})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return State{}, w.outdated(ctx, d)
	case immutableField(err):
		return w.replace(ctx, d, at)
	case err != nil:
		return State{}, refused(d, err)
	}
	w.Memory.put(d.Owner, got)
	return w.purge(ctx, d, got)
}

// outdated remembers what is really there, so that the next run starts from it. It never repeats the
// write: our values may be as old as our view of the Secret.
func (w *Writer) outdated(ctx context.Context, d Desired) error {
	m, err := metadata(ctx, w.Live, d.Owner.Namespace, d.Name)
	if err != nil {
		return err
	}
	w.Memory.Forget(d.Owner)
	if m != nil && stand(m, d.Owner) != foreign {
		w.Memory.meet(d.Owner, stateOf(m))
	}
	return reconcile.Again(errors.New("the Secret changed since it was read"))
}

// replace deletes and makes anew what Kubernetes does not let anybody change: the type, and an
// immutable Secret. What could not be made is found out before.
func (w *Writer) replace(ctx context.Context, d Desired, at State) (State, error) {
	_, err := w.Secrets.Secrets(d.Owner.Namespace).Create(ctx, d.object(), metav1.CreateOptions{FieldManager: FieldManager(d.Owner), DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsInvalid(err) {
		return State{}, refused(d, err)
	}
	err = w.Secrets.Secrets(d.Owner.Namespace).Delete(ctx, d.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &at.UID}})
	if apierrors.IsConflict(err) {
		return State{}, w.outdated(ctx, d)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return State{}, refused(d, err)
	}
	return w.create(ctx, d)
}

func applyConfig(d Desired, at State) *corev1ac.SecretApplyConfiguration {
	ac := corev1ac.Secret(d.Name, d.Owner.Namespace).
		WithUID(at.UID).WithResourceVersion(at.ResourceVersion).
		WithLabels(d.labels()).WithAnnotations(d.annotations()).
		WithType(d.secretType()).WithData(d.Data)
	if d.Immutable {
		ac.WithImmutable(true)
	}
	for _, r := range d.ownerReferences() {
		ac.WithOwnerReferences(metav1ac.OwnerReference().WithAPIVersion(r.APIVersion).WithKind(r.Kind).WithName(r.Name).WithUID(r.UID).WithController(true))
	}
	return ac
}

// Release gives up the Secret of a name: it is deleted, or kept and offered to an owner of our name. Of a Shared
// one only what is ours goes, and the whole when we made it and nobody else has a key in it; or, when it is to be
// retained, only our marks. One in which nothing is ours is left alone.
func (w *Writer) Release(ctx context.Context, o Owner, name string, retain bool) error {
	m, err := metadata(ctx, w.Live, o.Namespace, name)
	if err != nil || m == nil {
		return err
	}
	if hasShare(m, o) {
		return w.part(ctx, o, name, retain)
	}
	if stand(m, o) == foreign {
		return nil
	}
	if retain {
		_, err := w.leave(ctx, o, m)
		return err
	}
	uid := m.GetUID()
	err = w.Secrets.Secrets(o.Namespace).Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete Secret %s: %s", name, apierrors.ReasonForError(err))
	}
	w.Memory.Forget(o)
	return nil
}

func metadata(ctx context.Context, r client.Reader, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, m)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at Secret %s: %w", name, err)
	}
	return m, nil
}
