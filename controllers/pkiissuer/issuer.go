package pkiissuer

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/internal/schedule"
)

// Kinds of issuers, as a request names them.
const (
	KindNamespaced = "PKIIssuer"
	KindCluster    = "ClusterPKIIssuer"
)

// issuer is a PKIIssuer or a ClusterPKIIssuer.
type issuer interface {
	reconcile.Object
	Terms() *v1alpha1.IssuerTerms
	IssuerStatus() *v1alpha1.IssuerStatus
}

// reference names an issuer; namespace is empty of a ClusterPKIIssuer.
type reference struct{ namespace, name string }

func (r reference) String() string {
	if r.namespace == "" {
		return KindCluster + " " + r.name
	}
	return KindNamespaced + " " + r.namespace + "/" + r.name
}

func (r reference) key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.namespace, Name: r.name}
}

// object is an empty issuer of the kind that is named.
func (r reference) object() issuer {
	if r.namespace == "" {
		return &v1alpha1.ClusterPKIIssuer{}
	}
	return &v1alpha1.PKIIssuer{}
}

// find reads an issuer.
func (r reference) find(ctx context.Context, from kube.Reader) (issuer, error) {
	obj := r.object()
	err := from.Get(ctx, r.key(), obj)
	switch {
	case apierrors.IsNotFound(err):
		return nil, reconcile.Waiting(ReasonIssuerMissing, lookAgain, fmt.Errorf("there is no %s; create it, or correct the reference", r))
	case err != nil:
		return nil, fmt.Errorf("look at %s: %w", r, err)
	case !obj.GetDeletionTimestamp().IsZero():
		return nil, reconcile.Waiting(ReasonIssuerMissing, lookAgain, fmt.Errorf("%s is being deleted", r))
	}
	return obj, nil
}

// longest is the most that an issuer gives; 0 leaves it to the role.
func longest(terms *v1alpha1.IssuerTerms) (time.Duration, error) {
	if terms.MaxDuration == "" {
		return 0, nil
	}
	d, err := schedule.ParseDuration(string(terms.MaxDuration))
	if err != nil {
		return 0, reconcile.Stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.maxDuration: %w; correct it", err))
	}
	return d, nil
}

// life is how long a certificate is asked to live: as long as was asked for, and not longer than the issuer gives. 0
// leaves it to the role.
func life(asked, longest time.Duration) time.Duration {
	if longest == 0 || asked > 0 && asked < longest {
		return asked
	}
	return longest
}
