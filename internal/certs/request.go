package certs

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
)

// Request is what counts of a certificate request: its key and its names. Everything else that it asks for, such as
// being an authority, is not taken from it.
type Request struct {
	PublicKey crypto.PublicKey
	Wanted    Wanted
}

const (
	idSubjectAltName = "2.5.29.17"
	idCommonName     = "2.5.4.3"
)

// ParseRequest reads a certificate request in PEM: one block, of known bounds, signed by the key that it is about,
// without an extension that stands there twice and without kinds of names that are not understood. Errors: *FieldError.
func ParseRequest(field, text string) (Request, error) {
	blocks, err := parsePEM(field, text)
	if err != nil {
		return Request{}, err
	}
	if len(blocks) != 1 || blocks[0].kind != typeRequest && blocks[0].kind != typeOldRequest {
		return Request{}, broken(field, "must be one block of type CERTIFICATE REQUEST")
	}
	csr, err := x509.ParseCertificateRequest(blocks[0].der)
	if err != nil {
		return Request{}, broken(field, "is not a PKCS #10 certificate request")
	}
	if err := checkRequest(field, csr); err != nil {
		return Request{}, err
	}
	if csr.CheckSignature() != nil {
		return Request{}, broken(field, "is not signed by the key that it is about")
	}
	w := Wanted{CommonName: csr.Subject.CommonName, DNS: csr.DNSNames, Emails: csr.EmailAddresses, CommonNameField: field, Request: field}
	for _, ip := range csr.IPAddresses {
		w.IPs = append(w.IPs, ip.String())
	}
	for _, uri := range csr.URIs {
		w.URIs = append(w.URIs, uri.String())
	}
	return Request{PublicKey: csr.PublicKey, Wanted: w}, nil
}

func checkRequest(field string, csr *x509.CertificateRequest) error {
	seen := map[string]bool{}
	for _, e := range csr.Extensions {
		id := e.Id.String()
		if seen[id] {
			return broken(field, "has extension %s twice", id)
		}
		seen[id] = true
		if id == idSubjectAltName {
			if err := checkAltNames(field, e.Value); err != nil {
				return err
			}
		}
	}
	common := 0
	for _, part := range csr.Subject.Names {
		if part.Type.String() == idCommonName {
			common++
		}
	}
	if common > 1 {
		return broken(field, "has %d common names", common)
	}
	return nil
}

// Tags of GeneralName (RFC 5280, 4.2.1.6) that crypto/x509 gives out.
const (
	tagEmail = 1
	tagDNS   = 2
	tagURI   = 6
	tagIP    = 7
)

// checkAltNames counts the names, and refuses kinds that crypto/x509 leaves out in silence: what is not shown to the
// role must not be signed either.
func checkAltNames(field string, der []byte) error {
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 || !seq.IsCompound || seq.Tag != asn1.TagSequence {
		return broken(field, "has an extension of alternative names that cannot be read")
	}
	count := 0
	for rest := seq.Bytes; len(rest) > 0; count++ {
		var name asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &name); err != nil || name.Class != asn1.ClassContextSpecific {
			return broken(field, "has an extension of alternative names that cannot be read")
		}
		switch name.Tag {
		case tagEmail, tagDNS, tagURI, tagIP:
		default:
			return broken(field, "has an alternative name of a kind (tag %d) that is not issued: DNS, IP, URI and mail are", name.Tag)
		}
		if count == MaxNames {
			return broken(field, "has more than %d alternative names", MaxNames)
		}
	}
	return nil
}
