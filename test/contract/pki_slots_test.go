package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// outside is an authority that the vault knows nothing of.
type outside struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newOutside(t *testing.T) outside {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	draft := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Company Root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	o := outside{cert: draft, key: key}
	o.cert = o.sign(t, draft, key.Public())
	return o
}

func (o outside) sign(t *testing.T, draft *x509.Certificate, public any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, draft, o.cert, public, o.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// answer is the certificate that was made of a request.
func (o outside) answer(t *testing.T, csr string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(csr))
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	draft := *o.cert
	draft.Subject = r.Subject
	return certPEM(o.sign(t, &draft, r.PublicKey))
}

func certPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func slotTraffic(t *testing.T, r *recorder, id string) {
	one, none := "/v1/pki/ca/"+id, "/v1/pki/ca/ca_none"
	slot := one + "/slots/" + text(t, r.do(t, call{method: "POST", target: one + "/slots", body: object{}, want: 201}), "id")
	for _, c := range []call{
		{method: "POST", target: one + "/slots", want: 409},
		{method: "POST", target: none + "/slots", want: 404},
		{method: "GET", target: one + "/slots", want: 200},
		{method: "GET", target: none + "/slots", want: 404},
		{method: "GET", target: one + "/bundle", want: 200},
		{method: "GET", target: none + "/bundle", want: 404},
		{method: "POST", target: slot + "/activate", want: 200},
		{method: "POST", target: slot + "/retire", want: 409},
		{method: "POST", target: one + "/slots/slot_none/activate", want: 404},
		{method: "POST", target: one + "/slots/slot_none/retire", body: object{"force": true}, want: 404},
	} {
		r.do(t, c)
	}
	spare := text(t, r.do(t, call{method: "POST", target: one + "/slots", body: object{}, want: 201}), "id")
	r.do(t, call{method: "POST", target: one + "/slots/" + spare + "/retire", want: 200})
}

func outsideTraffic(t *testing.T, r *recorder) {
	const requests, anchors, validate = "/v1/pki/ca-requests", "/v1/pki/trust-anchors", "/v1/pki/certificates/validate"
	out := newOutside(t)
	asked := object{"name": "outer", "common_name": "Outer", "key_type": "ec"}
	made := r.do(t, call{method: "POST", target: requests, body: asked, want: 201})
	one, cert := requests+"/"+text(t, made, "id"), out.answer(t, text(t, made, "csr_pem"))
	anchor := object{"name": "company", "certificate_pem": certPEM(out.cert)}
	trusted := anchors + "/" + text(t, r.do(t, call{method: "POST", target: anchors, body: anchor, want: 201}), "id")
	for _, c := range []call{
		{method: "POST", target: requests, body: asked, want: 409},
		{method: "POST", target: requests, body: object{"name": "no name"}, want: 422},
		{method: "GET", target: requests, want: 200},
		{method: "GET", target: requests + "?cursor=nonsense", want: 400},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: requests + "/car_none", want: 404},
		{method: "POST", target: one + "/certificate", body: object{"certificate_pem": certPEM(out.cert)}, want: 422},
		{method: "POST", target: one + "/certificate", body: object{"certificate_pem": cert, "chain_pem": certPEM(out.cert)}, want: 201},
		{method: "DELETE", target: one, want: 404},
		{method: "POST", target: anchors, body: anchor, want: 409},
		{method: "POST", target: anchors, body: object{"name": "x", "certificate_pem": "x"}, want: 422},
		{method: "GET", target: anchors, want: 200},
		{method: "GET", target: anchors + "?cursor=nonsense", want: 400},
		{method: "GET", target: trusted, want: 200},
		{method: "PATCH", target: trusted, body: object{"description": "theirs"}, want: 200},
		{method: "PATCH", target: trusted, body: object{"name": "no name"}, want: 422},
		{method: "POST", target: validate, body: object{"certificate_pem": cert, "chain_pem": certPEM(out.cert), "check_revocation": true}, want: 200},
		{method: "POST", target: validate, body: object{"certificate_pem": "x"}, want: 422},
		{method: "DELETE", target: trusted, want: 204},
		{method: "GET", target: trusted, want: 404},
		{method: "DELETE", target: trusted, want: 404},
	} {
		r.do(t, c)
	}
	again := r.do(t, call{method: "POST", target: requests, body: object{"name": "other", "common_name": "Other", "key_type": "ec"}, want: 201})
	r.do(t, call{method: "DELETE", target: requests + "/" + text(t, again, "id"), want: 204})
}
