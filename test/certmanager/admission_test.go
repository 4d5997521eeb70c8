package certmanager_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/test/certmanager"
)

// Who makes a request cannot say that he is somebody else, nor approve it himself, though he may write its status. A
// request to an issuer that is not cert-manager's own waits, until the stock approver has the right for that kind.
func TestWhoAsksAndWhoApproves(t *testing.T) {
	w := newWorld(t)
	w.plane.InstallCRDs(t) // a kind that exists and is no issuer of cert-manager's
	mallory := w.mallory()
	request := w.object("CertificateRequest", "mine", map[string]any{
		"request": csr(t), "username": certmanager.User(),
		"issuerRef": map[string]any{"group": "scaivault.io", "kind": "VaultSecret", "name": "any"},
	})
	w.must(mallory.Create(t.Context(), request))
	if got := text(request, "spec", "username"); got != "mallory" {
		t.Errorf("the request says that %q made it", got)
	}
	err := mallory.Status().Patch(t.Context(), request, approval())
	if err == nil || !strings.Contains(err.Error(), "does not have permissions to set approved/denied conditions") {
		t.Fatalf("approved by who made it: %v", err)
	}

	w.until("the stock approver is refused", func() error {
		log, err := os.ReadFile(filepath.Join(w.plane.Dir, "cert-manager-controller.log"))
		if err == nil && !strings.Contains(string(log), "does not have permissions to set approved/denied conditions") {
			err = errors.New("its log says nothing of it")
		}
		return err
	})

	w.mayApprove("vaultsecrets.scaivault.io/*")
	w.until("a request that may be approved", func() error {
		o, err := w.get("CertificateRequest", "mine")
		if err == nil && condition(o, "Approved") != "True/cert-manager.io" {
			err = fmt.Errorf("the status is %v", o.Object["status"])
		}
		return err
	})
}

// When the test that started it has ended, nothing of cert-manager decides any more, and the next may start it again.
func TestEndsWithItsTest(t *testing.T) {
	var w *world
	short := map[string]any{
		"secretName": "tls", "dnsNames": []any{"a.example.com"}, "duration": "1m",
		"issuerRef": map[string]any{"name": "nobody"},
	}
	t.Run("running", func(t *testing.T) {
		w = newWorld(t)
		err := w.kube.Create(t.Context(), w.object("Certificate", "short", short))
		if err == nil || !strings.Contains(err.Error(), `"webhook.cert-manager.io" denied the request`) {
			t.Errorf("a Certificate of one minute: %v", err)
		}
	})
	w.T = t
	w.until("a Certificate that nobody looks at", func() error {
		return w.kube.Create(t.Context(), w.object("Certificate", "short", short))
	})
	left, err := w.plane.Kubectl(t.Context(), "get", "validatingwebhookconfigurations,mutatingwebhookconfigurations", "-o", "name")
	if err != nil || strings.Contains(left, "cert-manager") {
		t.Errorf("left: %s %v", left, err)
	}
}

// mayApprove gives cert-manager's approver the right for issuers of other groups. kubectl cannot write it, because no
// API server knows the resource "signers".
func (w *world) mayApprove(signers string) {
	w.Helper()
	name := metav1.ObjectMeta{Name: "approve-" + w.ns}
	w.must(w.kube.Create(w.Context(), &rbacv1.ClusterRole{ObjectMeta: name, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"cert-manager.io"}, Resources: []string{"signers"}, ResourceNames: []string{signers}, Verbs: []string{"approve"},
	}}}))
	w.must(w.kube.Create(w.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: certmanager.Namespace, Name: certmanager.Account}},
	}))
}

func (w *world) kubectl(args ...string) {
	w.Helper()
	_, err := w.plane.Kubectl(w.Context(), args...)
	w.must(err)
}

// mallory may do all with requests, their status too.
func (w *world) mallory() kube.Client {
	w.Helper()
	kubeconfig, err := w.plane.User("mallory")
	w.must(err)
	w.kubectl("-n", w.ns, "create", "role", "requests", "--verb=*",
		"--resource=certificaterequests.cert-manager.io,certificaterequests.cert-manager.io/status")
	w.kubectl("-n", w.ns, "create", "rolebinding", "requests", "--role=requests", "--user=mallory")
	return w.client(kubeconfig)
}

func approval() kube.Patch {
	o := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{map[string]any{
		"type": "Approved", "status": "True", "reason": "Mallory", "message": "", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
	}}}}}
	raw, _ := o.MarshalJSON()
	return kube.RawPatch("application/merge-patch+json", raw)
}

// csr is a request for web.example.com as the field of a CertificateRequest holds it.
func csr(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"web.example.com"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}
