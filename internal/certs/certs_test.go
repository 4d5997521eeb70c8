package certs_test

import (
	"bytes"
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
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
)

func TestParseDNS(t *testing.T) {
	for text, want := range map[string]string{
		"billing.svc.cluster.local": "billing.svc.cluster.local", "Billing.SVC": "billing.svc", "localhost": "localhost", "*.example.com": "*.example.com",
		"xn--mnchen-3ya.de": "xn--mnchen-3ya.de", "1.example.com": "1.example.com", strings.Repeat("a", 63) + ".de": strings.Repeat("a", 63) + ".de",
		"": "", "*": "", "*.": "", "example.com.": "", "a..b": "", ".a": "", "*.*.a": "", "a.*.b": "", "f*o.example.com": "", "münchen.de": "",
		"xn--.de": "", "xn--a.de": "", "ab--cd.de": "", "-a.de": "", "a-.de": "", "a_b.de": "", "127.0.0.1": "", "a.1": "", "a b.de": "", "a\x00.de": "",
		"xn--mnchen-3yA.de": "xn--mnchen-3ya.de", "example。com": "", strings.Repeat("a", 64) + ".de": "", strings.Repeat("a.", 127) + "de": "",
		"exаmple.com": "", // a Cyrillic letter
	} {
		if got, rule := certs.ParseDNS(text); got != want || (rule == "") != (want != "") {
			t.Errorf("%q: %q %q, want %q", text, got, rule, want)
		}
	}
}

func TestParseOtherNames(t *testing.T) {
	for text, ok := range map[string]bool{
		"10.0.0.1": true, "::1": true, "fe80::1%eth0": false, "::ffff:10.0.0.1": false, "0.0.0.0": false, "::": false, "10.0.0": false, "010.0.0.1": false, "a": false,
	} {
		if _, rule := certs.ParseIP(text); (rule == "") != ok {
			t.Errorf("IP %q: %q", text, rule)
		}
	}
	for text, ok := range map[string]bool{
		"spiffe://cluster.local/ns/billing/sa/web": true, "https://example.com": true, "https://example.com/a": true,
		"https://Example.com/a": false, "https://u@example.com/": false, "https://example.com:1/": false, "https://example.com/?q": false,
		"https://example.com/#f": false, "https://example.com/a//b": false, "https://example.com/../a": false, "https://10.0.0.1/": false, "mailto:a@b.c": false,
		"spiffe://cluster.local/%2e%2e/admin": false, "spiffe://*.local/a": false, "/a": false, "": false, "spiffe://a.b/ü": false, "https://example.com/a/": false,
	} {
		if _, rule := certs.ParseURI(text); (rule == "") != ok {
			t.Errorf("URI %q: %q", text, rule)
		}
	}
	for text, want := range map[string]string{
		"Ann.b+c@Example.org": "Ann.b+c@example.org", "ann@": "", "@b.c": "", "a@b@c": "", "a b@c.d": "", "a@*.c": "", "\"a\"@c.d": "", "a@c.d.": "",
	} {
		if got, rule := certs.ParseEmail(text); got != want || (rule == "") != (want != "") {
			t.Errorf("mail %q: %q %q", text, got, rule)
		}
	}
}

// TestRoleAllows is the table of what a role allows, in each kind of name.
func TestRoleAllows(t *testing.T) {
	mesh := certs.Rules{AllowedDomains: []string{"*.svc.cluster.local"}}
	deep := certs.Rules{AllowedDomains: []string{"example.com"}, AllowSubdomains: true}
	bare := certs.Rules{AllowedDomains: []string{"example.com"}}
	all := certs.Rules{AllowedDomains: []string{"example.com"}, AllowIPs: true, AllowEmails: true, AllowedURIs: []string{"spiffe://cluster.local/ns/billing/*", "https://a.b/x"}}
	for _, c := range []struct {
		role certs.Rules
		name string
		ok   bool
	}{
		{mesh, "billing.svc.cluster.local", true}, {mesh, "a.billing.svc.cluster.local", false}, {mesh, "svc.cluster.local", false}, {mesh, "*.svc.cluster.local", true},
		{mesh, "*.billing.svc.cluster.local", false}, {mesh, "billingsvc.cluster.local", false}, {mesh, "billing.svc.cluster.local.evil.com", false},
		{deep, "example.com", true}, {deep, "a.example.com", true}, {deep, "b.a.example.com", true}, {deep, "*.example.com", true}, {deep, "*.a.example.com", true}, {deep, "evilexample.com", false},
		{bare, "example.com", true}, {bare, "a.example.com", false}, {bare, "*.example.com", false}, {bare, "com", false}, {bare, "*.com", false},
		{bare, "10.0.0.1", false}, {bare, "a@example.com", false}, {bare, "https://example.com/", false}, {certs.Rules{}, "example.com", false},
		{all, "10.0.0.1", true}, {all, "a@example.com", true}, {all, "a@b.example.com", false}, {all, "https://a.b/x", true}, {all, "https://a.b/xy", false},
		{all, "spiffe://cluster.local/ns/billing/sa/web", true}, {all, "spiffe://cluster.local/ns/billingevil/sa/web", false}, {all, "spiffe://cluster.local/ns/billing", false},
	} {
		for _, w := range []certs.Wanted{{CommonName: c.name}, {AltNames: []string{c.name}}} {
			names, err := w.Read()
			if err == nil {
				err = c.role.Allow(names)
			}
			if (err == nil) != c.ok {
				t.Errorf("%+v in %+v: %v", w, c.role, err)
			}
		}
	}
	if err := (certs.Rules{RequireCN: true, AllowIPs: true}).Allow(read(t, certs.Wanted{AltNames: []string{"10.0.0.1"}})); err == nil {
		t.Error("no common name where one is required")
	}
	if err := all.Allow(certs.Names{}); err == nil {
		t.Error("a certificate for nobody")
	}
}

