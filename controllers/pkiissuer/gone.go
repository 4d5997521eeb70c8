package pkiissuer

import (
	"context"
	"errors"
	"fmt"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Sweep notes all Certificates for which something was signed that is good still, and that are gone: they went while no
// operator looked.
func (r *Revoker) Sweep(ctx context.Context) error {
	if err := r.Guard.Check(ctx); err != nil {
		return err
	}
	var there names
	return r.each(ctx, ownersOf(r.Cluster), func(c vaultapi.Certificate) (err error) {
		key, ours := certificateOf(r.Cluster, c.Owner)
		if !ours || !r.Serves(key.Namespace) {
			return nil
		}
		if there, err = r.in(ctx, there, key.Namespace); err == nil && !there.of[key.Name] {
			r.Gone(c.Owner)
		}
		return err
	})
}

// names are the Certificates of a namespace.
type names struct {
	namespace string
	of        map[string]bool
}

// in lists the Certificates of a namespace, unless they are what was listed last: owners come by namespace.
func (r *Revoker) in(ctx context.Context, last names, namespace string) (names, error) {
	if last.of != nil && last.namespace == namespace {
		return last, nil
	}
	n := names{namespace: namespace, of: map[string]bool{}}
	l := &metav1.PartialObjectMetadataList{}
	l.SetGroupVersionKind(cmapi.SchemeGroupVersion.WithKind(cmapi.CertificateKind + "List"))
	for {
		err := r.Live.List(ctx, l, kube.InNamespace(namespace), kube.Limit(certificatePage), kube.Continue(l.Continue))
		if unknownKind(err) {
			return n, errUnknownKind()
		}
		if err != nil {
			return n, fmt.Errorf("list the Certificates of namespace %s: %w", namespace, err)
		}
		for i := range l.Items {
			n.of[l.Items[i].Name] = true
		}
		if l.Continue == "" {
			return n, nil
		}
	}
}

// isGone asks the API server itself. One that was made anew under its name is not gone: it may use the same Secret. And
// none is while the kind is missing, which is an error, and all graces begin anew: whoever removes cert-manager does not
// mean every certificate.
func (r *Revoker) isGone(ctx context.Context, key types.NamespacedName) (bool, error) {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(cmapi.SchemeGroupVersion.WithKind(cmapi.CertificateKind))
	err := r.Live.Get(ctx, key, m)
	if unknownKind(err) {
		r.forgetAll()
		return false, errUnknownKind()
	}
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether Certificate %s is gone: %w", key, err)
	}
	return false, nil
}

func errUnknownKind() error { return errors.New("the cluster does not know Certificates") }

// unknownKind tells whether it is the kind that is not found, and not the object.
func unknownKind(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}
