package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// purge removes what an apply cannot: keys that somebody else added, and what we wrote with Create,
// which stands under another operation in managedFields and so outlives our applies. It is needed
// after the first apply and after drift, and writes nothing otherwise.
func (w *Writer) purge(ctx context.Context, d Desired, got *corev1.Secret) (State, error) {
	var surplus []string
	for k := range got.Data {
		if _, ok := d.Data[k]; !ok {
			surplus = append(surplus, k)
		}
	}
	patch := cleanse(d, got, surplus)
	if patch.empty() {
		return stateOf(got), nil
	}
	after, err := w.merge(ctx, d.Owner, got, patch)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return State{}, w.outdated(ctx, d)
	}
	if err != nil {
		return State{}, refused(d, err)
	}
	return w.Memory.put(d.Owner, after), nil
}

// mergePatch is a JSON merge patch of a Secret; a nil value removes.
type mergePatch struct{ meta, data map[string]any }

func (p mergePatch) empty() bool { return len(p.meta) == 0 && len(p.data) == 0 }

// drop removes labels, annotations, or whatever else of metadata is a map.
func (p mergePatch) drop(field, name string) {
	all, ok := p.meta[field].(map[string]any)
	if !ok {
		all = map[string]any{}
		p.meta[field] = all
	}
	all[name] = nil
}

// merge patches a Secret as long as it is what was read.
func (w *Writer) merge(ctx context.Context, o Owner, read metav1.Object, p mergePatch) (*corev1.Secret, error) {
	p.meta["uid"], p.meta["resourceVersion"] = read.GetUID(), read.GetResourceVersion()
	body := map[string]any{"metadata": p.meta}
	if len(p.data) > 0 {
		body["data"] = p.data
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return w.Secrets.Secrets(o.Namespace).Patch(ctx, read.GetName(), types.MergePatchType, raw, metav1.PatchOptions{FieldManager: FieldManager(o)})
}

// cleanse removes keys, what our Create left, and owner references that should not be there.
func cleanse(d Desired, got *corev1.Secret, surplus []string) mergePatch {
	p := mergePatch{meta: map[string]any{}, data: map[string]any{}}
	for _, k := range surplus {
		p.data[k] = nil
	}
	if i := createdEntry(got, FieldManager(d.Owner)); i >= 0 {
		created := held(got.ManagedFields[i])
		p.meta["managedFields"] = slices.Delete(slices.Clone(got.ManagedFields), i, i+1)
		p.dropUnwanted("labels", created.labels, d.labels())
		p.dropUnwanted("annotations", created.notes, d.annotations())
	}
	if refs, changed := withoutOurs(d, got.OwnerReferences); changed {
		p.meta["ownerReferences"] = refs
	}
	return p
}

// createdEntry is the index of what our Create left in managedFields, -1 if it is gone.
func createdEntry(got *corev1.Secret, manager string) int {
	return slices.IndexFunc(got.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == manager && e.Operation == metav1.ManagedFieldsOperationUpdate && e.FieldsV1 != nil
	})
}

// dropUnwanted removes the labels or annotations that our Create wrote and that are no longer wanted.
func (p mergePatch) dropUnwanted(field string, made names, wanted map[string]string) {
	for name := range made {
		if _, keep := wanted[name]; !keep {
			p.drop(field, name)
		}
	}
}

// withoutOurs drops owner references of our kind and name that should not be there: our own when the
// Secret is to be retained, and those of earlier objects of our name.
func withoutOurs(d Desired, refs []metav1.OwnerReference) ([]metav1.OwnerReference, bool) {
	kept := slices.DeleteFunc(slices.Clone(refs), func(r metav1.OwnerReference) bool {
		mine := r.APIVersion == v1alpha1.GroupVersion.String() && r.Kind == d.Owner.Kind && r.Name == d.Owner.Name
		return mine && (d.Retain || d.Shared || r.UID != d.Owner.UID)
	})
	return kept, len(kept) != len(refs)
}

// leave removes our owner reference and offers the Secret to an owner of our name.
func (w *Writer) leave(ctx context.Context, o Owner, m *metav1.PartialObjectMetadata) (State, error) {
	refs, _ := withoutOurs(Desired{Owner: o, Retain: true}, m.OwnerReferences)
	got, err := w.merge(ctx, o, m, mergePatch{meta: map[string]any{
		"ownerReferences": refs, "annotations": map[string]string{v1alpha1.AnnotationAdopt: o.Name},
	}})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return State{}, reconcile.Again(errors.New("the Secret changed while it was released"))
	}
	if err != nil {
		return State{}, fmt.Errorf("release Secret %s: %s", m.Name, reasonOf(err))
	}
	w.Memory.Forget(o)
	return stateOf(got), nil
}
