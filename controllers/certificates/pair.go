package certificates

import (
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
)

const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
)

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// template is a certificate of a name from now on.
func template(now time.Time, name string, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-backdated), NotAfter: now.Add(life),
	}
}

// issue signs t by an authority, or by itself. What an authority signs does not outlive it.
func issue(t *x509.Certificate, authority *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	parent, signer := t, key
	if authority != nil {
		parent, signer = authority.cert, authority.key
		if t.NotAfter.After(parent.NotAfter) {
			t.NotAfter = parent.NotAfter
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert: cert, key: key}, err
}

// pem gives certificate and key in PEM form.
func (p pair) pem() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, nil, err
	}
	return encode(blockCertificate, p.cert.Raw), encode(blockKey, der), nil
}

// parsePair reads a certificate with its key. Errors hold nothing of them.
func parsePair(cert, key []byte) (pair, error) {
	both, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return pair{}, errors.New("holds no certificate with its key")
	}
	ec, ok := both.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return pair{}, errors.New("holds a key of another kind than ECDSA")
	}
	return pair{cert: both.Leaf, key: ec}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// bundle writes certificates one after the other.
func bundle(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, encode(blockCertificate, c.Raw)...)
	}
	return out
}

// parseBundle reads certificates; what is none is left out.
func parseBundle(text []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == blockCertificate {
			out = append(out, c)
		}
	}
}
