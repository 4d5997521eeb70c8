package certstatus

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"time"

	"golang.org/x/crypto/ocsp"
)

// State is what is known of a certificate.
type State int

// States of a certificate. An issuer does not know what it did not issue.
const (
	Good    State = ocsp.Good
	Revoked State = ocsp.Revoked
	Unknown State = ocsp.Unknown
)

// String is the state as metrics name it.
func (s State) String() string {
	switch s {
	case Good:
		return "good"
	case Revoked:
		return "revoked"
	}
	return "unknown"
}

// Status is the state of one certificate; RevokedAt and Reason (RFC 5280, 5.3.1) count where it is revoked.
type Status struct {
	State     State
	RevokedAt time.Time
	Reason    int
}

// Responder signs answers in the name of an issuer, by a key of its own with a certificate that the issuer gave it
// (RFC 6960, 4.2.2.2). The key is P-256 whatever the issuer's is: what is signed often should cost little.
type Responder struct {
	Issuer *x509.Certificate
	Cert   *x509.Certificate
	key    crypto.Signer
}

// noCheck is id-pkix-ocsp-nocheck: nobody asks a responder about its own certificate (RFC 6960, 4.2.2.2.1).
func noCheck() pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: asn1.NullBytes}
}

// NewResponder makes a key, and has the issuer sign its certificate for a window of time.
func NewResponder(random io.Reader, issuer *x509.Certificate, signer crypto.Signer, serial *big.Int, begin, end time.Time) (Responder, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return Responder{}, fmt.Errorf("key of an OCSP responder: %w", err)
	}
	draft := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "OCSP responder"}, NotBefore: begin, NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		BasicConstraintsValid: true, ExtraExtensions: []pkix.Extension{noCheck()},
	}
	der, err := x509.CreateCertificate(random, draft, issuer, key.Public(), signer)
	if err != nil {
		return Responder{}, fmt.Errorf("certificate of an OCSP responder: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Responder{}, fmt.Errorf("certificate of an OCSP responder: %w", err)
	}
	return Responder{Issuer: issuer, Cert: cert, key: key}, nil
}

// Answer signs what is known of the certificate that a request is about, as DER.
func (r Responder) Answer(q Request, s Status, thisUpdate, nextUpdate time.Time) ([]byte, error) {
	der, err := ocsp.CreateResponse(r.Issuer, r.Cert, ocsp.Response{
		Status: int(s.State), SerialNumber: q.Serial, IssuerHash: q.Hash, Certificate: r.Cert,
		ThisUpdate: thisUpdate, NextUpdate: nextUpdate, RevokedAt: s.RevokedAt.UTC(), RevocationReason: s.Reason,
	}, r.key)
	if err != nil {
		return nil, fmt.Errorf("sign an OCSP answer: %w", err)
	}
	return der, nil
}

// Refusals of OCSP (RFC 6960, 2.3). They are not signed.

// RefuseMalformed says that the request cannot be read.
func RefuseMalformed() []byte { return ocsp.MalformedRequestErrorResponse }

// RefuseUnauthorized says that the responder does not speak for this issuer (RFC 5019, 2.2.3).
func RefuseUnauthorized() []byte { return ocsp.UnauthorizedErrorResponse }

// RefuseForNow says that the same request may be answered later.
func RefuseForNow() []byte { return ocsp.TryLaterErrorResponse }
