package revocation_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/pki/revocation"
)

// rotate gives an authority its next key, and the id of the slot that was active.
func (w *world) rotate(id string) (next *x509.Certificate, old string) {
	w.Helper()
	before, err := w.pki.Slots(w.Context(), admin, id)
	w.fatal(err)
	made, err := w.pki.PrepareSlot(w.Context(), admin, id, vaultapi.AuthoritySlotWrite{})
	w.fatal(err)
	_, err = w.pki.ActivateSlot(w.Context(), admin, id, made.ID)
	w.fatal(err)
	block, _ := pem.Decode([]byte(made.CertificatePEM))
	next, err = x509.ParseCertificate(block.Bytes)
	w.fatal(err)
	return next, before.Slots[0].ID
}

// What an old key of an authority signed is answered for by that key, and what the new one signed by the new one; the
// lists of both name all that is revoked. A key that is retired answers no more, on no replica.
func TestRotatedAuthority(t *testing.T) {
	each(t, func(w *world) {
		other, first, early := w.replica(), w.issuer, w.issue()
		w.ask(w.Service, early)
		w.ask(other, early)
		second, old := w.rotate(w.middle)
		w.issuer = second
		late := w.issue()
		w.revoke(early, "superseded")
		w.revoke(late, "key_compromise")
		for _, by := range []*revocation.Service{w.Service, other} {
			for _, signer := range []struct {
				issuer, leaf *x509.Certificate
				reason       int
			}{{first, early, 4}, {second, late, 1}} {
				w.issuer = signer.issuer
				if a := w.ask(by, signer.leaf); a.Status != ocsp.Revoked || a.RevocationReason != signer.reason {
					w.Errorf("OCSP: %d for %d", a.Status, a.RevocationReason)
				}
				got, err := by.List(w.Context(), "", w.middle, hex.EncodeToString(signer.issuer.SubjectKeyId))
				w.fatal(err)
				list, err := x509.ParseRevocationList(got.DER)
				w.fatal(err)
				if list.CheckSignatureFrom(signer.issuer) != nil || listed(list, early) != 4 || listed(list, late) != 1 {
					w.Errorf("a list by another key, or of reasons %d and %d", listed(list, early), listed(list, late))
				}
			}
		}
		_, err := w.pki.RetireSlot(w.Context(), admin, w.middle, old, vaultapi.AuthoritySlotRetire{Force: true})
		w.fatal(err)
		w.issuer = first
		for _, by := range []*revocation.Service{w.Service, other, w.replica()} {
			if got := w.refusal(by, w.middle, w.question(late, "")); got != ocsp.Unauthorized {
				w.Errorf("a retired key: %v", got)
			}
			w.pass(time.Second)
		}
	})
}

// All certificates of an authority that is revoked are in the list of the one above, whichever of its keys they are for.
func TestRotatedAuthorityIsRevoked(t *testing.T) {
	each(t, func(w *world) {
		next, _ := w.rotate(w.middle)
		der, err := w.Certificate(w.Context(), "", w.root, "")
		w.fatal(err)
		root, err := x509.ParseCertificate(der)
		w.fatal(err)
		said := func(c *x509.Certificate) int {
			kept := w.issuer
			w.issuer = root
			got, err := w.Respond(w.Context(), "", w.root, w.question(c, ""))
			w.issuer = kept
			w.fatal(err)
			answer, err := ocsp.ParseResponseForCert(got.DER, c, root)
			w.fatal(err)
			return answer.Status
		}
		for _, want := range []int{ocsp.Good, ocsp.Revoked} {
			list := w.list(w.Service, w.root)
			for _, c := range []*x509.Certificate{w.issuer, next} {
				if got := said(c); got != want || (listed(list, c) == 2) != (want == ocsp.Revoked) {
					w.Errorf("OCSP %d, want %d; the list says %d", got, want, listed(list, c))
				}
			}
			_, err = w.pki.RevokeAuthority(w.Context(), admin, w.middle, vaultapi.AuthorityRevoke{Reason: "ca_compromise"})
			w.fatal(err)
		}
	})
}
