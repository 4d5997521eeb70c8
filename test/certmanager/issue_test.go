package certmanager_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/scailabs/scaivault/test/certmanager"
)

// A Certificate becomes a CertificateRequest that is approved and signed, and a Secret that TLS servers can use; when
// its time has come it is renewed, with a request and a key of its own, in the same Secret.
func TestIssueAndRenew(t *testing.T) {
	w := newWorld(t)
	roots := w.authority("corporate")
	w.create("Certificate", "web", map[string]any{
		"secretName": "web-tls", "dnsNames": []any{"web.example.com"}, "revisionHistoryLimit": int64(100),
		"duration": "1h", "renewBefore": "59m55s", // every five seconds
		"issuerRef": map[string]any{"name": "corporate", "kind": "Issuer"},
	})
	w.ready("web", 1)
	first, secret := w.served("web-tls", "web.example.com", roots), w.secret("web-tls")
	w.signed("web-1")

	w.ready("web", 2)
	w.signed("web-2")
	second := w.served("web-tls", "web.example.com", roots)
	if second.SerialNumber.Cmp(first.SerialNumber) == 0 || bytes.Equal(second.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		t.Errorf("certificate %s: its renewal %s has the same serial or key", first.SerialNumber, second.SerialNumber)
	}
	if again := w.secret("web-tls"); again.UID != secret.UID {
		t.Error("the Secret was replaced")
	}
}

// authority makes an Issuer of that name that signs with a certificate that signed itself.
func (w *world) authority(name string) *x509.CertPool {
	w.Helper()
	w.create("Issuer", "self", map[string]any{"selfSigned": map[string]any{}})
	w.create("Certificate", name, map[string]any{
		"isCA": true, "commonName": name, "secretName": name, "privateKey": map[string]any{"algorithm": "ECDSA", "size": int64(256)},
		"issuerRef": map[string]any{"name": "self", "kind": "Issuer"},
	})
	w.ready(name, 1)
	w.create("Issuer", name, map[string]any{"ca": map[string]any{"secretName": name}})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(w.secret(name).Data[corev1.TLSCertKey]) {
		w.Fatal("the authority's Secret holds no certificate")
	}
	return roots
}

// ready waits until a Certificate was issued that many times or more and is Ready.
func (w *world) ready(name string, revision int64) {
	w.Helper()
	w.until("Certificate "+name, func() error {
		o, err := w.get("Certificate", name)
		if err != nil {
			return err
		}
		got, _, _ := unstructured.NestedInt64(o.Object, "status", "revision")
		if condition(o, "Ready") != "True/Ready" || got < revision {
			return fmt.Errorf("Ready is %s and revision %d, want %d: %v", condition(o, "Ready"), got, revision, o.Object["status"])
		}
		return nil
	})
}

// signed wants a CertificateRequest to be cert-manager's own, approved by its approver, and signed.
func (w *world) signed(name string) {
	w.Helper()
	o, err := w.get("CertificateRequest", name)
	w.must(err)
	if got := condition(o, "Approved"); got != "True/cert-manager.io" {
		w.Errorf("%s: Approved is %q", name, got)
	}
	if got := condition(o, "Ready"); got != "True/Issued" {
		w.Errorf("%s: Ready is %q", name, got)
	}
	if got := text(o, "spec", "username"); got != certmanager.User() {
		w.Errorf("%s was made by %q, want %q", name, got, certmanager.User())
	}
}

// served wants a Secret to hold what a TLS server of that name needs, of those roots, and gives its certificate.
func (w *world) served(secret, name string, roots *x509.CertPool) *x509.Certificate {
	w.Helper()
	s := w.secret(secret)
	if s.Type != corev1.SecretTypeTLS || !strings.Contains(string(s.Data["ca.crt"]), "BEGIN CERTIFICATE") {
		w.Errorf("Secret %s is of type %s and has ca.crt of %d bytes", secret, s.Type, len(s.Data["ca.crt"]))
	}
	pair, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	w.must(err)
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
		w.Errorf("Secret %s: %v", secret, err)
	}
	return pair.Leaf
}
