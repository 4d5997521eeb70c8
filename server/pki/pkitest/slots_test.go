package pkitest

import (
	"sync"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

func (w *world) prepare(t *testing.T, ca string) vaultapi.AuthoritySlot {
	t.Helper()
	v, err := w.PrepareSlot(t.Context(), admin, ca, vaultapi.AuthoritySlotWrite{})
	must(t, err)
	return v
}

func (w *world) activate(t *testing.T, ca, slot string) {
	t.Helper()
	v, err := w.ActivateSlot(t.Context(), admin, ca, slot)
	must(t, err)
	if v.State != "active" {
		t.Fatalf("got %+v", v)
	}
}

// slots are the slots of an authority, the oldest first.
func (w *world) slots(t *testing.T, ca string, states ...string) []vaultapi.AuthoritySlot {
	t.Helper()
	l, err := w.Slots(t.Context(), issuer, ca)
	must(t, err)
	if len(l.Data) != len(states) {
		t.Fatalf("got %+v, want %v", l.Data, states)
	}
	for i, v := range l.Data {
		if v.State != states[i] {
			t.Fatalf("slot %d is %s, want %v", i, v.State, states)
		}
	}
	return l.Data
}

func (w *world) bundle(t *testing.T, ca string) vaultapi.AuthorityBundle {
	t.Helper()
	b, err := w.Bundle(t.Context(), issuer, ca)
	must(t, err)
	return b
}

func (w *world) trusted(t *testing.T, c vaultapi.IssuedCertificate) vaultapi.CertificateValidation {
	t.Helper()
	return w.validate(t, nobody, vaultapi.CertificateValidate{CertificatePEM: c.CertificatePEM, ChainPEM: c.CAChainPEM, CheckRevocation: true})
}

// TestRotateRoot goes all the way: at each step what was signed before and what is signed now are trusted.
func TestRotateRoot(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := w.root(t, admin, "root")
		w.role(t, "web", "root")
		old := w.issue(t, "web", "a.svc.example", "24h")
		first := w.slots(t, "root", "active")[0]
		w.pass(day / 24)

		next := w.prepare(t, "root")
		w.slots(t, "root", "active", "prepared")
		if b := w.bundle(t, "root"); len(b.Certificates) != 2 || b.Certificates[0] != first.CertificatePEM || b.Certificates[1] != next.CertificatePEM {
			t.Fatalf("the next certificate must be published before it signs: %+v", b)
		}
		during := w.issue(t, "web", "b.svc.example", "24h")
		must(t, parse(t, during.CertificatePEM).CheckSignatureFrom(parse(t, first.CertificatePEM)))
		w.pass(day / 24)

		w.activate(t, "root", next.ID)
		w.slots(t, "root", "retiring", "active")
		now := w.issue(t, "web", "c.svc.example", "24h")
		must(t, parse(t, now.CertificatePEM).CheckSignatureFrom(parse(t, next.CertificatePEM)))
		if now.CAChainPEM != next.CertificatePEM || w.bundle(t, "root").BundlePEM != next.CertificatePEM+first.CertificatePEM {
			t.Fatal("chain or bundle is another")
		}
		for _, c := range []vaultapi.IssuedCertificate{old, during, now} {
			if got := w.trusted(t, c); !got.Valid || *got.TrustedBy != ca.ID {
				t.Fatalf("got %+v", got)
			}
		}
		if read, err := w.Authority(t.Context(), admin, ca.ID); err != nil || read.SerialNumber != next.SerialNumber || read.CommonName != "root" {
			t.Fatalf("got %+v, %v", read, err)
		}
		w.pass(2 * day)

		_, err := w.RetireSlot(t.Context(), admin, "root", first.ID, vaultapi.AuthoritySlotRetire{})
		must(t, err)
		w.slots(t, "root", "retired", "active")
		if b := w.bundle(t, "root"); b.BundlePEM != next.CertificatePEM {
			t.Fatalf("got %+v", b)
		}
		_, err = w.ActivateSlot(t.Context(), admin, "root", first.ID)
		wantCode(t, err, fault.CodeSlotInactive)
	})
}

// TestRotateMiddle: an intermediate stays below the certificate of the root that signed it until it rotates itself.
func TestRotateMiddle(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.root(t, admin, "root")
		w.intermediate(t, "middle", "root")
		w.role(t, "web", "middle")
		first := w.slots(t, "root", "active")[0]
		w.pass(day / 24)
		next := w.prepare(t, "root")
		w.activate(t, "root", next.ID)
		c := w.issue(t, "web", "a.svc.example", "24h")
		if len(c.CAChain) != 2 || c.CAChain[1] != first.CertificatePEM || !w.trusted(t, c).Valid {
			t.Fatalf("the chain must end at the certificate that signed the intermediate: %v", c.CAChain)
		}
		_, err := w.RetireSlot(t.Context(), admin, "root", first.ID, vaultapi.AuthoritySlotRetire{})
		wantCode(t, err, fault.CodeSlotInUse)

		mine := w.prepare(t, "middle")
		must(t, parse(t, mine.CertificatePEM).CheckSignatureFrom(parse(t, next.CertificatePEM)))
		w.activate(t, "middle", mine.ID)
		d := w.issue(t, "web", "b.svc.example", "24h")
		if d.CAChain[1] != next.CertificatePEM || !w.trusted(t, d).Valid || !w.trusted(t, c).Valid {
			t.Fatalf("got %v", d.CAChain)
		}
	})
}

