package revocation

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// Endpoints are the addresses that a certificate names for those who check it (RFC 5280, 4.2.1.13 and 4.2.2.1).
type Endpoints struct {
	CRL, OCSP, Issuer string // "": none
}

// EndpointsUnder gives the addresses of an authority's public routes under a server's public URL; "" gives none. They
// name the issuer's key, because an authority's key may be another later.
func EndpointsUnder(publicURL string) func(caID string, issuer *x509.Certificate) Endpoints {
	return func(caID string, issuer *x509.Certificate) Endpoints {
		if publicURL == "" {
			return Endpoints{}
		}
		base, key := strings.TrimRight(publicURL, "/")+"/v1/pki/ca/"+caID, "?key="+hex.EncodeToString(issuer.SubjectKeyId)
		return Endpoints{CRL: base + "/crl" + key, OCSP: base + "/ocsp", Issuer: base + "/certificate.der" + key}
	}
}

// CheckPublicURL checks a server's public URL: http or https, a host, perhaps a path, and nothing else. Lists and answers
// are signed, so plain http takes nothing from them, and many clients ask in no other way.
func CheckPublicURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(text) > 512 {
		return fmt.Errorf("%q is not http://host or https://host, perhaps with a port and a path", text)
	}
	return nil
}
