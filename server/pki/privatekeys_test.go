package pki_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/pki"
)

// keeping makes the role web keep keys, or not.
func (w *world) keeping(keep bool) {
	w.Helper()
	_, err := w.PatchRole(w.Context(), admin, "web", vaultapi.PKIRolePatch{StorePrivateKeys: &keep})
	w.must(err)
}

// A key is kept where the role says so when it is made, is read as it was answered, and fits its certificate.
func TestKeptKeys(t *testing.T) {
	each(t, func(w *world) {
		before := w.by("web", "a.example.com", "")
		w.keeping(true)
		made := w.by("web", "a.example.com", "")
		renewed, err := w.Renew(w.Context(), boss, before.ID)
		w.must(err)
		signed, err := w.Sign(w.Context(), boss, "web", vaultapi.CertificateSign{CSRPEM: request(w, named("a.example.com"), key(w))})
		w.must(err)
		w.keeping(false)
		for _, c := range []vaultapi.IssuedCertificate{made, renewed} {
			got, err := w.replica().CertificateKey(w.Context(), boss, c.ID)
			w.must(err)
			block, _ := pem.Decode([]byte(got.Reveal()))
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			w.must(err)
			if got.Reveal() != c.PrivateKey.Reveal() || !k.(*ecdsa.PrivateKey).PublicKey.Equal(parsed(w, c.Certificate).PublicKey) {
				w.Errorf("the key of %s is another's", c.ID)
			}
		}
		if !strings.Contains(w.trail.Text(), pki.ActionKeyRead) {
			w.Error("reading a key is not recorded")
		}
		for what, id := range map[string]string{"before": before.ID, "signed": signed.ID, "after": w.by("web", "a.example.com", "").ID, "none": "cert_none", "NUL": "cert_\x00"} {
			_, err := w.CertificateKey(w.Context(), boss, id)
			w.refused(what, err, fault.CodeCertificateNotFound, "")
		}
	})
}

// A kept key is for administrators who may issue by its role themselves, and for nobody else.
func TestWhoReadsKeptKeys(t *testing.T) {
	each(t, func(w *world) {
		w.keeping(true)
		made := w.by("web", "a.example.com", "")
		for code, who := range map[string]guard.Caller{
			fault.CodeInsufficientScope: issuer, fault.CodeCertificateNotFound: admin,
		} {
			_, err := w.CertificateKey(w.Context(), who, made.ID)
			w.refused(who.ID, err, code, "")
		}
		_, err := w.CertificateKey(w.Context(), other, made.ID)
		w.refused("another tenant", err, fault.CodeCertificateNotFound, "")
		_, err = w.CertificateKey(w.Context(), boss, made.ID)
		w.must(err)
		w.sets.Grant(w, guardtest.Rule(boss, "pki:another", policy.Issue))
		_, err = w.CertificateKey(w.Context(), boss, made.ID)
		w.refused("without the permission any more", err, fault.CodeCertificateNotFound, "")
	})
}

// Whoever can write to the database cannot have a key of his read as another's.
func TestAKeptKeyCannotBeMoved(t *testing.T) {
	each(t, func(w *world) {
		w.keeping(true)
		a, b := w.by("web", "a.example.com", ""), w.by("web", "b.example.com", "")
		w.exec(`DELETE FROM pki_private_keys WHERE certificate_id = $1`, a.ID)
		w.exec(`UPDATE pki_private_keys SET certificate_id = $1 WHERE certificate_id = $2`, a.ID, b.ID)
		_, err := w.CertificateKey(w.Context(), boss, a.ID)
		w.refused("a moved key", err, fault.CodeInternal, "")
		if strings.Contains(err.Error(), "PRIVATE KEY") {
			w.Error(err)
		}
	})
}

// Kept or not, no key is in what is recorded, and none is in the database but sealed.
func TestKeptKeysAreSealed(t *testing.T) {
	each(t, func(w *world) {
		w.keeping(true)
		made := w.by("web", "a.example.com", "")
		_, err := w.CertificateKey(w.Context(), boss, made.ID)
		w.must(err)
		w.keyIsNowhere(made)
	})
}
