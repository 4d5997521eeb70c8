package certificates

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Keys of the Secrets beside tls.crt and tls.key.
const (
	KeyBundle   = "ca.crt" // every authority that is to be trusted, in PEM form
	keyNextCert = "next.crt"
	keyNextKey  = "next.key"
)

// authority is what the authority's Secret holds.
type authority struct {
	current pair
	next    *pair // made and known, does not sign yet
	trusted []*x509.Certificate
}

func authorityName(namespace string) string { return "ScaiVault authority of " + namespace }

func newAuthorityPair(now time.Time, namespace string) (pair, error) {
	t := template(now, authorityName(namespace), authorityLife)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	return issue(t, nil)
}

func parseAuthority(s *corev1.Secret) (authority, error) {
	current, err := parsePair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return authority{}, fmt.Errorf("Secret %s %w", s.Name, err) //nolint:staticcheck // Secret is the kind
	}
	a := authority{current: current, trusted: parseBundle(s.Data[KeyBundle])}
	if len(s.Data[keyNextCert]) > 0 {
		next, err := parsePair(s.Data[keyNextCert], s.Data[keyNextKey])
		if err != nil {
			return authority{}, fmt.Errorf("Secret %s, %s, %w", s.Name, keyNextCert, err) //nolint:staticcheck // Secret is the kind
		}
		a.next = &next
	}
	return a.trusting(a.current.cert), nil
}

// trusting adds a certificate to those that are trusted.
func (a authority) trusting(c *x509.Certificate) authority {
	if !slices.ContainsFunc(a.trusted, c.Equal) {
		a.trusted = append([]*x509.Certificate{c}, a.trusted...)
	}
	return a
}

// take does one turn.
func (a authority) take(t turn, now time.Time, namespace string) (authority, error) {
	switch t {
	case stage:
		next, err := newAuthorityPair(now, namespace)
		if err != nil {
			return authority{}, err
		}
		a.next = &next
		a = a.trusting(next.cert)
	case promote:
		a.current, a.next = *a.next, nil
	}
	a.trusted = slices.DeleteFunc(slices.Clone(a.trusted), func(c *x509.Certificate) bool {
		return now.After(c.NotAfter) && !c.Equal(a.current.cert)
	})
	return a, nil
}

// data is the Secret's content.
func (a authority) data() (map[string][]byte, error) {
	cert, key, err := a.current.pem()
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key, KeyBundle: bundle(a.trusted)}
	if a.next == nil {
		return out, nil
	}
	out[keyNextCert], out[keyNextKey], err = a.next.pem()
	return out, err
}

// next turn of the authority.
func (a authority) turn(now time.Time) turn {
	var next *x509.Certificate
	if a.next != nil {
		next = a.next.cert
	}
	return turnOf(now, a.current.cert, next, a.trusted)
}
