package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// outside is an authority that the vault knows nothing of.
type outside struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (w *World) outside() *outside {
	w.by.TB.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.by.TB.Fatal(err)
	}
	o := &outside{key: key, cert: draftAuthority(pkix.Name{CommonName: w.Name + " outside"})}
	o.cert = w.signed(o, o.cert, key.Public())
	return o
}

func draftAuthority(subject pkix.Name) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func (w *World) signed(o *outside, draft *x509.Certificate, public any) *x509.Certificate {
	w.by.TB.Helper()
	der, err := x509.CreateCertificate(rand.Reader, draft, o.cert, public, o.key)
	if err != nil {
		w.by.TB.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.by.TB.Fatal(err)
	}
	return cert
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// subordinate is the certificate that the authority outside made of a request.
func (w *World) subordinate(csr string) string {
	w.by.TB.Helper()
	block, _ := pem.Decode([]byte(csr))
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		w.by.TB.Fatal(err)
	}
	return pemOf(w.signed(w.out, draftAuthority(r.Subject), r.PublicKey))
}

// slots rotates the authority twice, so that two slots are retiring, and makes two trust anchors and two requests.
func (w *World) slots() {
	w.by.TB.Helper()
	w.out = w.outside()
	all := "/v1/pki/ca/" + w.Authority + "/slots"
	for range 2 {
		var made vaultapi.AuthoritySlot
		w.by.Must(Request{Method: "POST", Path: all}, &made)
		w.by.Must(Request{Method: "POST", Path: all + "/" + made.ID + "/activate"}, nil)
	}
	var slots vaultapi.AuthoritySlotList
	w.by.Must(Request{Path: all}, &slots)
	for _, v := range slots.Slots {
		if v.State == "retiring" {
			w.Slot, w.OldSlot = v.ID, w.Slot
		}
	}
	for suffix, id := range map[string]*string{"-anchor": &w.Anchor, "-spare": new(string)} {
		var made vaultapi.TrustAnchor
		w.by.Must(Request{Method: "POST", Path: "/v1/pki/trust-anchors", Body: w.anchor(suffix)}, &made)
		*id = made.ID
	}
	for suffix, id := range map[string]*string{"-outer": &w.outerID, "-other": &w.AuthorityRequest} {
		var made vaultapi.AuthorityRequest
		w.by.Must(Request{Method: "POST", Path: "/v1/pki/ca-requests", Body: w.asked(suffix)}, &made)
		if *id = made.ID; id == &w.outerID {
			w.outerPEM = w.subordinate(made.CSRPEM)
		}
	}
	for path, cursor := range map[string]*string{"/v1/pki/trust-anchors?limit=1": &w.AnchorCursor, "/v1/pki/ca-requests?limit=1": &w.AuthorityRequestCursor} {
		var list struct{ Cursor *string }
		w.by.Must(Request{Path: path}, &list)
		*cursor = *list.Cursor
	}
}

func (w *World) anchor(suffix string) object {
	return object{"name": w.Name + suffix, "certificate_pem": pemOf(w.out.cert)}
}

func (w *World) asked(suffix string) object {
	return object{"name": w.Name + suffix, "common_name": w.Name + suffix, "key_type": "ec"}
}

func (w *World) slotCalls() map[string]Request {
	const anchors, requests = "/v1/pki/trust-anchors", "/v1/pki/ca-requests"
	ca, anchor, asked := "/v1/pki/ca/"+w.Authority, anchors+"/"+w.Anchor, requests+"/"+w.AuthorityRequest
	return map[string]Request{
		"readAuthorityBundle":    {Path: ca + "/bundle"},
		"listAuthoritySlots":     {Path: ca + "/slots"},
		"prepareAuthoritySlot":   {Path: ca + "/slots", Body: object{"validity_days": 30}},
		"activateAuthoritySlot":  {Path: ca + "/slots/" + w.Slot + "/activate"},
		"retireAuthoritySlot":    {Path: ca + "/slots/" + w.OldSlot + "/retire", Body: object{"force": true}},
		"listAuthorityRequests":  {Path: requests + "?limit=1&cursor=" + w.AuthorityRequestCursor},
		"requestAuthority":       {Path: requests, Body: w.asked("-asked")},
		"readAuthorityRequest":   {Path: asked},
		"deleteAuthorityRequest": {Path: asked},
		"installAuthority":       {Path: requests + "/" + w.outerID + "/certificate", Body: object{"certificate_pem": w.outerPEM, "chain_pem": pemOf(w.out.cert)}},
		"listTrustAnchors":       {Path: anchors + "?limit=1&cursor=" + w.AnchorCursor},
		"createTrustAnchor":      {Path: anchors, Body: w.anchor("-new")},
		"readTrustAnchor":        {Path: anchor},
		"patchTrustAnchor":       {Path: anchor, Body: object{"description": "of " + w.Name}},
		"deleteTrustAnchor":      {Path: anchor},
		"validateCertificate":    {Path: "/v1/pki/certificates/validate", Body: object{"certificate_pem": w.outerPEM, "chain_pem": pemOf(w.out.cert), "check_revocation": true}},
	}
}
