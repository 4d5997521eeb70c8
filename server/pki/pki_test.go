package pki_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/pki"
)

func allOf() pki.CertificateQuery { return pki.CertificateQuery{IncludeRevoked: true} }

func base64Lines(der []byte) string {
	text := base64.StdEncoding.EncodeToString(der)
	var b strings.Builder
	for len(text) > 64 {
		b.WriteString(text[:64] + "\n")
		text = text[64:]
	}
	return b.String() + text + "\n"
}

// flipped is a request whose last byte, of its signature, is another one.
func flipped(t *testing.T, text string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	block.Bytes[len(block.Bytes)-1] ^= 1
	return string(pem.EncodeToMemory(block))
}

// Each kind of authority makes certificates that Go and the chain agree on.
func TestKindsOfKeys(t *testing.T) {
	each(t, func(w *world) {
		for kind, bits := range map[string]int{"rsa": 2048, "ec": 384, "ed25519": 0} {
			below := w.authority(vaultapi.AuthorityWrite{Name: kind, CommonName: kind, CAType: "intermediate", ParentCAID: "root", KeyType: kind, KeySize: bits})
			name := "web"
			if _, err := w.PatchRole(t.Context(), admin, name, vaultapi.PKIRolePatch{CAID: &below.ID, KeyType: &kind}); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			made := w.issue("a.example.com", "b.example.com")
			roots, between := x509.NewCertPool(), x509.NewCertPool()
			between.AddCert(parsed(t, made.CAChain[0]))
			roots.AddCert(parsed(t, made.CAChain[1]))
			c := parsed(t, made.Certificate)
			options := x509.VerifyOptions{DNSName: "b.example.com", Roots: roots, Intermediates: between, CurrentTime: w.clock()}
			if _, err := c.Verify(options); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			if c.SerialNumber.BitLen() > 128 || c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() < 80 {
				t.Errorf("%s: serial of %d bits", kind, c.SerialNumber.BitLen())
			}
		}
	})
}

// An authority's own limits hold for all below it: path length, name constraints, its end.
func TestLimitsOfAuthorities(t *testing.T) {
	each(t, func(w *world) {
		one := 1
		a := w.authority(vaultapi.AuthorityWrite{Name: "a", CommonName: "A", CAType: "root", MaxPathLength: &one, ValidityDays: 10, PermittedDNSDomains: []string{"corp.test"}, ExcludedDNSDomains: []string{"no.corp.test"}})
		b := w.authority(vaultapi.AuthorityWrite{Name: "b", CommonName: "B", CAType: "intermediate", ParentCAID: "a"})
		if b.MaxPathLength == nil || *b.MaxPathLength != 0 || b.ValidUntil.After(a.ValidUntil.Time) {
			t.Errorf("below: %+v", b)
		}
		for what, bad := range map[string]vaultapi.AuthorityWrite{
			"parent_ca_id":    {Name: "c", CommonName: "C", CAType: "intermediate", ParentCAID: "b"},
			"max_path_length": {Name: "c", CommonName: "C", CAType: "intermediate", ParentCAID: "a", MaxPathLength: &one},
			"common_name":     {Name: "c", CommonName: "A", CAType: "intermediate", ParentCAID: "a"},
			"ca_type":         {Name: "c", CommonName: "C", CAType: "leaf"},
			"key_type":        {Name: "c", CommonName: "C", CAType: "root", KeyType: "rsa", KeySize: 1024},
			"name":            {Name: "c/d", CommonName: "C", CAType: "root"},
		} {
			_, err := w.CreateAuthority(t.Context(), admin, bad)
			w.refused(what, err, fault.CodeValidation, what)
		}
		if _, err := w.PatchRole(t.Context(), admin, "web", vaultapi.PKIRolePatch{CAID: &b.ID, AllowedDomains: &[]string{"*.corp.test", "*.no.corp.test", "*.example.com"}}); err != nil {
			t.Fatal(err)
		}
		w.issue("x.corp.test")
		for _, name := range []string{"x.no.corp.test", "x.example.com"} {
			_, err := w.Issue(t.Context(), issuer, "web", vaultapi.CertificateIssue{CommonName: name})
			w.refused(name, err, fault.CodeValidation, name)
		}
		w.pass(9*24*time.Hour + 12*time.Hour)
		if made := w.issue("x.corp.test"); made.ValidUntil.After(b.ValidUntil.Time) {
			t.Errorf("outlives its authority: %v after %v", made.ValidUntil, b.ValidUntil)
		}
		w.pass(24 * time.Hour)
		_, err := w.Issue(t.Context(), issuer, "web", vaultapi.CertificateIssue{CommonName: "x.corp.test"})
		w.refused("of an authority that expired", err, fault.CodeCAInactive, "b")
	})
}

