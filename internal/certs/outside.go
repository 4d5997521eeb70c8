package certs

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"time"
)

// basicConstraints is the extension by which a request asks for an authority (RFC 5280, 4.2.1.9).
type basicConstraints struct {
	IsCA          bool `asn1:"optional"`
	MaxPathLength int  `asn1:"optional,default:-1"`
}

// RequestAuthority makes the request, in DER, for the certificate of an authority; maxPath is -1 where any will do.
func RequestAuthority(key crypto.Signer, commonName string, maxPath int) ([]byte, error) {
	constraints, err := asn1.Marshal(basicConstraints{IsCA: true, MaxPathLength: maxPath})
	if err != nil {
		return nil, fmt.Errorf("basic constraints: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: commonName},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: constraints}},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("request of an authority: %w", err)
	}
	return der, nil
}

// EncodeRequest writes a request as PEM.
func EncodeRequest(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typeRequest, Bytes: der}))
}

// SignedOutside is the certificate that an authority outside of the vault made of a request.
type SignedOutside struct {
	Request *x509.CertificateRequest
	Cert    *x509.Certificate
	Above   []*x509.Certificate // from its issuer upward, as they were sent
	Depth   int                 // how many authorities must be able to stand below it
}

// Complete checks certificate and chain at a time, and gives the chain up to its end: a root, or the anchor that signed
// its last certificate. Errors: *FieldError of certificate_pem or chain_pem.
func (s SignedOutside) Complete(anchors []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	if err := s.checkOwn(now); err != nil {
		return nil, err
	}
	above, err := s.ended(anchors)
	if err != nil {
		return nil, err
	}
	below := s.Cert
	for i, c := range above {
		if rule := CheckAuthority(c, now); rule != "" {
			return nil, broken("chain_pem", "%s %s", c.Subject, rule)
		}
		if below.CheckSignatureFrom(c) != nil {
			return nil, broken("chain_pem", "%s did not sign %s: send the chain from the issuer upward", c.Subject, below.Subject)
		}
		if length, limited := PathLength(c); limited && length < i+1+s.Depth {
			return nil, broken("chain_pem", "the path length of %s leaves no room: %d, and %d are needed", c.Subject, length, i+1+s.Depth)
		}
		below = c
	}
	return above, nil
}

const fieldCertificate = "certificate_pem"

func (s SignedOutside) checkOwn(now time.Time) error {
	if !bytes.Equal(s.Cert.RawSubjectPublicKeyInfo, s.Request.RawSubjectPublicKeyInfo) {
		return broken(fieldCertificate, "is not of the key of this request: send the certificate that was made of its csr_pem")
	}
	if rule := CheckAuthority(s.Cert, now); rule != "" {
		return broken(fieldCertificate, "%s", rule)
	}
	length, limited := PathLength(s.Cert)
	switch {
	case limited && length < s.Depth:
		return broken(fieldCertificate, "has path length %d, and %d authorities must be able to stand below it", length, s.Depth)
	case s.Cert.KeyUsage&x509.KeyUsageCRLSign == 0:
		return broken(fieldCertificate, "must have the key usage to sign revocation lists")
	case len(s.Cert.SubjectKeyId) == 0 || len(s.Cert.RawSubject) <= len("0\x00"):
		return broken(fieldCertificate, "must have a subject and a subject key identifier")
	case selfSigned(s.Cert):
		return broken(fieldCertificate, "is signed by its own key: an authority outside must sign it")
	}
	return nil
}

// ended is the chain with its end.
func (s SignedOutside) ended(anchors []*x509.Certificate) ([]*x509.Certificate, error) {
	last := s.Cert
	if len(s.Above) > 0 {
		last = s.Above[len(s.Above)-1]
	}
	if selfSigned(last) {
		return s.Above, nil
	}
	for _, c := range anchors {
		if last.CheckSignatureFrom(c) == nil {
			return append(s.Above[:len(s.Above):len(s.Above)], c), nil
		}
	}
	return nil, broken("chain_pem", "must lead up to a root, or to what a trust anchor signed: append what is above %s, or make a trust anchor", last.Subject)
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
