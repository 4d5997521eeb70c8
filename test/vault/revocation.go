package vault

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"

	"golang.org/x/crypto/ocsp"
)

// revocation makes the authority's first list and first answer, and keeps what was asked.
func (w *World) revocation() {
	w.by.TB.Helper()
	der := w.by.Must(Request{Path: "/v1/pki/ca/" + w.Authority + "/certificate.der", Anonymous: true}, nil).Body
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		w.by.TB.Fatal(err)
	}
	serial, _ := new(big.Int).SetString(strings.ReplaceAll(w.Serial, ":", ""), 16)
	q, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: serial}, issuer, &ocsp.RequestOptions{Hash: crypto.SHA256})
	if err != nil {
		w.by.TB.Fatal(err)
	}
	w.Question = q
	for _, id := range []string{"readRevocationList", "askOcsp"} {
		r := w.revocationCalls()[id]
		if r.Body != nil {
			r.Method = "POST"
		}
		w.by.Must(r, nil)
	}
}

func (w *World) revocationCalls() map[string]Request {
	one := "/v1/pki/ca/" + w.Authority
	return map[string]Request{
		"generateRevocationList": {Path: one + "/crl"},
		"readRevocationList":     {Path: one + "/crl"},
		"readAuthorityDer":       {Path: one + "/certificate.der"},
		"askOcsp":                {Path: one + "/ocsp", Body: w.Question, Header: map[string]string{"Content-Type": "application/ocsp-request"}},
		"askOcspByGet":           {Path: one + "/ocsp/" + base64.RawURLEncoding.EncodeToString(w.Question)},
	}
}