func read(t *testing.T, w certs.Wanted) certs.Names {
	t.Helper()
	n, err := w.Read()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRulesThemselves(t *testing.T) {
	for _, r := range []certs.Rules{
		{AllowedDomains: []string{"*"}}, {AllowedDomains: []string{"a.*.b"}}, {AllowedDomains: []string{"Example.com"}}, {AllowedDomains: []string{"example.com."}},
		{AllowedDomains: []string{""}}, {AllowedURIs: []string{"*"}}, {AllowedURIs: []string{"spiffe://*"}}, {AllowedURIs: []string{"spiffe:///*"}},
	} {
		if r.Check() == nil {
			t.Errorf("%+v passes", r)
		}
	}
}

func TestWantedNames(t *testing.T) {
	n := read(t, certs.Wanted{CommonName: "A.example.com", AltNames: []string{"a.example.com", "10.0.0.1", "b@example.com", "https://c.d/e"}, IPs: []string{"10.0.0.1"}})
	if got := fmt.Sprint(n); got != "{a.example.com [a.example.com] [10.0.0.1] [https://c.d/e] [b@example.com]}" {
		t.Errorf("%s", got)
	}
	for _, w := range []certs.Wanted{
		{CommonName: "Not A Host"}, {CommonName: " a.b"}, {CommonName: "a\u202e.b"}, {CommonName: strings.Repeat("a", 65)}, {AltNames: make([]string, 101)},
		{IPs: []string{"a.b"}}, {DNS: []string{"10.0.0.1"}},
	} {
		var bad *certs.FieldError
		if _, err := w.Read(); !errors.As(err, &bad) || bad.Field == "" {
			t.Errorf("%+v: %v", w, err)
		}
	}
}

func TestWindow(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	begin, end := now.Add(-time.Hour), now.Add(100*time.Hour)
	for _, c := range []struct{ ttl, longest, want time.Duration }{
		{time.Hour, 10 * time.Hour, time.Hour}, {20 * time.Hour, 10 * time.Hour, 10 * time.Hour}, {0, 10 * time.Hour, 10 * time.Hour}, {500 * time.Hour, 1000 * time.Hour, 100 * time.Hour},
	} {
		from, until, ok := certs.Window(now, c.ttl, c.longest, begin, end)
		if !ok || !until.Equal(now.Add(c.want)) || !from.Equal(now.Add(-certs.Backdate)) {
			t.Errorf("%+v: %v %v %v", c, from, until, ok)
		}
	}
	if _, _, ok := certs.Window(now, time.Hour, time.Hour, begin, now); ok {
		t.Error("an authority that has ended")
	}
	if from, _, _ := certs.Window(now, time.Hour, time.Hour, now, end); from.Before(now) {
		t.Error("older than its authority")
	}
}

func TestSerials(t *testing.T) {
	for text, want := range map[string]string{
		"1A:2B": "1A:2B", "1a:2b": "1A:2B", "1a2b": "1A:2B", "1A2B": "1A:2B", "a2b": "0A:2B", "00:1a": "1A",
		"": "", "1A:2": "", ":": "", "1A::2B": "", "xyz": "", "00": "", "-1A": "", "1A:2B:": "", strings.Repeat("ff", 21): "", "1A:2B:...": "",
	} {
		got, ok := certs.ParseSerial(text)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v", text, got, ok)
		}
	}
	zero := bytes.NewReader(append(make([]byte, 16), bytes.Repeat([]byte{0xff}, 16)...))
	n, err := certs.NewSerial(zero)
	if err != nil || n.Sign() <= 0 || n.BitLen() != 128 {
		t.Errorf("%v %v", n, err)
	}
	if got, ok := certs.ParseSerial(certs.FormatSerial(n)); !ok || got != certs.FormatSerial(n) {
		t.Error(got)
	}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t testing.TB, template x509.CertificateRequest, key crypto.Signer) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func TestParseRequest(t *testing.T) {
	uri, _ := url.Parse("spiffe://cluster.local/a")
	text := request(t, x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "a.b"}, DNSNames: []string{"c.d"}, IPAddresses: []net.IP{net.ParseIP("10.0.0.1")},
		URIs: []*url.URL{uri}, EmailAddresses: []string{"a@b.c"},
	}, ecKey(t))
	r, err := certs.ParseRequest("csr_pem", text)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(read(t, r.Wanted)); got != "{a.b [a.b c.d] [10.0.0.1] [spiffe://cluster.local/a] [a@b.c]}" {
		t.Error(got)
	}
}

