package pkiissuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

var now = time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC)

func key(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// csr is a request in PEM for web.example.com.
func csr(t *testing.T, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"web.example.com"}}, k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// ca is an authority of the tests.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// authority makes one; parent nil signs itself.
func authority(t *testing.T, name string, parent *ca) *ca {
	t.Helper()
	a := &ca{key: key(t)}
	draft := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name)) + 1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	by := parent
	if by == nil {
		by = &ca{cert: draft, key: a.key}
	}
	a.cert = sealed(t, draft, by, &a.key.PublicKey)
	return a
}

func sealed(t *testing.T, draft *x509.Certificate, by *ca, public *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, draft, by.cert, public, by.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leaf is a certificate of web.example.com that lives until then.
func (a *ca) leaf(t *testing.T, public *ecdsa.PublicKey, until time.Time) *x509.Certificate {
	t.Helper()
	return sealed(t, &x509.Certificate{
		SerialNumber: big.NewInt(77), DNSNames: []string{"web.example.com"}, NotBefore: now.Add(-2 * time.Hour), NotAfter: until,
	}, a, public)
}

func text(all ...*x509.Certificate) string {
	s := ""
	for _, c := range all {
		s += certs.EncodeCertificates(c.Raw)
	}
	return s
}

func answer(leaf *x509.Certificate, above ...*x509.Certificate) *vaultapi.IssuedCertificate {
	return &vaultapi.IssuedCertificate{SerialNumber: "4D", Certificate: text(leaf), CAChainPEM: text(above...)}
}

func clusterIssuer(identity v1alpha1.IssuerIdentity) *v1alpha1.ClusterPKIIssuer {
	return &v1alpha1.ClusterPKIIssuer{ObjectMeta: metav1.ObjectMeta{Name: "corp"}, Spec: v1alpha1.ClusterPKIIssuerSpec{Identity: identity}}
}
