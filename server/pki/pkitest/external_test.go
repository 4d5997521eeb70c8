package pkitest

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

func (w *world) request(t *testing.T, name string, depth *int) vaultapi.AuthorityRequest {
	t.Helper()
	r, err := w.RequestAuthority(t.Context(), admin, vaultapi.AuthorityRequestWrite{Name: name, CommonName: "Outer " + name, KeyType: "ec", MaxPathLength: depth})
	must(t, err)
	return r
}

// subordinate signs a request as an authority outside of the vault would, changed by a test.
func (o outside) subordinate(t *testing.T, r vaultapi.AuthorityRequest, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(r.CSRPEM))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	must(t, err)
	must(t, csr.CheckSignature())
	draft := authority("")
	draft.Subject = csr.Subject
	if change != nil {
		change(&draft)
	}
	return o.sign(t, draft, csr.PublicKey)
}

func (w *world) install(t *testing.T, r vaultapi.AuthorityRequest, cert *x509.Certificate, above ...*x509.Certificate) (vaultapi.Authority, error) {
	t.Helper()
	return w.InstallAuthority(t.Context(), admin, r.ID, vaultapi.AuthorityInstall{CertificatePEM: text(cert), ChainPEM: text(above...)})
}

func TestExternalIntermediate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Company Root"))
		r := w.request(t, "outer", nil)
		if !strings.HasPrefix(r.ID, "car_") || r.CommonName != "Outer outer" || r.Renewal || r.MaxPathLength != nil {
			t.Fatalf("got %+v", r)
		}
		ca, err := w.install(t, r, out.subordinate(t, r, nil), out.cert)
		must(t, err)
		if ca.ID != r.CAID || ca.CAType != "intermediate" || ca.ParentCAID != nil || !ca.IsActive {
			t.Fatalf("got %+v", ca)
		}
		_, err = w.AuthorityRequest(t.Context(), admin, r.ID)
		wantCode(t, err, fault.CodeCARequestNotFound)

		w.role(t, "web", "outer")
		w.intermediate(t, "inner", "outer")
		w.role(t, "deep", "inner")
		c, d := w.issue(t, "web", "a.svc.example", "24h"), w.issue(t, "deep", "a.svc.example", "24h")
		if len(c.CAChain) != 2 || c.CAChain[1] != text(out.cert) || len(d.CAChain) != 3 || d.CAChain[2] != text(out.cert) {
			t.Fatalf("the chain must go up to the root outside: %v, %v", c.CAChain, d.CAChain)
		}
		wantError(t, w.trusted(t, c), unknownChain) // nobody said that the root outside is trusted
		a, err := w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: "company", CertificatePEM: text(out.cert)})
		must(t, err)
		for _, leaf := range []vaultapi.IssuedCertificate{c, d} {
			got := w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: leaf.CertificatePEM, CheckRevocation: true})
			if !got.Valid || *got.TrustedBy != a.ID || !got.RevocationChecked {
				t.Fatalf("got %+v", got)
			}
		}
	})
}

// TestExternalByAnchor: the chain may end below a trust anchor, which is then part of it.
func TestExternalByAnchor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Company Root"))
		r := w.request(t, "outer", nil)
		cert := out.subordinate(t, r, nil)
		_, err := w.install(t, r, cert)
		wantField(t, err, "chain_pem")
		_, err = w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: "company", CertificatePEM: text(out.cert)})
		must(t, err)
		_, err = w.install(t, r, cert)
		must(t, err)
		got, err := w.AuthorityCertificate(t.Context(), admin, "outer")
		must(t, err)
		if got.CAChainPEM != text(out.cert) {
			t.Fatalf("got %+v", got)
		}
	})
}

// TestExternalRotates: the next request's certificate becomes a slot.
func TestExternalRotates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out, other := newOutside(t, authority("Company Root")), newOutside(t, authority("Company Root 2"))
		r := w.request(t, "outer", nil)
		ca, err := w.install(t, r, out.subordinate(t, r, nil), out.cert)
		must(t, err)
		w.role(t, "web", "outer")
		c := w.issue(t, "web", "a.svc.example", "24h")
		_, err = w.PrepareSlot(t.Context(), admin, "outer", vaultapi.AuthoritySlotWrite{})
		wantCode(t, err, fault.CodeCAExternal)
		w.pass(day / 24)

		next, err := w.RequestAuthority(t.Context(), admin, vaultapi.AuthorityRequestWrite{CAID: "outer"})
		must(t, err)
		if !next.Renewal || next.CAID != ca.ID || next.CommonName != "Outer outer" || next.KeyType != "ec" {
			t.Fatalf("got %+v", next)
		}
		_, err = w.RequestAuthority(t.Context(), admin, vaultapi.AuthorityRequestWrite{CAID: "outer"})
		wantCode(t, err, fault.CodeCAExists)
		_, err = w.install(t, next, other.subordinate(t, next, nil), other.cert)
		must(t, err)
		w.activate(t, "outer", w.slots(t, "outer", "active", "prepared")[1].ID)
		d := w.issue(t, "web", "b.svc.example", "24h")
		if d.CAChain[1] != text(other.cert) || c.CAChain[1] != text(out.cert) {
			t.Fatalf("got %v", d.CAChain)
		}
		for i, o := range []outside{out, other} {
			_, err = w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: []string{"one", "two"}[i], CertificatePEM: text(o.cert)})
			must(t, err)
		}
		if !w.trusted(t, c).Valid || !w.trusted(t, d).Valid {
			t.Fatal("both are trusted while the old slot is retiring")
		}
	})
}

