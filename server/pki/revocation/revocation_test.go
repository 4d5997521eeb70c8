package revocation_test

import (
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/pki/revocation"
)

// A revocation is in the next list and the next answer of every replica, with its reason; nothing else is.
func TestListAndOCSPAgree(t *testing.T) {
	each(t, func(w *world) {
		replicas := []*revocation.Service{w.Service, w.replica()}
		bad, good := w.issue(), w.issue()
		for reason, code := range certs.Reasons() {
			for _, by := range replicas {
				if listed(w.list(by, w.middle), bad) != -1 || w.ask(by, bad).Status != ocsp.Good {
					w.Fatal("revoked before it was")
				}
			}
			w.revoke(bad, reason)
			for i, by := range replicas {
				list, answer := w.list(by, w.middle), w.ask(by, bad)
				if listed(list, bad) != code || answer.Status != ocsp.Revoked || answer.RevocationReason != code || !answer.RevokedAt.Equal(w.clock()) {
					w.Errorf("replica %d, %s: the list says %d, OCSP %d %d", i, reason, listed(list, bad), answer.Status, answer.RevocationReason)
				}
				if listed(list, good) != -1 || w.ask(by, good).Status != ocsp.Good {
					w.Errorf("replica %d: another certificate is revoked, too", i)
				}
			}
			bad = w.issue()
		}
	})
}

// An authority that is revoked takes everything below it along, and is in the list of the one above.
func TestRevokedAuthority(t *testing.T) {
	each(t, func(w *world) {
		leaf, before := w.issue(), w.issue()
		w.revoke(before, "key_compromise")
		if w.ask(w.Service, leaf).Status != ocsp.Good || listed(w.list(w.Service, w.root), w.issuer) != -1 {
			w.Fatal("revoked before it was")
		}
		_, err := w.pki.RevokeAuthority(w.Context(), admin, w.middle, vaultapi.AuthorityRevoke{Reason: "ca_compromise"})
		w.fatal(err)
		for _, by := range []*revocation.Service{w.Service, w.replica()} {
			list := w.list(by, w.middle)
			if a := w.ask(by, leaf); a.Status != ocsp.Revoked || a.RevocationReason != 2 || listed(list, leaf) != 2 {
				w.Errorf("a certificate below: %d for %d; the list says %d", a.Status, a.RevocationReason, listed(list, leaf))
			}
			if a := w.ask(by, before); a.RevocationReason != 1 || listed(list, before) != 1 || len(list.RevokedCertificateEntries) != 2 {
				w.Errorf("what was revoked before: %d, the list says %d, of %d", a.RevocationReason, listed(list, before), len(list.RevokedCertificateEntries))
			}
			if listed(w.list(by, w.root), w.issuer) != 2 {
				w.Error("the authority is not in the list of the one above")
			}
		}
	})
}

// The number of a list grows with each list, and there is one list of a number, whoever serves it.
func TestNumbers(t *testing.T) {
	each(t, func(w *world) {
		other := w.replica()
		number := func() int64 {
			w.Helper()
			a, b := w.list(w.Service, w.middle), w.list(other, w.middle)
			if a.Number.Cmp(b.Number) != 0 || !a.ThisUpdate.Equal(b.ThisUpdate) || !a.NextUpdate.Equal(b.NextUpdate) {
				w.Errorf("two lists: %v of %v, %v of %v", a.Number, a.ThisUpdate, b.Number, b.ThisUpdate)
			}
			if now := w.clock(); a.ThisUpdate.After(now) || !a.NextUpdate.After(now) {
				w.Errorf("at %v a list from %v to %v", now, a.ThisUpdate, a.NextUpdate)
			}
			return a.Number.Int64()
		}
		first := number()
		w.pass(11 * time.Hour)
		if got := number(); first != 1 || got != 1 {
			w.Errorf("numbers %d, %d of a list that nothing changed", first, got)
		}
		w.revoke(w.issue(), "")
		if got := number(); got != 2 {
			w.Errorf("after a revocation: %d", got)
		}
		w.pass(12 * time.Hour)
		if got := number(); got != 3 {
			w.Errorf("after half a life: %d", got)
		}
		made, err := w.Regenerate(w.Context(), admin, "middle")
		w.fatal(err)
		if got := number(); made.CRLNumber != 4 || got != 4 || made.RevokedCertificates != 1 || made.CAID != w.middle {
			w.Errorf("made anew: %+v, then %d", made, got)
		}
	})
}

// Many who ask at once for the list after a revocation get one list.
func TestOneListForMany(t *testing.T) {
	each(t, func(w *world) {
		before := w.list(w.Service, w.middle).Number.Int64()
		w.revoke(w.issue(), "")
		other := w.replica()
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				by := w.Service
				if i%2 == 0 {
					by = other
				}
				if got, err := by.List(w.Context(), "", w.middle, ""); err != nil || got.Number != before+1 || got.Revoked != 1 {
					w.Errorf("list %d of %d: %v", got.Number, got.Revoked, err)
				}
			})
		}
		all.Wait()
	})
}

