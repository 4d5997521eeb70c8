package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// share writes what is ours into a Secret that others write to as well. What may be written is decided on what the
// API server shows, which the write has as a precondition: whoever is faster makes us decide again.
func (w *Writer) share(ctx context.Context, d Desired) (Result, error) {
	w.Memory.Forget(d.Owner) // of a time when it was Exclusive
	got, err := w.whole(ctx, d.Owner, d.Name)
	if err != nil {
		return Result{}, err
	}
	if got == nil {
		return w.found(ctx, d)
	}
	if err := w.mayShare(ctx, d, got); err != nil {
		return Result{}, err
	}
	p := look(got, d.Owner).plan(d, got)
	if len(p.data) == 0 && !hasShare(got, d.Owner) {
		return Result{Conflicts: p.conflicts}, nil
	}
	d.Data, d.Labels, d.Annotations = p.data, p.labels, p.notes
	d.Type, d.made = got.Type, made(got, d.Owner)
	if err := room(d, p.beside); err != nil {
		return Result{}, err
	}
	after, err := w.put(ctx, d, got, p.surplus)
	if err != nil {
		return Result{}, sharingFailed(d, err)
	}
	return Result{State: stateOf(after), Wrote: after.ResourceVersion != got.ResourceVersion, Conflicts: p.conflicts}, nil
}

// whole reads a Secret from the API server, nil if there is none.
func (w *Writer) whole(ctx context.Context, o Owner, name string) (*corev1.Secret, error) {
	got, err := w.Secrets.Secrets(o.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at Secret %s: %s", name, reasonOf(err))
	}
	return got, nil
}

// found makes a Secret that does not exist. By Create, so that who made it is certain.
func (w *Writer) found(ctx context.Context, d Desired) (Result, error) {
	d.made = true
	got, err := w.Secrets.Secrets(d.Owner.Namespace).Create(ctx, d.object(), metav1.CreateOptions{FieldManager: FieldManager(d.Owner)})
	if apierrors.IsAlreadyExists(err) {
		return Result{}, reconcile.Again(errors.New("the Secret was made meanwhile"))
	}
	if err != nil {
		return Result{}, refused(d, err)
	}
	return Result{State: stateOf(got), Wrote: true}, nil
}

// mayShare refuses what shareRefusal does, and what this install does not allow.
func (w *Writer) mayShare(ctx context.Context, d Desired, got *corev1.Secret) error {
	if err := shareRefusal(d, got); err != nil {
		return err
	}
	if stand(got, d.Owner) == previous {
		if _, err := w.leave(ctx, d.Owner, partial(got)); err != nil {
			return err
		}
		return reconcile.Again(errors.New("the Secret was let go by an earlier object of this name"))
	}
	d.Type = got.Type
	return w.Rules.Where(d)
}

// shareRefusal refuses Secrets in which there is no room beside the owner, and what only a replacement could change.
func shareRefusal(d Desired, got *corev1.Secret) error {
	ref := metav1.GetControllerOfNoCopy(got)
	switch {
	case got.DeletionTimestamp != nil:
		return beingDeleted(d)
	case stand(got, d.Owner) == previous:
		return nil
	case ref != nil && ref.APIVersion == v1alpha1.GroupVersion.String() && ref.UID != d.Owner.UID:
		return noRoom("Secret %s belongs to %s %s alone; set spec.target.mode to Shared there, or choose another spec.target.name", d.Name, ref.Kind, ref.Name)
	case got.Immutable != nil && *got.Immutable:
		return noRoom("Secret %s is immutable, and a Shared target is never replaced; delete it, or choose another spec.target.name", d.Name)
	case d.Type != "" && got.Type != "" && got.Type != d.Type: // of metadata alone the type is not known
		return noRoom("Secret %s is of type %s and not %s, and a Shared target is never replaced; change spec.target.type, or choose another spec.target.name", d.Name, got.Type, d.Type)
	}
	return nil
}

func noRoom(format string, args ...any) error {
	return reconcile.StalledFor(v1alpha1.ReasonConflict, conflictRecheck, fmt.Errorf(format, args...))
}

func partial(s *corev1.Secret) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: s.ObjectMeta}
}

// made tells whether the operator made the Secret: it says so, or it was ours alone before.
func made(got *corev1.Secret, o Owner) bool {
	return got.Annotations[v1alpha1.AnnotationMade] == "true" || stand(got, o) == ours || o.Made != "" && got.UID == o.Made
}

// hasShare tells whether something in a Secret is ours beside others.
func hasShare(m metav1.Object, o Owner) bool {
	if _, marked := listed(m, KeysAnnotation(o)); marked {
		return true
	}
	return stand(m, o) == foreign && len(byManager(holdings(m), FieldManager(o)).data) > 0
}