// TestExternalCertificateIsJudged: what is no use as an authority, or is somebody else's, never becomes one. The request
// stays, for a better one.
func TestExternalCertificateIsJudged(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out, stray := newOutside(t, authority("Company Root")), newOutside(t, authority("Stray Root"))
		one := 1
		r, another := w.request(t, "outer", &one), w.request(t, "another", nil)
		good := out.subordinate(t, r, nil)
		forged := *good
		forged.Raw = append([]byte{}, good.Raw...)
		forged.Raw[len(forged.Raw)-1] ^= 1
		for what, cert := range map[string]*x509.Certificate{
			"another request's key": out.subordinate(t, another, nil),
			"a leaf":                out.leaf(t, nil),
			"no authority":          out.subordinate(t, r, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen = false, 0 }),
			"expired":               out.subordinate(t, r, func(c *x509.Certificate) { c.NotAfter = noon.Add(-1) }),
			"not valid yet":         out.subordinate(t, r, func(c *x509.Certificate) { c.NotBefore = noon.Add(day) }),
			"may not sign":          out.subordinate(t, r, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }),
			"may sign no lists":     out.subordinate(t, r, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }),
			"shorter path":          out.subordinate(t, r, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }),
			"no subject":            out.subordinate(t, r, func(c *x509.Certificate) { c.Subject = pkix.Name{} }),
		} {
			_, err := w.install(t, r, cert, out.cert)
			if fault.Code(err) != fault.CodeValidation || fault.From(err).Details["fields"].(map[string]string)["certificate_pem"] == "" {
				t.Errorf("%s: got %v", what, err)
			}
		}
		narrow, late := authority("Narrow"), authority("Late")
		narrow.MaxPathLen = 1
		late.NotAfter = noon.Add(-1)
		short, ended := newOutside(t, narrow), newOutside(t, late)
		fake := newOutside(t, authority("Company Root")) // the root's name, another key
		for what, chain := range map[string][]*x509.Certificate{
			"no chain":             {good},
			"another root":         {good, stray.cert},
			"the root's name only": {good, fake.cert},
			"a bad signature":      {&forged, out.cert},
			"out of order":         {good, stray.cert, out.cert},
			"no room below":        {short.subordinate(t, r, nil), short.cert},
			"an expired root":      {ended.subordinate(t, r, nil), ended.cert},
			"a leaf above":         {good, out.leaf(t, nil), out.cert},
		} {
			_, err := w.install(t, r, chain[0], chain[1:]...)
			if fault.Code(err) != fault.CodeValidation || fault.From(err).Details["fields"].(map[string]string)["chain_pem"] == "" {
				t.Errorf("%s: got %v", what, err)
			}
		}
		_, err := w.Authority(t.Context(), admin, "outer")
		wantCode(t, err, fault.CodeCANotFound)
		_, err = w.install(t, r, good, out.cert)
		must(t, err)
		_, err = w.install(t, r, good, out.cert)
		wantCode(t, err, fault.CodeCARequestNotFound)
	})
}

// TestExternalShorterNext: a next certificate must leave room for what stands below the authority already.
func TestExternalShorterNext(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Company Root"))
		r := w.request(t, "outer", nil)
		_, err := w.install(t, r, out.subordinate(t, r, nil), out.cert)
		must(t, err)
		w.intermediate(t, "inner", "outer")
		next, err := w.RequestAuthority(t.Context(), admin, vaultapi.AuthorityRequestWrite{CAID: "outer"})
		must(t, err)
		zero := out.subordinate(t, next, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
		_, err = w.install(t, next, zero, out.cert)
		wantField(t, err, "certificate_pem")
	})
}

func TestExternalOfOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Company Root"))
		r := w.request(t, "outer", nil)
		install := vaultapi.AuthorityInstall{CertificatePEM: text(out.subordinate(t, r, nil)), ChainPEM: text(out.cert)}
		for who, code := range map[*guard.Caller]string{&issuer: fault.CodeInsufficientScope, &stranger: fault.CodeCARequestNotFound} {
			_, err := w.InstallAuthority(t.Context(), *who, r.ID, install)
			wantCode(t, err, code)
			_, err = w.AuthorityRequest(t.Context(), *who, r.ID)
			wantCode(t, err, code)
			wantCode(t, w.DropAuthorityRequest(t.Context(), *who, r.ID), code)
		}
		if l, err := w.AuthorityRequests(t.Context(), stranger, 0, ""); err != nil || len(l.Data) > 0 {
			t.Fatalf("got %+v, %v", l, err)
		}
		w.root(t, admin, "root")
		_, err := w.RequestAuthority(t.Context(), admin, vaultapi.AuthorityRequestWrite{CAID: "root"})
		wantCode(t, err, fault.CodeCANotExternal)
		_, err = w.RequestAuthority(t.Context(), admin, vaultapi.AuthorityRequestWrite{Name: "root", CommonName: "x", KeyType: "ec"})
		wantCode(t, err, fault.CodeCAExists)
		must(t, w.DropAuthorityRequest(t.Context(), admin, r.ID))
		if l, err := w.AuthorityRequests(t.Context(), admin, 0, ""); err != nil || len(l.Data) > 0 {
			t.Fatalf("got %+v, %v", l, err)
		}
		if strings.Contains(w.trail.Text(), "PRIVATE") {
			t.Fatal("a key is in the trail")
		}
	})
}
