package certs_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/internal/certs"
)

// FuzzParseRequest: whatever is sent, what is read has names that read the same again, all of them in the role's sight.
func FuzzParseRequest(f *testing.F) {
	key := ecKey(f)
	f.Add(request(f, x509.CertificateRequest{DNSNames: []string{"a.b"}, EmailAddresses: []string{"a@b.c"}}, key))
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := certs.ParseRequest("csr_pem", text)
		if err != nil {
			return
		}
		if n, err := r.Wanted.Read(); err == nil && (n.Count() > certs.MaxNames+1 || (certs.Rules{}).Allow(n) == nil) {
			t.Errorf("an empty role allows %+v", n)
		}
	})
}

// FuzzParseCertificates: what is read can be written, and read again.
func FuzzParseCertificates(f *testing.F) {
	f.Add("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	f.Add("-----BEGIN CERTIFICATE-----\r\n\r\n-----END CERTIFICATE-----")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := certs.ParseCertificates("chain_pem", text)
		if err != nil {
			return
		}
		var der [][]byte
		for _, c := range all {
			der = append(der, c.Raw)
		}
		if again, err := certs.ParseCertificates("chain_pem", certs.EncodeCertificates(der...)); err != nil || len(again) != len(all) {
			t.Errorf("%d certificates, then %d: %v", len(all), len(again), err)
		}
	})
}

// FuzzParseDNS: a name that passes is its own normal form, and no other spelling of it passes as another name.
func FuzzParseDNS(f *testing.F) {
	for _, s := range []string{"a.b", "*.example.com", "xn--mnchen-3ya.de", "A.", "127.0.0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, rule := certs.ParseDNS(text)
		if rule != "" {
			return
		}
		if again, rule := certs.ParseDNS(name); rule != "" || again != name || !strings.EqualFold(text, name) || strings.HasSuffix(name, ".") {
			t.Errorf("%q becomes %q, then %q %q", text, name, again, rule)
		}
	})
}