// put applies what is ours, and takes away what an apply does not: keys that somebody edited after us, what our
// Create left, and an offer that is used up.
func (w *Writer) put(ctx context.Context, d Desired, got *corev1.Secret, surplus []string) (*corev1.Secret, error) {
	after, err := w.Secrets.Secrets(d.Owner.Namespace).Apply(ctx, applyConfig(d, stateOf(got)), metav1.ApplyOptions{FieldManager: FieldManager(d.Owner), Force: true})
	if err != nil {
		return nil, err
	}
	surplus = slices.DeleteFunc(surplus, func(k string) bool { _, there := after.Data[k]; return !there })
	p := cleanse(d, after, surplus)
	if after.Annotations[v1alpha1.AnnotationAdopt] == d.Owner.Name {
		p.drop("annotations", v1alpha1.AnnotationAdopt)
	}
	if p.empty() {
		return after, nil
	}
	return w.merge(ctx, d.Owner, after, p)
}

func sharingFailed(d Desired, err error) error {
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return reconcile.Again(errors.New("the Secret changed since it was read"))
	case immutableField(err):
		return noRoom("Secret %s became immutable, and a Shared target is never replaced; delete it, or choose another spec.target.name", d.Name)
	}
	return refused(d, err)
}

// reclaim lets an owner whose target is no longer Shared have it alone, if it is in fact alone.
func (w *Writer) reclaim(ctx context.Context, d Desired) (State, error) {
	got, err := w.whole(ctx, d.Owner, d.Name)
	if err != nil {
		return State{}, err
	}
	if got == nil {
		return State{}, reconcile.Again(errors.New("the Secret came and went"))
	}
	return stateOf(got), reclaimRefusal(d, got)
}

// reclaimRefusal is why a Secret that was Shared cannot be its owner's alone, nil if it can.
func reclaimRefusal(d Desired, got *corev1.Secret) error {
	s := look(got, d.Owner)
	if foreign := s.foreign(got); len(foreign) > 0 || len(s.others) > 0 || !made(got, d.Owner) {
		return noRoom("Secret %s was Shared and is not this object's alone%s; to take it over with all that is in it: kubectl -n %s annotate secret %s %s=%s",
			d.Name, others(foreign), d.Owner.Namespace, d.Name, v1alpha1.AnnotationAdopt, d.Owner.Name)
	}
	return nil
}

// foreign are the keys that are not ours, or not ours alone.
func (s sharing) foreign(got *corev1.Secret) []string {
	var all []string
	owned := s.owned()
	for k := range got.Data {
		if !owned[k] || s.coheld(k) {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}

// others names the first keys of a list that is not empty.
func others(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return ": others have " + strings.Join(keys[:min(3, len(keys))], ", ")
}

// part takes what is ours out of a Shared Secret, or only our marks off it.
func (w *Writer) part(ctx context.Context, o Owner, name string, retain bool) error {
	got, err := w.whole(ctx, o, name)
	if err != nil || got == nil {
		return err
	}
	s := look(got, o)
	if !retain && len(s.foreign(got)) == 0 && len(s.others) == 0 && made(got, o) {
		err = w.Secrets.Secrets(o.Namespace).Delete(ctx, name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &got.UID, ResourceVersion: &got.ResourceVersion}})
	} else {
		_, err = w.merge(ctx, o, got, s.parting(got, retain))
	}
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Again(errors.New("the Secret changed while it was released"))
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("release Secret %s: %s", name, reasonOf(err))
	}
	w.Memory.Forget(o)
	return nil
}

// parting is the patch after which nothing says any more that we were here.
func (s sharing) parting(got *corev1.Secret, retain bool) mergePatch {
	p := mergePatch{meta: map[string]any{}, data: map[string]any{}}
	p.meta["managedFields"] = without(got.ManagedFields, s.mine.manager)
	p.drop("annotations", KeysAnnotation(s.owner))
	foreign := s.foreign(got)
	if len(s.others) == 0 { // nobody of us is left
		p.drop("labels", v1alpha1.LabelManaged)
		p.drop("annotations", v1alpha1.AnnotationMade)
		if retain && len(foreign) == 0 {
			p.meta["annotations"].(map[string]any)[v1alpha1.AnnotationAdopt] = s.owner.Name
		}
	}
	if retain {
		return p
	}
	for k := range s.owned() {
		if !slices.Contains(foreign, k) {
			p.data[k] = nil
		}
	}
	for _, m := range s.metadata(Desired{}) {
		s.dropOurs(p, m)
	}
	return p
}

// dropOurs removes the labels or annotations that nobody else holds.
func (s sharing) dropOurs(p mergePatch, m metadatum) {
	for n := range m.of(s.mine) {
		if n != v1alpha1.LabelManaged && holder(s.all, s.mine.manager, func(h holding) bool { return m.of(h)[n] }) == "" {
			p.drop(strings.TrimPrefix(m.field, "metadata."), n)
		}
	}
}

// without are managedFields without a manager's. Kubernetes takes an empty list for a client that knows nothing of
// managedFields, and one empty entry for the wish to have none.
func without(all []metav1.ManagedFieldsEntry, manager string) []metav1.ManagedFieldsEntry {
	rest := slices.DeleteFunc(slices.Clone(all), func(e metav1.ManagedFieldsEntry) bool { return e.Manager == manager })
	if len(rest) == 0 {
		return []metav1.ManagedFieldsEntry{{}}
	}
	return rest
}
