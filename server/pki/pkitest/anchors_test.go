package pkitest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

func TestTrustAnchors(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Partner Root"))
		a, err := w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: "partner", Description: "theirs", CertificatePEM: text(out.cert)})
		must(t, err)
		if !strings.HasPrefix(a.ID, "ta_") || a.Subject != "CN=Partner Root" || a.CertificatePEM != text(out.cert) {
			t.Fatalf("got %+v", a)
		}
		_, err = w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: "partner", CertificatePEM: text(out.cert)})
		wantCode(t, err, fault.CodeTrustAnchorExists)
		name := "partners"
		_, err = w.PatchAnchor(t.Context(), admin, a.ID, vaultapi.TrustAnchorPatch{Name: &name})
		must(t, err)
		read, err := w.Anchor(t.Context(), asker, name)
		must(t, err)
		if read.ID != a.ID || read.Name != name || read.Description != "theirs" {
			t.Fatalf("got %+v", read)
		}
		must(t, w.DeleteAnchor(t.Context(), admin, name))
		_, err = w.Anchor(t.Context(), admin, a.ID)
		wantCode(t, err, fault.CodeTrustAnchorNotFound)
	})
}

func TestTrustAnchorsByPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Root"))
		for i := range 3 {
			_, err := w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: fmt.Sprintf("a%d", i), CertificatePEM: text(out.cert)})
			must(t, err)
		}
		first, err := w.Anchors(t.Context(), issuer, 2, "")
		must(t, err)
		if len(first.Data) != 2 || !first.HasMore || first.Cursor == nil {
			t.Fatalf("got %+v", first)
		}
		second, err := w.Anchors(t.Context(), issuer, 2, *first.Cursor)
		must(t, err)
		if len(second.Data) != 1 || second.HasMore || second.Data[0].Name != "a2" {
			t.Fatalf("got %+v", second)
		}
		_, err = w.Anchors(t.Context(), stranger, 2, *first.Cursor)
		wantCode(t, err, fault.CodeInvalidCursor)
	})
}

// TestAnchorsAreAuthorities: a leaf that were trusted as a root would vouch for itself, and one with another's key usage
// or an end in the past for nobody.
func TestAnchorsAreAuthorities(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Root"))
		weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
		must(t, err)
		notCA, noSign, ended, early := authority("x"), authority("x"), authority("x"), authority("x")
		notCA.IsCA, notCA.MaxPathLen = false, 0
		noSign.KeyUsage = x509.KeyUsageDigitalSignature
		ended.NotAfter = noon.Add(-1)
		early.NotBefore = noon.Add(day)
		for what, given := range map[string]string{
			"a leaf":                        text(out.leaf(t, nil)),
			"not an authority":              text(newOutside(t, notCA).cert),
			"may not sign":                  text(newOutside(t, noSign).cert),
			"expired":                       text(newOutside(t, ended).cert),
			"not valid yet":                 text(newOutside(t, early).cert),
			"weak key":                      text(out.sign(t, authority("x"), weak.Public())),
			"two at once":                   text(out.cert, out.cert),
			"nothing":                       "",
			"a certificate within a letter": "Here it is:\n" + text(out.cert),
		} {
			if _, err := w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: "x", CertificatePEM: given}); fault.Code(err) != fault.CodeValidation {
				t.Errorf("%s: got %v", what, err)
			}
		}
		for _, name := range []string{"", "..", "ta_x", "a/b", strings.Repeat("a", 129)} {
			_, err := w.CreateAnchor(t.Context(), admin, vaultapi.TrustAnchorWrite{Name: name, CertificatePEM: text(out.cert)})
			wantField(t, err, "name")
		}
	})
}

// TestAnchorsOfOthers: an anchor decides what a whole tenant trusts.
func TestAnchorsOfOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := newOutside(t, authority("Root"))
		write := vaultapi.TrustAnchorWrite{Name: "x", CertificatePEM: text(out.cert)}
		_, err := w.CreateAnchor(t.Context(), issuer, write)
		wantCode(t, err, fault.CodeInsufficientScope)
		a, err := w.CreateAnchor(t.Context(), admin, write)
		must(t, err)
		_, err = w.Anchor(t.Context(), nobody, a.ID)
		wantCode(t, err, fault.CodeInsufficientScope)
		wantCode(t, w.DeleteAnchor(t.Context(), issuer, a.ID), fault.CodeInsufficientScope)
		for _, ref := range []string{a.ID, a.Name} {
			_, err = w.Anchor(t.Context(), stranger, ref)
			wantCode(t, err, fault.CodeTrustAnchorNotFound)
			_, err = w.PatchAnchor(t.Context(), stranger, ref, vaultapi.TrustAnchorPatch{})
			wantCode(t, err, fault.CodeTrustAnchorNotFound)
			wantCode(t, w.DeleteAnchor(t.Context(), stranger, ref), fault.CodeTrustAnchorNotFound)
		}
		if l, err := w.Anchors(t.Context(), stranger, 0, ""); err != nil || len(l.Data) > 0 {
			t.Fatalf("got %+v, %v", l, err)
		}
	})
}
