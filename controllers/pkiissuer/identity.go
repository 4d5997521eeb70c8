package pkiissuer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// account decides whose rights in the vault serve a request. from is the namespace that it comes from: of a
// CertificateRequest its own, of a CertificateSigningRequest that of the ServiceAccount who made it, "" for anybody
// else. A PKIIssuer uses a ServiceAccount of its own namespace. A ClusterPKIIssuer uses one of the namespace that asks
// (Requester), so that it lends nobody the rights of another namespace, or its one ServiceAccount for the namespaces
// that it names (Issuer).
func account(i issuer, from string) (types.NamespacedName, error) {
	c, cluster := i.(*v1alpha1.ClusterPKIIssuer)
	if !cluster {
		return types.NamespacedName{Namespace: i.GetNamespace(), Name: i.(*v1alpha1.PKIIssuer).ServiceAccount()}, nil
	}
	if c.Spec.Identity.Mode == v1alpha1.RequesterIdentity {
		return ofRequester(c, from)
	}
	return ofIssuer(c, from)
}

func ofRequester(c *v1alpha1.ClusterPKIIssuer, from string) (types.NamespacedName, error) {
	if from == "" {
		return types.NamespacedName{}, reconcile.Stalled(ReasonNotServed, fmt.Errorf(
			"%s %s uses the ServiceAccount of the requester's namespace, and the requester is no ServiceAccount; ask as one, or use an issuer of mode Issuer", KindCluster, c.Name))
	}
	name := c.Spec.Identity.ServiceAccountName
	if name == "" {
		name = "default"
	}
	return types.NamespacedName{Namespace: from, Name: name}, nil
}

func ofIssuer(c *v1alpha1.ClusterPKIIssuer, from string) (types.NamespacedName, error) {
	ref, allowed := c.Spec.Identity.ServiceAccountRef, c.Spec.Identity.AllowedNamespaces
	if ref == nil {
		return types.NamespacedName{}, reconcile.Stalled(v1alpha1.ReasonInvalidSpec, errors.New("spec.identity.serviceAccountRef is required with mode Issuer"))
	}
	named := from != "" && slices.Contains(allowed, v1alpha1.NamespaceChoice(from))
	if !named && !slices.Contains(allowed, v1alpha1.AllNamespaces) {
		return types.NamespacedName{}, reconcile.Stalled(ReasonNotServed, fmt.Errorf(
			"%s %s does not serve %s; let its spec.identity.allowedNamespaces name it", KindCluster, c.Name, whence(from)))
	}
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, nil
}

func whence(namespace string) string {
	if namespace == "" {
		return "requesters that are no ServiceAccount"
	}
	return "namespace " + namespace
}

// namespaceOf reads the namespace of a ServiceAccount from the name that the API server knows it by, "" for any other
// user.
func namespaceOf(user string) string {
	rest, ok := strings.CutPrefix(user, "system:serviceaccount:")
	namespace, name, both := strings.Cut(rest, ":")
	if !ok || !both || namespace == "" || name == "" || strings.Contains(name, ":") {
		return ""
	}
	return namespace
}