// TestOnlyActiveSlotStays: nobody can leave an authority without a key, nor take away what certificates in use hang from
// without saying that he means it.
func TestOnlyActiveSlotStays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.root(t, admin, "root")
		w.role(t, "web", "root")
		c := w.issue(t, "web", "a.svc.example", "24h")
		first := w.slots(t, "root", "active")[0]
		retire := func(id string, force bool) error {
			_, err := w.RetireSlot(t.Context(), admin, "root", id, vaultapi.AuthoritySlotRetire{Force: force})
			return err
		}
		wantCode(t, retire(first.ID, true), fault.CodeSlotActive)
		next := w.prepare(t, "root")
		_, err := w.PrepareSlot(t.Context(), admin, "root", vaultapi.AuthoritySlotWrite{})
		wantCode(t, err, fault.CodeSlotExists)
		wantCode(t, retire(first.ID, true), fault.CodeSlotActive)
		w.pass(day / 24)
		w.activate(t, "root", next.ID)
		wantCode(t, retire(next.ID, true), fault.CodeSlotActive)
		wantCode(t, retire(first.ID, false), fault.CodeSlotInUse)
		must(t, retire(first.ID, true))
		wantError(t, w.trusted(t, c), unknownChain)
		must(t, retire(first.ID, false)) // once more changes nothing
		wantCode(t, retire("slot_x", false), fault.CodeSlotNotFound)
	})
}

// TestRotationTakenBack: a slot that is retiring can sign again.
func TestRotationTakenBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.root(t, admin, "root")
		w.role(t, "web", "root")
		first := w.slots(t, "root", "active")[0]
		w.pass(day / 24)
		next := w.prepare(t, "root")
		w.activate(t, "root", next.ID)
		w.pass(day / 24)
		w.activate(t, "root", first.ID)
		w.slots(t, "root", "active", "retiring")
		c := w.issue(t, "web", "a.svc.example", "24h")
		must(t, parse(t, c.CertificatePEM).CheckSignatureFrom(parse(t, first.CertificatePEM)))
	})
}

// TestSlotsKeepTheRules: the next certificate allows no more than the one before it.
func TestSlotsKeepTheRules(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		zero := 0
		_, err := w.CreateAuthority(t.Context(), admin, vaultapi.AuthorityWrite{
			Name: "narrow", CommonName: "Narrow", CAType: "root", KeyType: "ec", KeySize: 384, MaxPathLength: &zero,
			PermittedDNSDomains: []string{"svc.example"}, ExcludedIPRanges: []string{"10.0.0.0/8"},
		})
		must(t, err)
		w.activate(t, "narrow", w.prepare(t, "narrow").ID)
		got, err := w.Authority(t.Context(), admin, "narrow")
		must(t, err)
		if got.MaxPathLength == nil || *got.MaxPathLength != 0 || len(got.PermittedDNSDomains) != 1 || len(got.ExcludedIPRanges) != 1 || got.KeySize != 384 {
			t.Fatalf("got %+v", got)
		}
		_, err = w.RevokeAuthority(t.Context(), admin, "narrow", vaultapi.AuthorityRevoke{})
		must(t, err)
		_, err = w.PrepareSlot(t.Context(), admin, "narrow", vaultapi.AuthoritySlotWrite{})
		wantCode(t, err, fault.CodeCAInactive)
		if b := w.bundle(t, "narrow"); b.BundlePEM != "" {
			t.Fatal("a revoked authority is published")
		}
	})
}

func TestSlotsOfOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ca := w.root(t, admin, "root")
		next := w.prepare(t, "root")
		for who, code := range map[*guard.Caller]string{&issuer: fault.CodeInsufficientScope, &stranger: fault.CodeCANotFound} {
			_, err := w.PrepareSlot(t.Context(), *who, ca.ID, vaultapi.AuthoritySlotWrite{})
			wantCode(t, err, code)
			_, err = w.ActivateSlot(t.Context(), *who, ca.ID, next.ID)
			wantCode(t, err, code)
			_, err = w.RetireSlot(t.Context(), *who, ca.ID, next.ID, vaultapi.AuthoritySlotRetire{Force: true})
			wantCode(t, err, code)
		}
		_, err := w.Slots(t.Context(), stranger, ca.ID)
		wantCode(t, err, fault.CodeCANotFound)
		_, err = w.Bundle(t.Context(), stranger, ca.ID)
		wantCode(t, err, fault.CodeCANotFound)
		w.root(t, stranger, "theirs")
		_, err = w.ActivateSlot(t.Context(), stranger, "theirs", next.ID) // another authority's slot
		wantCode(t, err, fault.CodeSlotNotFound)
	})
}

// TestIssueWhileRotating: whatever is issued meanwhile is trusted, or was refused.
func TestIssueWhileRotating(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.root(t, admin, "root")
		w.role(t, "web", "root")
		first, next := w.slots(t, "root", "active")[0], w.prepare(t, "root")
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				for range 5 {
					c, err := w.Issue(t.Context(), issuer, "web", vaultapi.CertificateIssue{CommonName: "a.svc.example"})
					switch {
					case fault.Is(err, fault.CodeVersionConflict):
					case err != nil:
						t.Error(err)
					default:
						if err := parse(t, c.CertificatePEM).CheckSignatureFrom(parse(t, c.CAChainPEM)); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		for range 3 {
			w.activate(t, "root", next.ID)
			first, next = next, first
		}
		wait.Wait()
	})
}
