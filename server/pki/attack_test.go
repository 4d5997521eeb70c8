package pki_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// TestMistake53RequestsAreHeldToTheRole: addresses inside a request were not held against the role (GHSA-g892-p242-8g86).
// Whatever kind of name a request asks for, and however the body names others over it, the role decides.
func TestMistake53RequestsAreHeldToTheRole(t *testing.T) {
	each(t, func(w *world) {
		k := key(t)
		good := []string{"a.example.com"}
		for what, r := range map[string]x509.CertificateRequest{
			"common name":    {Subject: pkix.Name{CommonName: "evil.test"}, DNSNames: good},
			"name":           {DNSNames: []string{"a.example.com", "evil.test"}},
			"two labels":     {DNSNames: []string{"a.b.example.com"}},
			"the domain":     {DNSNames: []string{"example.com"}},
			"wildcard":       {DNSNames: []string{"*.evil.test"}},
			"address":        {DNSNames: good, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}},
			"URI":            {DNSNames: good, URIs: []*url.URL{{Scheme: "spiffe", Host: "evil", Path: "/x"}}},
			"mail":           {DNSNames: good, EmailAddresses: []string{"root@a.example.com"}},
			"trailing dot":   {DNSNames: []string{"a.example.com."}},
			"suffix":         {DNSNames: []string{"a.example.com.evil.test"}},
			"hidden NUL":     {DNSNames: []string{"a.example.com\x00.evil.test"}},
			"looks alike":    {DNSNames: []string{"a.ex\u0430mple.com"}},
			"address as DNS": {DNSNames: []string{"10.0.0.1"}},
			"no name":        {},
			"too many":       {DNSNames: many(10_000)},
		} {
			r.Subject.CommonName = or(r.Subject.CommonName, "a.example.com")
			if what == "no name" {
				r.Subject.CommonName = ""
			}
			text, err := encode(r, k)
			if err != nil {
				continue // Go itself makes no such request
			}
			for how, body := range map[string]vaultapi.CertificateSign{"plain": {CSRPEM: text}, "named over": {CSRPEM: text, AltNames: good}} {
				_, err := w.Sign(t.Context(), issuer, "web", body)
				w.refused(what+", "+how, err, fault.CodeValidation, "")
			}
		}
		if _, err := w.Sign(t.Context(), issuer, "web", vaultapi.CertificateSign{CSRPEM: request(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: good[0]}, DNSNames: good}, k)}); err != nil {
			t.Errorf("what the role allows: %v", err)
		}
	})
}

func encode(r x509.CertificateRequest, k any) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &r, k)
	return "-----BEGIN CERTIFICATE REQUEST-----\n" + base64Lines(der) + "-----END CERTIFICATE REQUEST-----\n", err
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func many(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("n%d.example.com", i)
	}
	return all
}

// The same names in the body of issue are judged the same.
func TestNamesOfTheBody(t *testing.T) {
	each(t, func(w *world) {
		for what, b := range map[string]vaultapi.CertificateIssue{
			"common name": {CommonName: "evil.test"},
			"name":        {CommonName: "a.example.com", AltNames: []string{"evil.test"}},
			"address":     {CommonName: "a.example.com", IPSANs: []string{"10.0.0.1"}},
			"address too": {CommonName: "a.example.com", AltNames: []string{"10.0.0.1"}},
			"no address":  {CommonName: "a.example.com", IPSANs: []string{"a.example.com"}},
			"URI":         {CommonName: "a.example.com", AltNames: []string{"spiffe://example.com/x"}},
			"mail":        {CommonName: "a.example.com", AltNames: []string{"a@a.example.com"}},
			"dot":         {CommonName: "a.example.com."},
			"nothing":     {AltNames: []string{"a.example.com"}},
			"long":        {CommonName: strings.Repeat("a", 65) + ".example.com"},
		} {
			_, err := w.Issue(t.Context(), issuer, "web", b)
			w.refused(what, err, fault.CodeValidation, "")
		}
		for text, code := range map[string]string{"soon": fault.CodeInvalidDuration, "0s": fault.CodeInvalidDuration, "1s": fault.CodeValidation, "-1h": fault.CodeInvalidDuration} {
			_, err := w.Issue(t.Context(), issuer, "web", vaultapi.CertificateIssue{CommonName: "a.example.com", TTL: text})
			w.refused("ttl "+text, err, code, "ttl")
		}
	})
}

