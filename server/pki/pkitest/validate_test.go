package pkitest

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

const (
	unknownChain = "no chain leads to a root or a trust anchor of this vault"
	revokedChain = "the certificate, or an authority above it, is revoked"
)

func TestValidate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		root := w.root(t, admin, "root")
		w.intermediate(t, "middle", "root")
		w.role(t, "web", "middle")
		c := w.issue(t, "web", "a.svc.example", "24h")
		for _, v := range []vaultapi.CertificateValidate{
			{CertificatePEM: c.CertificatePEM, ChainPEM: c.CAChainPEM, CheckRevocation: true},
			{CertificatePEM: c.CertificatePEM + c.CAChainPEM, CheckRevocation: true},
			{CertificatePEM: c.CertificatePEM, CheckRevocation: true}, // the vault knows its own authorities
		} {
			got := w.validate(t, nobody, v)
			if !got.Valid || got.TrustedBy == nil || *got.TrustedBy != root.ID || !got.RevocationChecked || got.Revoked {
				t.Fatalf("got %+v", got)
			}
			if got.SerialNumber != c.SerialNumber || got.Subject != "CN=a.svc.example" || got.Issuer != "CN=middle" {
				t.Fatalf("got %+v", got)
			}
		}
		w.pass(2 * day)
		wantError(t, w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: c.CertificatePEM}), "the certificate has expired")
		w.pass(-10 * day)
		wantError(t, w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: c.CertificatePEM}), "the certificate is not valid yet")
	})
}

// TestValidateRevoked: of a leaf, and of an authority two above it.
func TestValidateRevoked(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.root(t, admin, "root")
		w.intermediate(t, "upper", "root")
		w.intermediate(t, "lower", "upper")
		w.role(t, "web", "lower")
		a, b := w.issue(t, "web", "a.svc.example", "24h"), w.issue(t, "web", "b.svc.example", "24h")
		_, err := w.Revoke(t.Context(), admin, vaultapi.CertificateRevoke{CertificateID: a.ID})
		must(t, err)
		of := func(pem string, check bool) vaultapi.CertificateValidation {
			return w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: pem, CheckRevocation: check})
		}
		got := of(a.CertificatePEM, true)
		wantError(t, got, revokedChain)
		if !got.Revoked || !got.RevocationChecked || got.TrustedBy == nil {
			t.Fatalf("got %+v", got)
		}
		if got := of(a.CertificatePEM, false); !got.Valid || got.Revoked || got.RevocationChecked {
			t.Fatalf("nobody asked for revocation: %+v", got)
		}
		if got := of(b.CertificatePEM, true); !got.Valid {
			t.Fatalf("got %+v", got)
		}
		_, err = w.RevokeAuthority(t.Context(), admin, "upper", vaultapi.AuthorityRevoke{})
		must(t, err)
		wantError(t, of(b.CertificatePEM, true), revokedChain)
		lower, err := w.AuthorityCertificate(t.Context(), admin, "lower")
		must(t, err)
		wantError(t, of(lower.CertificatePEM, true), revokedChain)
	})
}

func TestValidateByAnchor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Partner Root"))
		leaf := out.leaf(t, nil)
		v := vaultapi.CertificateValidate{CertificatePEM: text(leaf), ChainPEM: text(out.cert), CheckRevocation: true}
		wantError(t, w.validate(t, nobody, v), unknownChain) // a root that was only shown is not trusted
		a, err := w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: "partner", CertificatePEM: text(out.cert)})
		must(t, err)
		got := w.validate(t, nobody, v)
		if !got.Valid || got.TrustedBy == nil || *got.TrustedBy != a.ID || got.RevocationChecked {
			t.Fatalf("got %+v", got)
		}
		late := out.leaf(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) })
		wantError(t, w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: text(late)}), "the certificate has expired")
		must(t, w.DeleteAnchor(t.Context(), admin, a.ID))
		wantError(t, w.validate(t, nobody, v), unknownChain)
	})
}

func TestValidateNames(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		draft := authority("Partner Root")
		draft.PermittedDNSDomains, draft.PermittedDNSDomainsCritical = []string{"out.example"}, true
		out := newOutside(t, draft)
		_, err := w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: "partner", CertificatePEM: text(out.cert)})
		must(t, err)
		good := out.leaf(t, nil)
		if got := w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: text(good)}); !got.Valid {
			t.Fatalf("got %+v", got)
		}
		bad := out.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"a.svc.example"} })
		wantError(t, w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: text(bad)}), "a name is outside of the name constraints of an authority above it")
	})
}

// TestValidateTellsNothingOfOthers: another tenant's certificate, revoked or not, is to everybody else one of nobody,
// and so is one that was made up with the serial of a certificate on record.
func TestValidateTellsNothingOfOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.root(t, admin, "root")
		w.role(t, "web", "root")
		live, dead := w.issue(t, "web", "a.svc.example", "24h"), w.issue(t, "web", "a.svc.example", "24h")
		_, err := w.Revoke(t.Context(), admin, vaultapi.CertificateRevoke{CertificateID: dead.ID})
		must(t, err)
		for _, c := range []vaultapi.IssuedCertificate{live, dead} {
			got := w.validate(t, stranger, vaultapi.CertificateValidate{CertificatePEM: c.CertificatePEM, ChainPEM: c.CAChainPEM, CheckRevocation: true})
			if got.Revoked || got.RevocationChecked || got.TrustedBy != nil || len(got.Errors) != 1 || got.Errors[0] != unknownChain {
				t.Fatalf("got %+v", got)
			}
		}
		forged := newOutside(t, authority("root")).leaf(t, func(c *x509.Certificate) { c.SerialNumber = parse(t, dead.CertificatePEM).SerialNumber })
		got := w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: text(forged), CheckRevocation: true})
		if got.Revoked || got.RevocationChecked || got.Valid {
			t.Fatalf("the serial alone told of the certificate on record: %+v", got)
		}
	})
}

func TestValidateOfNoCertificate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := text(newOutside(t, authority("Root")).cert)
		for _, bad := range []string{"", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
			_, err := w.Validate(t.Context(), nobody, vaultapi.CertificateValidate{CertificatePEM: bad})
			wantField(t, err, "certificate_pem")
			if bad != "" {
				_, err = w.Validate(t.Context(), nobody, vaultapi.CertificateValidate{CertificatePEM: c, ChainPEM: bad})
				wantField(t, err, "chain_pem")
			}
		}
		_, err := w.Validate(t.Context(), nobody, vaultapi.CertificateValidate{})
		wantCode(t, err, fault.CodeValidation)
	})
}
