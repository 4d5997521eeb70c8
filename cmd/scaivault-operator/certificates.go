package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	caLife      = 10 * 365 * 24 * time.Hour
	servingLife = 365 * 24 * time.Hour
)

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificates makes sure that the server has a serving certificate of our authority, and returns the
// authority in PEM form.
func (b *bootstrap) certificates(ctx context.Context) ([]byte, error) {
	ca, err := b.authority(ctx)
	if err != nil {
		return nil, err
	}
	caPEM := encode("CERTIFICATE", ca.cert.Raw)
	have, err := b.get(ctx, secretTLS)
	if err != nil || !b.old(have, ca) {
		return caPEM, err
	}
	p, err := issue(b.serving(), &ca)
	if err != nil {
		return nil, err
	}
	return caPEM, b.put(ctx, secretTLS, have, p, caPEM)
}

// authority returns the authority, and makes it the first time.
func (b *bootstrap) authority(ctx context.Context) (pair, error) {
	have, err := b.get(ctx, secretCA)
	if err != nil {
		return pair{}, err
	}
	if have != nil {
		return parse(have)
	}
	t := b.template("ScaiVault authority of "+b.ns, caLife)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	p, err := issue(t, nil)
	if err != nil {
		return pair{}, err
	}
	return p, b.put(ctx, secretCA, nil, p, encode("CERTIFICATE", p.cert.Raw))
}

// old tells whether the serving certificate is missing, not of our authority, or in the last third of its life.
func (b *bootstrap) old(have *corev1.Secret, ca pair) bool {
	if have == nil {
		return true
	}
	p, err := parse(have)
	if err != nil || p.cert.CheckSignatureFrom(ca.cert) != nil {
		return true
	}
	life := p.cert.NotAfter.Sub(p.cert.NotBefore)
	return b.now().After(p.cert.NotAfter.Add(-life / 3))
}

func (b *bootstrap) serving() *x509.Certificate {
	t := b.template(b.server, servingLife)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	host := b.server + "." + b.ns
	t.DNSNames = []string{b.server, host, host + ".svc", host + ".svc.cluster.local", "localhost"}
	return t
}

func (b *bootstrap) template(name string, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: b.now().Add(-5 * time.Minute), NotAfter: b.now().Add(life),
	}
}

// issue signs t by ca, or by itself.
func issue(t *x509.Certificate, ca *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	parent, signer := t, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert: cert, key: key}, err
}

// put writes a certificate Secret, new or over an older one.
func (b *bootstrap) put(ctx context.Context, name string, have *corev1.Secret, p pair, ca []byte) error {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return err
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{
		corev1.TLSCertKey: encode("CERTIFICATE", p.cert.Raw), corev1.TLSPrivateKeyKey: encode("PRIVATE KEY", der), fileCA: ca,
	}}
	if have == nil {
		_, err = b.secrets.Create(ctx, s, metav1.CreateOptions{})
	} else {
		s.ResourceVersion = have.ResourceVersion
		_, err = b.secrets.Update(ctx, s, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write Secret %s: %s", name, apierrors.ReasonForError(err))
	}
	return b.say("Secret %s holds a certificate until %s", name, p.cert.NotAfter.UTC().Format(time.DateOnly))
}

func parse(s *corev1.Secret) (pair, error) {
	both, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return pair{}, fmt.Errorf("Secret %s holds no certificate with its key", s.Name) //nolint:staticcheck // Secret is the kind
	}
	key, ok := both.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return pair{}, fmt.Errorf("Secret %s holds a key of another kind than ECDSA", s.Name) //nolint:staticcheck // Secret is the kind
	}
	return pair{cert: both.Leaf, key: key}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pool(ca []byte) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(ca) {
		return nil, errors.New("the authority is not a certificate in PEM form")
	}
	return p, nil
}