// What a request carries besides names and its key is not copied, and one that is not what it says is refused.
func TestHostileRequests(t *testing.T) {
	each(t, func(w *world) {
		k := key(t)
		ca, err := asn1.Marshal(struct{ CA bool }{true})
		if err != nil {
			t.Fatal(err)
		}
		r := x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.example.com", Organization: []string{"Evil"}},
			DNSNames: []string{"a.example.com"}, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: ca}}}
		made, err := w.Sign(t.Context(), issuer, "web", vaultapi.CertificateSign{CSRPEM: request(t, r, k)})
		if err == nil {
			if c := parsed(t, made.Certificate); c.IsCA || len(c.Subject.Organization) > 0 || c.KeyUsage&x509.KeyUsageCertSign != 0 {
				t.Errorf("copied: %+v", c)
			}
		}
		good, err := encode(x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.example.com"}, DNSNames: []string{"a.example.com"}}, k)
		if err != nil {
			t.Fatal(err)
		}
		weak, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{
			"empty": "", "no PEM": "MIIB", "a certificate": parsedText(w), "two": good + good, "cut": good[:len(good)/2],
			"wrong signature": flipped(t, good), "huge": good + strings.Repeat("x", 1<<20),
			"another kind of key": request(t, x509.CertificateRequest{DNSNames: []string{"a.example.com"}, Subject: pkix.Name{CommonName: "a.example.com"}}, weak),
		} {
			_, err := w.Sign(t.Context(), issuer, "web", vaultapi.CertificateSign{CSRPEM: text})
			w.refused(what, err, fault.CodeValidation, "csr_pem")
		}
	})
}

func parsedText(w *world) string { return w.issue("a.example.com").Certificate }

// Who holds no permission on the role makes nothing and learns of nothing: not whether a certificate exists.
func TestWithoutPermission(t *testing.T) {
	each(t, func(w *world) {
		made := w.issue("a.example.com")
		_, err := w.Issue(t.Context(), poor, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
		w.refused("issue", err, fault.CodeAccessDenied, "web")
		_, err = w.Issue(t.Context(), poor, "none", vaultapi.CertificateIssue{CommonName: "a.example.com"})
		w.refused("issue by a role that is not there", err, fault.CodeAccessDenied, "none")
		_, err = w.Renew(t.Context(), poor, made.ID)
		w.refused("renew", err, fault.CodeCertificateNotFound, "")
		_, err = w.Certificate(t.Context(), poor, made.ID)
		w.refused("read", err, fault.CodeCertificateNotFound, "")
		if list, err := w.Certificates(t.Context(), poor, allOf()); err != nil || len(list.Data) != 0 {
			t.Errorf("list: %v %+v", err, list)
		}
		_, err = w.Revoke(t.Context(), issuer, vaultapi.CertificateRevoke{SerialNumber: made.SerialNumber})
		w.refused("revoke", err, fault.CodeInsufficientScope, "")
		_, err = w.CreateRole(t.Context(), issuer, vaultapi.PKIRoleWrite{Name: "mine", CAID: w.root})
		w.refused("role", err, fault.CodeInsufficientScope, "")
	})
}

// TestKeysStayInTheAnswer looks for private keys in rows and in the trail.
func TestKeysStayInTheAnswer(t *testing.T) {
	each(t, func(w *world) {
		made := w.issue("a.example.com")
		secret := made.PrivateKey.Reveal()
		if !strings.Contains(secret, "PRIVATE KEY") {
			t.Fatal("no key")
		}
		if text := fmt.Sprintf("%v %+v %#v %s", made, made, made, made.PrivateKey); strings.Contains(text, secret[40:80]) {
			t.Error("the answer prints its key")
		}
		if strings.Contains(w.trail.Text(), secret[40:80]) {
			t.Error("the trail holds the key")
		}
		if made.ValidUntil.Sub(w.clock()) != 48*time.Hour {
			t.Errorf("life %v", made.ValidUntil)
		}
	})
}
