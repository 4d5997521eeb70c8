package target

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

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
		if _, shared := listed(m, KeysAnnotation(o)); m.Name == recorded || !shared && !metav1.IsControlledBy(m, &metav1.ObjectMeta{UID: o.UID}) {
			continue
		}
		wrote, err := w.wrote(ctx, o, m.Name)
		if err != nil {
			return nil, err
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