// A list forgets a certificate a day after its end, so that the last list before it had it once more.
func TestEntriesEnd(t *testing.T) {
	each(t, func(w *world) {
		leaf := w.issue() // ends in 48 h
		w.revoke(leaf, "superseded")
		for _, step := range []struct {
			pass time.Duration
			want int
		}{{0, 4}, {49 * time.Hour, 4}, {22 * time.Hour, 4}, {13 * time.Hour, -1}} {
			w.pass(step.pass)
			if got := listed(w.list(w.Service, w.middle), leaf); got != step.want {
				w.Errorf("at %v, the end being %v: %d, want %d", w.clock(), leaf.NotAfter, got, step.want)
			}
		}
	})
}

// A responder's certificate is young, never outlives the authority, and the audit trail knows of it.
func TestResponders(t *testing.T) {
	each(t, func(w *world) {
		leaf := w.issue()
		serials := map[string]bool{}
		for range 8 {
			a := w.ask(w.Service, leaf)
			c := a.Certificate
			serials[c.SerialNumber.String()] = true
			if now := w.clock(); now.Before(c.NotBefore) || !now.Before(c.NotAfter) || c.NotAfter.Sub(now) > 24*time.Hour || a.NextUpdate.After(c.NotAfter) {
				w.Errorf("at %v a responder from %v to %v, and an answer until %v", now, c.NotBefore, c.NotAfter, a.NextUpdate)
			}
			w.pass(6 * time.Hour)
		}
		if n := w.recorded(revocation.ActionResponder); n != len(serials) || n != 3 && n != 4 {
			w.Errorf("%d responders in two days, %d in the trail", len(serials), n)
		}
		w.pass(w.issuer.NotAfter.Sub(w.clock()) - time.Minute)
		if a := w.ask(w.Service, leaf); a.NextUpdate.After(w.issuer.NotAfter) || a.Certificate.NotAfter.After(w.issuer.NotAfter) {
			w.Errorf("beyond the authority's end: %v, %v", a.NextUpdate, a.Certificate.NotAfter)
		}
		w.pass(time.Minute)
		if got := w.refusal(w.Service, w.middle, w.question(leaf, "")); got != ocsp.Unauthorized {
			w.Errorf("after the authority's end: %v", got)
		}
	})
}

func TestRegenerateNeedsScope(t *testing.T) {
	each(t, func(w *world) {
		who := guard.Caller{Tenant: guard.DefaultTenant, Type: "user", ID: "user:issuer", Scopes: []string{"pki:issue"}}
		if _, err := w.Regenerate(w.Context(), who, w.middle); !fault.Is(err, fault.CodeInsufficientScope) {
			w.Errorf("without scope: %v", err)
		}
		stranger := admin
		stranger.Tenant = "tnt_other"
		for _, ref := range []string{w.middle, "middle", "", "ca_none", "x y"} {
			if _, err := w.Regenerate(w.Context(), stranger, ref); !fault.Is(err, fault.CodeCANotFound) {
				w.Errorf("%q of another tenant: %v", ref, err)
			}
		}
		if n := w.recorded(revocation.ActionGenerate); n != 6 {
			w.Errorf("%d of 6 attempts are in the trail", n)
		}
	})
}

// Without a database OCSP says so in its own words, and a list is refused: an old one could be wrong.
func TestWithoutDatabase(t *testing.T) {
	each(t, func(w *world) {
		leaf := w.issue()
		w.list(w.Service, w.middle)
		w.ask(w.Service, leaf)
		w.fatal(w.db.Close())
		if got := w.refusal(w.Service, w.middle, w.question(leaf, "")); got != ocsp.TryLater {
			w.Errorf("OCSP: %v", got)
		}
		_, err := w.List(w.Context(), "", w.middle, "")
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.KindUnavailable {
			w.Errorf("list: %v", err)
		}
	})
}

func TestPublicURLs(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://vault.example.com": true, "https://vault.example.com:8443/base/": true, "http://[::1]:8200": true,
		"vault.example.com": false, "ftp://x": false, "http://": false, "http://user@x": false, "http://x?y": false, "http://x#y": false, "http://x y": false,
	} {
		if err := revocation.CheckPublicURL(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	got := revocation.EndpointsUnder("http://v/base/")("ca_x", &x509.Certificate{SubjectKeyId: []byte{0xab, 0x01}})
	want := revocation.Endpoints{CRL: "http://v/base/v1/pki/ca/ca_x/crl?key=ab01", OCSP: "http://v/base/v1/pki/ca/ca_x/ocsp",
		Issuer: "http://v/base/v1/pki/ca/ca_x/certificate.der?key=ab01"}
	if got != want {
		t.Errorf("%+v", got)
	}
}
