package certs

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"time"
)

// CheckAuthority says what keeps a certificate that others made from being an authority's at a time: it must say that it
// is one, may sign certificates, be valid now, and have a key of a kind that this vault knows. "": nothing.
func CheckAuthority(c *x509.Certificate, now time.Time) string {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return "must be the certificate of an authority (basic constraints with CA true)"
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0: // 0: it does not say (RFC 5280, 4.2.1.3)
		return "must have the key usage to sign certificates"
	case now.After(c.NotAfter):
		return "expired at " + c.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(c.NotBefore):
		return "is not valid before " + c.NotBefore.UTC().Format(time.RFC3339)
	case len(c.UnhandledCriticalExtensions) > 0:
		return "has a critical extension that is not understood: " + c.UnhandledCriticalExtensions[0].String()
	case !strong(c.PublicKey):
		return "must have a key of RSA with 2048 bits or more, EC on P-256, P-384 or P-521, or Ed25519"
	}
	return ""
}

const leastRSA = 2048

func strong(public crypto.PublicKey) bool {
	spec := SpecOf(public)
	switch spec.Type {
	case RSA:
		key, ok := public.(*rsa.PublicKey)
		return ok && spec.Bits >= leastRSA && key.N.Bit(0) == 1
	case EC:
		return spec.Bits >= 256
	}
	return spec.Type == Ed25519
}

// PathLength is how many authorities may stand below c; limited is false where it does not say.
func PathLength(c *x509.Certificate) (length int, limited bool) {
	return c.MaxPathLen, c.MaxPathLen > 0 || c.MaxPathLen == 0 && c.MaxPathLenZero
}
