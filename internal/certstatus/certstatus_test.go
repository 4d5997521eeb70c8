package certstatus_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
	"golang.org/x/crypto/ocsp"

	"github.com/scailabs/scaivault/internal/certstatus"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issuers are an authority of each kind of key.
func issuers(t testing.TB) map[string]issuer {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	fatal(t, err)
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	fatal(t, err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	fatal(t, err)
	all := map[string]issuer{}
	for name, key := range map[string]crypto.Signer{"ed25519": ed, "ec": ec, "rsa": rs} {
		draft := &x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Issuer " + name}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, draft, draft, key.Public(), key)
		fatal(t, err)
		cert, err := x509.ParseCertificate(der)
		fatal(t, err)
		all[name] = issuer{cert, key}
	}
	return all
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestList(t *testing.T) {
	entries := []x509.RevocationListEntry{
		{SerialNumber: big.NewInt(5), RevocationTime: noon.Add(-time.Minute)},
		{SerialNumber: new(big.Int).Lsh(big.NewInt(1), 127), RevocationTime: noon, ReasonCode: 1},
	}
	for name, by := range issuers(t) {
		der, err := certstatus.List{Issuer: by.cert, Number: 41, ThisUpdate: noon, NextUpdate: noon.Add(time.Hour), Revoked: entries}.Sign(rand.Reader, by.key)
		fatal(t, err)
		block, rest := pem.Decode(certstatus.EncodeList(der))
		if block == nil || block.Type != "X509 CRL" || len(rest) > 0 {
			t.Fatalf("%s: PEM %v", name, block)
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		fatal(t, err)
		fatal(t, list.CheckSignatureFrom(by.cert))
		if list.Number.Int64() != 41 || !list.ThisUpdate.Equal(noon) || !list.NextUpdate.Equal(noon.Add(time.Hour)) || string(list.AuthorityKeyId) != string(by.cert.SubjectKeyId) {
			t.Errorf("%s: number %v, from %v to %v", name, list.Number, list.ThisUpdate, list.NextUpdate)
		}
		got := list.RevokedCertificateEntries
		if len(got) != 2 || got[0].ReasonCode != 0 || len(got[0].Extensions) != 0 || got[1].ReasonCode != 1 || got[1].SerialNumber.Cmp(entries[1].SerialNumber) != 0 {
			t.Errorf("%s: entries %+v", name, got)
		}
	}
}

func TestListOfNobody(t *testing.T) {
	by := issuers(t)["ec"]
	der, err := certstatus.List{Issuer: by.cert, Number: 1, ThisUpdate: noon, NextUpdate: noon.Add(time.Hour)}.Sign(rand.Reader, by.key)
	fatal(t, err)
	list, err := x509.ParseRevocationList(der)
	fatal(t, err)
	if len(list.RevokedCertificateEntries) != 0 {
		t.Errorf("%+v", list.RevokedCertificateEntries)
	}
}

func responder(t testing.TB, by issuer) certstatus.Responder {
	t.Helper()
	r, err := certstatus.NewResponder(rand.Reader, by.cert, by.key, big.NewInt(99), noon.Add(-time.Minute), noon.Add(time.Hour))
	fatal(t, err)
	return r
}

func request(t testing.TB, by issuer, serial int64, hash crypto.Hash) []byte {
	t.Helper()
	der, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: big.NewInt(serial)}, by.cert, &ocsp.RequestOptions{Hash: hash})
	fatal(t, err)
	return der
}

func TestAnswer(t *testing.T) {
	states := map[certstatus.State]certstatus.Status{
		certstatus.Good: {}, certstatus.Unknown: {State: certstatus.Unknown},
		certstatus.Revoked: {State: certstatus.Revoked, RevokedAt: noon.Add(-time.Minute), Reason: 4},
	}
	for name, by := range issuers(t) {
		r := responder(t, by)
		for state, s := range states {
			for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
				q, err := certstatus.ParseRequest(request(t, by, 5, hash))
				fatal(t, err)
				if !q.IsFor(by.cert) {
					t.Fatalf("%s %v: the issuer is not recognised", name, hash)
				}
				der, err := r.Answer(q, s, noon, noon.Add(time.Hour))
				fatal(t, err)
				// Checks the responder's certificate against the issuer, and the answer against it.
				got, err := ocsp.ParseResponseForCert(der, &x509.Certificate{SerialNumber: big.NewInt(5)}, by.cert)
				fatal(t, err)
				if got.Status != int(state) || got.IssuerHash != hash || !got.ThisUpdate.Equal(noon) || !got.NextUpdate.Equal(noon.Add(time.Hour)) {
					t.Errorf("%s %s: %+v", name, state, got)
				}
				if state == certstatus.Revoked && (!got.RevokedAt.Equal(s.RevokedAt) || got.RevocationReason != 4) {
					t.Errorf("%s: revoked at %v for %d", name, got.RevokedAt, got.RevocationReason)
				}
			}
		}
	}
}

