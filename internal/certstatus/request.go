package certstatus

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" //nolint:gosec // G505: names an issuer in RFC 5019's requests, and secures nothing
	_ "crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"

	"golang.org/x/crypto/ocsp"
)

// MaxRequest bounds a request, in bytes. One certificate, a nonce and a signature with its chain fit into it.
const MaxRequest = 16 << 10

const maxSerial = 20 // bytes (RFC 5280, 4.1.2.2)

// ErrMalformed is a request that is no OCSP request for one certificate.
var ErrMalformed = errors.New("not an OCSP request for one certificate")

// Request asks for the status of one certificate. What else a request may hold, such as a nonce or a signature, has no
// influence on the answer (RFC 5019, 2.1; RFC 9654, 2.1).
type Request struct {
	Hash              crypto.Hash // SHA-1 or SHA-256
	NameHash, KeyHash []byte      // of the issuer
	Serial            *big.Int    // positive, at most 20 bytes
}

// shape counts the certificates of a request; the ocsp package reads the first and ignores others.
type shape struct {
	Body struct {
		Version   int           `asn1:"explicit,tag:0,default:0,optional"`
		Requestor asn1.RawValue `asn1:"explicit,tag:1,optional"`
		Requests  []asn1.RawValue
	}
}

// ParseRequest reads a request as DER. Error: ErrMalformed.
func ParseRequest(der []byte) (Request, error) {
	var s shape
	if len(der) > MaxRequest {
		return Request{}, ErrMalformed
	}
	if rest, err := asn1.Unmarshal(der, &s); err != nil || len(rest) > 0 || s.Body.Version != 0 || len(s.Body.Requests) != 1 {
		return Request{}, ErrMalformed
	}
	q, err := ocsp.ParseRequest(der)
	if err != nil || q.HashAlgorithm != crypto.SHA1 && q.HashAlgorithm != crypto.SHA256 {
		return Request{}, ErrMalformed
	}
	n := q.HashAlgorithm.Size()
	if len(q.IssuerNameHash) != n || len(q.IssuerKeyHash) != n || q.SerialNumber.Sign() <= 0 || len(q.SerialNumber.Bytes()) > maxSerial {
		return Request{}, ErrMalformed
	}
	return Request{Hash: q.HashAlgorithm, NameHash: q.IssuerNameHash, KeyHash: q.IssuerKeyHash, Serial: q.SerialNumber}, nil
}

// DecodeRequest reads a request as a GET carries it: base64 with the alphabet of URLs, without padding. Error:
// ErrMalformed.
func DecodeRequest(text string) (Request, error) {
	if len(text) > base64.RawURLEncoding.EncodedLen(MaxRequest) {
		return Request{}, ErrMalformed
	}
	der, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Request{}, ErrMalformed
	}
	return ParseRequest(der)
}

// IsFor tells whether the request is about certificates that an issuer signed.
func (q Request) IsFor(issuer *x509.Certificate) bool {
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Bits      asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &key); err != nil {
		return false
	}
	return bytes.Equal(q.NameHash, digest(q.Hash, issuer.RawSubject)) && bytes.Equal(q.KeyHash, digest(q.Hash, key.Bits.RightAlign()))
}

func digest(hash crypto.Hash, of []byte) []byte {
	h := hash.New()
	_, _ = h.Write(of)
	return h.Sum(nil)
}
