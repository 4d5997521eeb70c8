package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// pki makes two authorities, two roles of the first, and two certificates by the first of them.
func (w *World) pki() {
	w.by.TB.Helper()
	for suffix, id := range map[string]*string{"-root": &w.Authority, "-spare": new(string)} {
		var made vaultapi.Authority
		w.by.Must(Request{Method: "POST", Path: "/v1/pki/ca", Body: w.root(suffix)}, &made)
		*id = made.ID
	}
	for _, suffix := range []string{"-role", "-spare"} {
		w.by.Must(Request{Method: "POST", Path: "/v1/pki/roles", Body: w.role(suffix)}, nil)
	}
	var made vaultapi.IssuedCertificate
	for range 2 {
		w.by.Must(Request{Method: "POST", Path: "/v1/pki/issue/" + w.Name + "-role", Body: object{"common_name": w.host()}}, &made)
	}
	w.Certificate, w.Serial = made.ID, made.SerialNumber
	for path, cursor := range map[string]*string{
		"/v1/pki/ca?limit=1": &w.AuthorityCursor, "/v1/pki/roles?limit=1": &w.RoleCursor, "/v1/pki/certificates?" + certificateQuery: &w.CertificateCursor,
	} {
		var list struct{ Cursor *string }
		w.by.Must(Request{Path: path}, &list)
		*cursor = *list.Cursor
	}
}

const certificateQuery = "expiring_within=90d&include_revoked=true&limit=1"

func (w *World) host() string { return w.Name + ".test" }

func (w *World) root(suffix string) object {
	return object{"name": w.Name + suffix, "common_name": w.Name + " root", "ca_type": "root", "key_type": "ec"}
}

func (w *World) role(suffix string) object {
	return object{"name": w.Name + suffix, "ca_id": w.Authority, "allowed_domains": []string{w.host()}, "store_private_keys": true}
}

// request is a certificate request for the world's host.
func (w *World) request() string {
	w.by.TB.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.by.TB.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: w.host()}, DNSNames: []string{w.host()}}, key)
	if err != nil {
		w.by.TB.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func (w *World) pkiCalls() map[string]Request {
	const all, roles, certificates = "/v1/pki/ca", "/v1/pki/roles", "/v1/pki/certificates"
	one, role, certificate := all+"/"+w.Authority, roles+"/"+w.Name+"-role", certificates+"/"+w.Certificate
	below := w.root("-below")
	below["ca_type"], below["parent_ca_id"], below["common_name"] = "intermediate", w.Authority, w.Name+" below"
	return map[string]Request{
		"listAuthorities":          {Path: all + "?limit=1&cursor=" + w.AuthorityCursor},
		"createAuthority":          {Path: all, Body: below},
		"readAuthority":            {Path: one},
		"readAuthorityCertificate": {Path: one + "/certificate"},
		"revokeAuthority":          {Path: one + "/revoke", Body: object{"reason": "superseded"}},
		"listRoles":                {Path: roles + "?limit=1&cursor=" + w.RoleCursor},
		"createRole":               {Path: roles, Body: w.role("-new")},
		"readRole":                 {Path: role},
		"patchRole":                {Path: role, Body: object{"max_ttl": "24h", "ca_id": w.Authority}},
		"deleteRole":               {Path: role},
		"issueCertificate":         {Path: "/v1/pki/issue/" + w.Name + "-role", Body: object{"common_name": w.host()}},
		"signCertificate":          {Path: "/v1/pki/sign/" + w.Name + "-role", Body: object{"csr_pem": w.request()}},
		"listCertificates":         {Path: certificates + "?" + certificateQuery + "&cursor=" + w.CertificateCursor},
		"readCertificate":          {Path: certificate},
		"readCertificatePem":       {Path: certificate + "/pem"},
		"readCertificateKey":       {Path: certificate + "/key"},
		"renewCertificate":         {Path: certificate + "/renew"},
		"revokeCertificate":        {Path: "/v1/pki/revoke", Body: object{"serial_number": w.Serial}},
	}
}