// The certificate of a responder answers and does nothing else, and breaks no rule of RFC 5280.
func TestResponderCertificate(t *testing.T) {
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{lint.RFC5280}})
	fatal(t, err)
	for name, by := range issuers(t) {
		cert := responder(t, by).Cert
		fatal(t, cert.CheckSignatureFrom(by.cert))
		if cert.IsCA || cert.KeyUsage != x509.KeyUsageDigitalSignature || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageOCSPSigning {
			t.Errorf("%s: usages %v %v", name, cert.KeyUsage, cert.ExtKeyUsage)
		}
		noCheck := func(e pkix.Extension) bool { return e.Id.String() == "1.3.6.1.5.5.7.48.1.5" && !e.Critical }
		if !slices.ContainsFunc(cert.Extensions, noCheck) {
			t.Errorf("%s: no id-pkix-ocsp-nocheck", name)
		}
		looked, err := zx509.ParseCertificate(cert.Raw)
		fatal(t, err)
		for rule, result := range zlint.LintCertificateEx(looked, registry).Results {
			if result.Status >= lint.Error {
				t.Errorf("%s: %s: %s", name, rule, result.Details)
			}
		}
	}
}

func TestForeignIssuer(t *testing.T) {
	all := issuers(t)
	q, err := certstatus.ParseRequest(request(t, all["rsa"], 5, crypto.SHA1))
	fatal(t, err)
	if q.IsFor(all["ec"].cert) {
		t.Error("a request about another issuer is taken for ours")
	}
	q.NameHash = slices.Clone(q.NameHash)
	q.NameHash[0]++
	if q.IsFor(all["rsa"].cert) {
		t.Error("the hash of the name does not count")
	}
}

// reshape changes a good request through its generic form.
func reshape(t testing.TB, der []byte, change func(list []asn1.RawValue) []asn1.RawValue) []byte {
	t.Helper()
	var q struct {
		Body struct{ Requests []asn1.RawValue }
	}
	_, err := asn1.Unmarshal(der, &q)
	fatal(t, err)
	q.Body.Requests = change(q.Body.Requests)
	out, err := asn1.Marshal(q)
	fatal(t, err)
	return out
}

func TestMalformedRequests(t *testing.T) {
	by := issuers(t)["ec"]
	good := request(t, by, 5, crypto.SHA1)
	long := &ocsp.Request{HashAlgorithm: crypto.SHA1, IssuerNameHash: make([]byte, 20), IssuerKeyHash: make([]byte, 20), SerialNumber: new(big.Int).Lsh(big.NewInt(1), 200)}
	short := &ocsp.Request{HashAlgorithm: crypto.SHA256, IssuerNameHash: make([]byte, 20), IssuerKeyHash: make([]byte, 20), SerialNumber: big.NewInt(1)}
	negative := &ocsp.Request{HashAlgorithm: crypto.SHA1, IssuerNameHash: make([]byte, 20), IssuerKeyHash: make([]byte, 20), SerialNumber: big.NewInt(-5)}
	cases := map[string][]byte{
		"nothing": nil, "garbage": []byte("hello"), "a tail": append(slices.Clone(good), 0), "half": good[:len(good)/2],
		"no certificate":      reshape(t, good, func([]asn1.RawValue) []asn1.RawValue { return nil }),
		"two certificates":    reshape(t, good, func(l []asn1.RawValue) []asn1.RawValue { return append(l, l...) }),
		"a thousand":          reshape(t, good, func(l []asn1.RawValue) []asn1.RawValue { return slices.Repeat(l, 1000) }),
		"an unusual hash":     request(t, by, 5, crypto.SHA512),
		"serial of 26 bytes":  marshal(t, long),
		"hash too short":      marshal(t, short),
		"a negative serial":   marshal(t, negative),
		"serial 0":            request(t, by, 0, crypto.SHA1),
		"too large":           make([]byte, certstatus.MaxRequest+1),
		"length beyond range": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
	}
	for name, der := range cases {
		if _, err := certstatus.ParseRequest(der); err != certstatus.ErrMalformed { //nolint:errorlint // exactly this
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := certstatus.ParseRequest(good); err != nil {
		t.Error(err)
	}
}

func marshal(t testing.TB, q *ocsp.Request) []byte {
	t.Helper()
	der, err := q.Marshal()
	fatal(t, err)
	return der
}
