package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	at := State{Name: got.Name, UID: got.UID, ResourceVersion: got.ResourceVersion}
	patch := surplus(d, got)
	if patch == nil {
		return at, nil
	}
	raw, err := json.Marshal(patch)
	if err != nil {
		return at, err
	}
	got, err = w.Secrets.Secrets(d.Owner.Namespace).Patch(ctx, d.Name, types.MergePatchType, raw, metav1.PatchOptions{FieldManager: FieldManager(d.Owner)})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return State{}, w.outdated(ctx, d)
	}
	if err != nil {
		return State{}, refused(d, err)
	}
	return w.Memory.put(d.Owner, got), nil
}

// surplus is the merge patch that leaves only what is desired, nil if that is so already.
func surplus(d Desired, got *corev1.Secret) map[string]any {
	meta := map[string]any{}
	data := map[string]any{}
	for k := range got.Data {
		if _, ok := d.Data[k]; !ok {
			data[k] = nil
		}
	}
	if i := createdEntry(got, FieldManager(d.Owner)); i >= 0 {
		created := got.ManagedFields[i]
		meta["managedFields"] = slices.Delete(slices.Clone(got.ManagedFields), i, i+1)
		dropNames(meta, "labels", created, d.labels())
		dropNames(meta, "annotations", created, d.annotations())
	}
	if refs, changed := withoutOurs(d, got.OwnerReferences); changed {
		meta["ownerReferences"] = refs
	}
	if len(meta) == 0 && len(data) == 0 {
		return nil
	}
	meta["uid"], meta["resourceVersion"] = got.UID, got.ResourceVersion
	patch := map[string]any{"metadata": meta}
	if len(data) > 0 {
		patch["data"] = data
	}
	return patch
}

// createdEntry is the index of what our Create left in managedFields, -1 if it is gone.
func createdEntry(got *corev1.Secret, manager string) int {
	return slices.IndexFunc(got.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == manager && e.Operation == metav1.ManagedFieldsOperationUpdate && e.FieldsV1 != nil
	})
}

// dropNames nulls the labels or annotations that our Create wrote and that are no longer wanted.
func dropNames(meta map[string]any, field string, e metav1.ManagedFieldsEntry, wanted map[string]string) {
	var set struct {
		Meta map[string]map[string]json.RawMessage `json:"f:metadata"`
	}
	if json.Unmarshal(e.FieldsV1.GetRawBytes(), &set) != nil { // not the shape that Kubernetes writes: leave everything
		return
	}
	drop := map[string]any{}
	for f := range set.Meta["f:"+field] {
		name, isField := strings.CutPrefix(f, "f:")
		if _, keep := wanted[name]; isField && !keep {
			drop[name] = nil
		}
	}
	if len(drop) > 0 {
		meta[field] = drop
	}
}

// withoutOurs drops owner references of our kind and name that should not be there: our own when the
// Secret is to be retained, and those of earlier objects of our name.
func withoutOurs(d Desired, refs []metav1.OwnerReference) ([]metav1.OwnerReference, bool) {
	kept := slices.DeleteFunc(slices.Clone(refs), func(r metav1.OwnerReference) bool {
		mine := r.APIVersion == v1alpha1.GroupVersion.String() && r.Kind == d.Owner.Kind && r.Name == d.Owner.Name
		return mine && (d.Retain || r.UID != d.Owner.UID)
	})
	return kept, len(kept) != len(refs)
}

// leave removes our owner reference and offers the Secret to an owner of our name.
func (w *Writer) leave(ctx context.Context, o Owner, m *metav1.PartialObjectMetadata) (State, error) {
	refs, _ := withoutOurs(Desired{Owner: o, Retain: true}, m.OwnerReferences)
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": m.UID, "resourceVersion": m.ResourceVersion, "ownerReferences": refs,
		"annotations": map[string]string{v1alpha1.AnnotationAdopt: o.Name},
	}})
	if err != nil {
		return State{}, err
	}
	got, err := w.Secrets.Secrets(o.Namespace).Patch(ctx, m.Name, types.MergePatchType, raw, metav1.PatchOptions{FieldManager: FieldManager(o)})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return State{}, reconcile.Again(errors.New("the Secret changed while it was released"))
	}
	if err != nil {
		return State{}, fmt.Errorf("release Secret %s: %s", m.Name, reasonOf(err))
	}
	w.Memory.Forget(o)
	return State{Name: got.Name, UID: got.UID, ResourceVersion: got.ResourceVersion}, nil
}