func TestRevoke(t *testing.T) {
	each(t, func(w *world) {
		made, other := w.issue("a.example.com"), w.issue("a.example.com")
		for _, serial := range []string{strings.ToLower(made.SerialNumber), strings.ReplaceAll(made.SerialNumber, ":", ""), made.SerialNumber} {
			got, err := w.Revoke(t.Context(), admin, vaultapi.CertificateRevoke{SerialNumber: serial, Reason: "key_compromise"})
			if err != nil || got.Status != "revoked" || *got.RevocationReason != "key_compromise" || !got.RevokedAt.Equal(w.clock()) {
				t.Fatalf("%s: %v %+v", serial, err, got)
			}
		}
		again, err := w.Revoke(t.Context(), admin, vaultapi.CertificateRevoke{CertificateID: made.ID, Reason: "superseded"})
		if err != nil || *again.RevocationReason != "key_compromise" {
			t.Errorf("again: %v %+v", err, again)
		}
		for what, bad := range map[string]vaultapi.CertificateRevoke{
			"reason": {SerialNumber: made.SerialNumber, Reason: "because"}, "serial_number": {SerialNumber: "xyz"}, "certificate_id": {},
		} {
			_, err := w.Revoke(t.Context(), admin, bad)
			w.refused(what, err, fault.CodeValidation, "")
		}
		_, err = w.Renew(t.Context(), issuer, made.ID)
		w.refused("renew", err, fault.CodeCertificateRevoked, made.ID)
		if _, err := w.RevokeAuthority(t.Context(), admin, "root", vaultapi.AuthorityRevoke{Reason: "ca_compromise"}); err != nil {
			t.Fatal(err)
		}
		if got, err := w.Certificate(t.Context(), issuer, other.ID); err != nil || got.Status != "revoked" {
			t.Errorf("below an authority that was revoked: %v %+v", err, got)
		}
		_, err = w.Issue(t.Context(), issuer, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
		w.refused("issue", err, fault.CodeCAInactive, "root")
	})
}

func TestRenewKeepsNamesAndLife(t *testing.T) {
	each(t, func(w *world) {
		old := w.issue("a.example.com", "b.example.com")
		w.pass(24 * time.Hour)
		made, err := w.Renew(t.Context(), issuer, old.ID)
		if err != nil || made.Replaces != old.ID || made.ValidUntil.Sub(w.clock()) != 48*time.Hour || made.PrivateKey.Reveal() == old.PrivateKey.Reveal() {
			t.Fatalf("%v %+v", err, made)
		}
		if names := parsed(t, made.Certificate).DNSNames; strings.Join(names, " ") != "a.example.com b.example.com" {
			t.Errorf("names %v", names)
		}
		domains := []string{"*.other.test"}
		if _, err := w.PatchRole(t.Context(), admin, "web", vaultapi.PKIRolePatch{AllowedDomains: &domains}); err != nil {
			t.Fatal(err)
		}
		_, err = w.Renew(t.Context(), issuer, old.ID)
		w.refused("a role that allows the names no more", err, fault.CodeValidation, "a.example.com")
	})
}

func TestListByExpiry(t *testing.T) {
	each(t, func(w *world) {
		var want []string
		for range 3 {
			want = append(want, w.issue("a.example.com").ID)
			w.pass(time.Hour)
		}
		var got []string
		q := pki.CertificateQuery{ExpiringWithin: 46*time.Hour + 30*time.Minute, Limit: 1}
		for {
			list, err := w.Certificates(t.Context(), issuer, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list.Data {
				got = append(got, c.ID)
			}
			if !list.HasMore {
				break
			}
			q.Cursor = *list.Cursor
		}
		if strings.Join(got, " ") != strings.Join(want[:2], " ") {
			t.Errorf("got %v of %v", got, want)
		}
	})
}