func extension(id asn1.ObjectIdentifier, value []byte) pkix.Extension {
	return pkix.Extension{Id: id, Value: value}
}

func altNames(t *testing.T, tag int, values ...string) pkix.Extension {
	t.Helper()
	var all []asn1.RawValue
	for _, v := range values {
		all = append(all, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(v)})
	}
	der, err := asn1.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return extension(asn1.ObjectIdentifier{2, 5, 29, 17}, der)
}

// TestHostileRequests leaves behind what somebody would send to get more than the role allows, or to keep us busy.
func TestHostileRequests(t *testing.T) {
	key := ecKey(t)
	good := request(t, x509.CertificateRequest{DNSNames: []string{"a.b"}}, key)
	block, _ := pem.Decode([]byte(good))
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	crowd := make([]string, 10000)
	for i := range crowd {
		crowd[i] = fmt.Sprint("n", i, ".b")
	}
	usage := extension(asn1.ObjectIdentifier{2, 5, 29, 15}, []byte{3, 2, 5, 160})
	for name, text := range map[string]string{
		"empty": "", "blank": " \n", "no PEM": "hello", "DER": string(block.Bytes), "two": good + good, "certificate": strings.ReplaceAll(good, "CERTIFICATE REQUEST", "CERTIFICATE"),
		"private key": strings.ReplaceAll(good, "CERTIFICATE REQUEST", "PRIVATE KEY"), "before": "x\n" + good, "after": good + "x",
		"header":           strings.Replace(good, "REQUEST-----\n", "REQUEST-----\nA: b\n\n", 1),
		"wrong signature":  string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: forged})),
		"another's key":    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: swappedKey(t, key)})),
		"trailing bytes":   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: append(bytes.Clone(block.Bytes), 0)})),
		"10 000 names":     request(t, x509.CertificateRequest{DNSNames: crowd}, key),
		"twice the same":   request(t, x509.CertificateRequest{ExtraExtensions: []pkix.Extension{usage, usage}}, key),
		"alt names twice":  request(t, x509.CertificateRequest{ExtraExtensions: []pkix.Extension{altNames(t, 2, "a.b"), altNames(t, 2, "evil.com")}}, key),
		"other name":       request(t, x509.CertificateRequest{ExtraExtensions: []pkix.Extension{altNames(t, 0, "a.b")}}, key),
		"directory name":   request(t, x509.CertificateRequest{ExtraExtensions: []pkix.Extension{altNames(t, 4, "a.b")}}, key),
		"two common names": request(t, x509.CertificateRequest{Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "a.b"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "evil.com"}}}}, key),
	} {
		var bad *certs.FieldError
		if _, err := certs.ParseRequest("csr_pem", text); !errors.As(err, &bad) || bad.Field != "csr_pem" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// swappedKey is a request for key whose public key was replaced by another's after signing.
func swappedKey(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(request(t, x509.CertificateRequest{DNSNames: []string{"a.b"}}, key)))
	mine, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKIXPublicKey(ecKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(block.Bytes, mine, other, 1)
}

func TestCheckPublicKey(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	large := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2047, 1), E: 65537}
	odd := &rsa.PublicKey{N: large.N, E: 3}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	ed, _, _ := ed25519.GenerateKey(rand.Reader)
	for _, c := range []struct {
		key  crypto.PublicKey
		want certs.KeySpec
		ok   bool
	}{
		{ecKey(t).Public(), certs.KeySpec{Type: certs.EC, Bits: 256}, true}, {ecKey(t).Public(), certs.KeySpec{Type: certs.EC, Bits: 384}, false}, {ecKey(t).Public(), certs.KeySpec{Type: certs.RSA, Bits: 2048}, false},
		{p224.Public(), certs.KeySpec{Type: certs.EC, Bits: 256}, false}, {p521.Public(), certs.KeySpec{Type: certs.EC, Bits: 256}, false}, {ed, certs.KeySpec{Type: certs.Ed25519, Bits: 256}, true},
		{small.Public(), certs.KeySpec{Type: certs.RSA, Bits: 2048}, false}, {large, certs.KeySpec{Type: certs.RSA, Bits: 2048}, true}, {odd, certs.KeySpec{Type: certs.RSA, Bits: 2048}, false}, {nil, certs.KeySpec{Type: certs.EC, Bits: 256}, false},
	} {
		if rule := certs.CheckPublicKey(c.key, c.want); (rule == "") != c.ok {
			t.Errorf("%T for %v: %q", c.key, c.want, rule)
		}
	}
}

