package pkiissuer

import (
	"strings"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ownersOf starts the owner of everything in the vault that was signed for Certificates of a cluster.
func ownersOf(cluster string) string { return "k8s:" + cluster + "/" + cmapi.CertificateKind }

// ownerOf is the Certificate that had a request made, as the vault names owners; "" for a request of its own.
func ownerOf(cluster string, obj *cmapi.CertificateRequest) string {
	made := metav1.GetControllerOf(obj)
	if made == nil || made.Kind != cmapi.CertificateKind || made.APIVersion != cmapi.SchemeGroupVersion.String() {
		return ""
	}
	return strings.Join([]string{ownersOf(cluster), obj.Namespace, made.Name, string(made.UID)}, "/")
}

// certificateOf is the Certificate of this cluster that an owner names.
func certificateOf(cluster, owner string) (key types.NamespacedName, ok bool) {
	rest, ours := strings.CutPrefix(owner, ownersOf(cluster)+"/")
	parts := strings.Split(rest, "/")
	if !ours || len(parts) != 3 {
		return key, false
	}
	return types.NamespacedName{Namespace: parts[0], Name: parts[1]}, true
}
