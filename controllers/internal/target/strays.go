package target

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Depart gives up what an owner that is gone has in Shared Secrets: in those of some names, and in those that the
// watch shows. Only its kind, namespace and name are needed. Any other Secret goes or stays by its owner reference.
func (w *Writer) Depart(ctx context.Context, o Owner, names []string) error {
	strays, err := w.Strays(ctx, o, "")
	if err != nil {
		return err
	}
	all := append(strays, names...)
	slices.Sort(all)
	for _, name := range slices.Compact(all) {
		m, err := metadata(ctx, w.Live, o.Namespace, name)
		if err != nil {
			return err
		}
		if m == nil || !hasShare(m, o) {
			continue
		}
		if err := w.part(ctx, o, name, retained(m, KeysAnnotation(o))); err != nil {
			return err
		}
	}
	return nil
}

// ShareOwners are the names of those of a kind who have a share in a Secret that the watch shows, whether they live or
// not. Who holds nothing in managedFields any more is not found.
func ShareOwners(m metav1.Object, kind string) []string {
	if !IsShared(m) {
		return nil
	}
	var owners []string
	for _, e := range m.GetManagedFields() {
		if name, ours := strings.CutPrefix(e.Manager, FieldManager(Owner{Kind: kind})); ours && !slices.Contains(owners, name) {
			owners = append(owners, name)
		}
	}
	return owners
}

// Strays are the names of Secrets in which something was written for an owner, besides the one that its status
// records: an operator that ended after it wrote one told nobody. It looks at all Secrets of the namespace, as far as
// the watch shows.
func (w *Writer) Strays(ctx context.Context, o Owner, recorded string) ([]string, error) {
	l := &metav1.PartialObjectMetadataList{}
	l.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	err := w.Cached.List(ctx, l, client.InNamespace(o.Namespace), client.HasLabels{v1alpha1.LabelManaged}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("look for Secrets of an earlier name: %w", err)
	}
	var strays []string
	for i := range l.Items {
		m := &l.Items[i]
		_, shared := listed(m, KeysAnnotation(o))
		if m.Name == recorded || !shared && !metav1.IsControlledBy(m, &metav1.ObjectMeta{UID: o.UID}) {
			continue
		}
		wrote := shared
		if !wrote {
			if wrote, err = w.wrote(ctx, o, m.Name); err != nil {
				return nil, err
			}
		}
		if wrote {
			strays = append(strays, m.Name)
		}
	}
	return strays, nil
}

// wrote tells whether an owner's manager wrote to a Secret: anybody can put an owner reference on his own.
func (w *Writer) wrote(ctx context.Context, o Owner, name string) (bool, error) {
	m, err := metadata(ctx, w.Live, o.Namespace, name)
	if err != nil || m == nil {
		return false, err
	}
	return len(byManager(holdings(m), FieldManager(o)).data) > 0, nil
}