// TestMistake56NameConstraints: excluded names count whatever else is permitted, and a wildcard is all that it stands for.
func TestMistake56NameConstraints(t *testing.T) {
	_, ten, _ := net.ParseCIDR("10.0.0.0/8")
	ca := &x509.Certificate{
		PermittedDNSDomains: []string{"example.com"}, ExcludedDNSDomains: []string{"secret.example.com"}, PermittedIPRanges: []*net.IPNet{ten},
		ExcludedEmailAddresses: []string{"root@example.com", ".evil.com"}, PermittedURIDomains: []string{".cluster.local"},
	}
	uri := func(s string) []*url.URL { u, _ := url.Parse(s); return []*url.URL{u} }
	for _, c := range []struct {
		leaf x509.Certificate
		ok   bool
	}{
		{x509.Certificate{DNSNames: []string{"a.example.com"}}, true}, {x509.Certificate{DNSNames: []string{"SECRET.example.com"}}, false}, {x509.Certificate{DNSNames: []string{"a.secret.example.com"}}, false},
		{x509.Certificate{DNSNames: []string{"*.example.com"}}, false}, {x509.Certificate{DNSNames: []string{"*.a.example.com"}}, true}, {x509.Certificate{DNSNames: []string{"a.example.org"}}, false},
		{x509.Certificate{IPAddresses: []net.IP{net.ParseIP("10.1.2.3")}}, true}, {x509.Certificate{IPAddresses: []net.IP{net.ParseIP("11.1.2.3")}}, false},
		{x509.Certificate{EmailAddresses: []string{"ann@example.com"}}, true}, {x509.Certificate{EmailAddresses: []string{"Root@example.com"}}, false}, {x509.Certificate{EmailAddresses: []string{"a@b.evil.com"}}, false},
		{x509.Certificate{URIs: uri("spiffe://a.cluster.local/x")}, true}, {x509.Certificate{URIs: uri("spiffe://cluster.local/x")}, false},
	} {
		if bad := certs.CheckConstraints(&c.leaf, []*x509.Certificate{{}, ca}); (bad == "") != c.ok {
			t.Errorf("%v %v %v %v: %q", c.leaf.DNSNames, c.leaf.IPAddresses, c.leaf.EmailAddresses, c.leaf.URIs, bad)
		}
	}
}

// TestMistake48LinearPEM: what a parser might read again from each line on costs no more than its length.
func TestMistake48LinearPEM(t *testing.T) {
	for name, part := range map[string]string{
		"begins": "-----BEGIN CERTIFICATE-----\n", "ends": "-----END CERTIFICATE-----\n", "dashes": "-----", "halves": "-----BEGIN CERTIFICATE-----\n-----END X-----\n",
	} {
		text := strings.Repeat(part, certs.MaxPEM/len(part))
		start := time.Now()
		if _, err := certs.ParseCertificates("chain_pem", text); err == nil {
			t.Errorf("%s: that is no certificate", name)
		}
		if took := time.Since(start); took > 250*time.Millisecond {
			t.Errorf("%s: %v for %d bytes", name, took, len(text))
		}
	}
	if _, err := certs.ParseCertificates("chain_pem", strings.Repeat("x", certs.MaxPEM+1)); err == nil {
		t.Error("more than MaxPEM bytes are read")
	}
}
