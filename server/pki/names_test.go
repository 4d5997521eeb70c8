package pki_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// outside are names that a role below example.com (no addresses, no URIs, no mail) does not allow, or that are no names.
func outside() []string {
	return []string{
		"evil.com", "evilexample.com", "example.com.evil.com", "com", "*", "*.com", "a.example.com.", "a..example.com", ".example.com", "*.*.example.com", "a.*.example.com",
		"ex\u0430mple.com", "a.example.com\x00.evil.com", "a\n.example.com", "xn--a.example.com", "ab--cd.example.com", "a_b.example.com", "example。com", "a.example.com:443",
		"https://a.example.com", "a.example.com/b", "10.0.0.1", "::1", "ann@example.com", "ann@evil.com", "spiffe://example.com/a", "127.1", "0x7f.1", "\u202ea.example.com", " a.example.com",
	}
}

func named(name string) x509.CertificateRequest {
	return x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}
}

// TestMistake55OneJudgeOfNames: no way to a certificate goes without the judgement of the others (CVE-2025-44005):
// issue, sign by the request, sign by the body; in the common name, among the alternative names, among the addresses.
func TestMistake55OneJudgeOfNames(t *testing.T) {
	each(t, func(w *world) {
		w.role(vaultapi.PKIRoleWrite{Name: "wide", CAID: w.root, AllowedDomains: []string{"example.com"}, AllowSubdomains: true})
		k := key(w)
		good := request(w, named("a.example.com"), k)
		for _, name := range outside() {
			ways := map[string]error{}
			_, ways["issue, common name"] = w.Issue(w.Context(), boss, "wide", vaultapi.CertificateIssue{CommonName: name})
			_, ways["issue, alternative"] = w.Issue(w.Context(), boss, "wide", vaultapi.CertificateIssue{CommonName: "a.example.com", AltNames: []string{name}})
			_, ways["issue, address"] = w.Issue(w.Context(), boss, "wide", vaultapi.CertificateIssue{CommonName: "a.example.com", IPSANs: []string{name}})
			_, ways["sign, body"] = w.Sign(w.Context(), boss, "wide", vaultapi.CertificateSign{CSRPEM: good, AltNames: []string{name}})
			_, ways["sign, address"] = w.Sign(w.Context(), boss, "wide", vaultapi.CertificateSign{CSRPEM: good, IPSANs: []string{name}})
			_, ways["sign, common name"] = w.Sign(w.Context(), boss, "wide", vaultapi.CertificateSign{CSRPEM: request(w, named(name), k)})
			for way, err := range ways {
				w.refused(way+" "+name, err, fault.CodeValidation, "")
			}
		}
		w.nothingIssued()
	})
}

// nothingIssued fails where an attack left a certificate behind.
func (w *world) nothingIssued() {
	w.Helper()
	l, err := w.Certificates(w.Context(), boss, allOf())
	w.must(err)
	for _, c := range l.Data {
		w.Errorf("there is a certificate for %v", c.AltNames)
	}
}

// TestMistake54NobodysCertificate: a certificate without any name would be good for all of them (CVE-2024-7594).
func TestMistake54NobodysCertificate(t *testing.T) {
	each(t, func(w *world) {
		no := false
		w.role(vaultapi.PKIRoleWrite{Name: "free", CAID: w.root, AllowedDomains: []string{"example.com"}, RequireCN: &no})
		for _, role := range []string{"web", "free"} {
			_, err := w.Issue(w.Context(), boss, role, vaultapi.CertificateIssue{})
			w.refused("issue by "+role, err, fault.CodeValidation, "")
			_, err = w.Sign(w.Context(), boss, role, vaultapi.CertificateSign{CSRPEM: request(w, x509.CertificateRequest{}, key(w))})
			w.refused("sign by "+role, err, fault.CodeValidation, "")
		}
		w.nothingIssued()
		made, err := w.Issue(w.Context(), boss, "free", vaultapi.CertificateIssue{AltNames: []string{"example.com"}})
		w.must(err)
		w.must(verified(w, made, "example.com"))
	})
}

// TestMistake56ExcludedNames: what any authority of the chain excludes is not signed, however far above it stands and
// whatever the role allows (CVE-2026-33810).
func TestMistake56ExcludedNames(t *testing.T) {
	each(t, func(w *world) {
		w.authority(vaultapi.AuthorityWrite{Name: "top", CommonName: "top", CAType: "root", ExcludedDNSDomains: []string{"secret.example.com"}, PermittedIPRanges: []string{"10.0.0.0/8"}})
		w.authority(vaultapi.AuthorityWrite{Name: "mid", CommonName: "mid", CAType: "intermediate", ParentCAID: "top", PermittedDNSDomains: []string{"example.com"}})
		w.below("mid", "issuing")
		w.role(vaultapi.PKIRoleWrite{Name: "deep", CAID: "issuing", AllowIPSANs: true, AllowedDomains: []string{"example.com", "example.org"}, AllowSubdomains: true})
		good := request(w, named("a.example.com"), key(w))
		for name, ok := range map[string]bool{
			"a.example.com": true, "secret.example.com": false, "a.secret.example.com": false, "*.example.com": false, "*.secret.example.com": false, "*.a.example.com": true,
			"a.example.org": false, "10.1.2.3": true, "11.1.2.3": false, "fd00::1": false,
		} {
			_, err := w.Issue(w.Context(), boss, "deep", vaultapi.CertificateIssue{CommonName: name})
			_, signed := w.Sign(w.Context(), boss, "deep", vaultapi.CertificateSign{CSRPEM: good, AltNames: []string{name}})
			if (err == nil) != ok || (signed == nil) != ok || !ok && !fault.Is(err, fault.CodeValidation) {
				w.Errorf("%s: %v, signed %v", name, err, signed)
			}
		}
	})
}

// A request that says something twice is refused: nobody is to choose which of the two was meant.
func TestRequestsThatSayThingsTwice(t *testing.T) {
	k := key(t)
	constraint := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}
	twice, two := named("a.example.com"), x509.CertificateRequest{}
	twice.ExtraExtensions = []pkix.Extension{constraint, constraint}
	for _, name := range []string{"a.example.com", "b.example.com"} {
		two.Subject.ExtraNames = append(two.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name})
	}
	each(t, func(w *world) {
		for what, r := range map[string]x509.CertificateRequest{"an extension": twice, "the common name": two} {
			_, err := w.Sign(w.Context(), boss, "web", vaultapi.CertificateSign{CSRPEM: request(w, r, k)})
			w.refused(what, err, fault.CodeValidation, "csr_pem")
		}
		w.nothingIssued()
	})
}
