package pki_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/pki"
)

const day = 24 * time.Hour

// every is a role for every kind of name.
func every(w *world) vaultapi.PKIRoleWrite {
	return vaultapi.PKIRoleWrite{
		Name: "every", CAID: w.root, AllowedDomains: []string{"example.com"}, AllowSubdomains: true, AllowIPSANs: true, AllowEmailSANs: true,
		AllowedURIs: []string{"spiffe://cluster.local/ns/a/*"},
	}
}

// Names of every kind go into the certificate, into what is kept of it, and into its renewal.
func TestEveryKindOfName(t *testing.T) {
	each(t, func(w *world) {
		w.role(every(w))
		made, err := w.Issue(w.Context(), boss, "every", vaultapi.CertificateIssue{
			CommonName: "A.example.com", AltNames: []string{"*.example.com", "spiffe://cluster.local/ns/a/sa/web", "ann@example.com"}, IPSANs: []string{"10.0.0.1", "::1"}, TTL: "168h",
		})
		w.must(err)
		again, err := w.Renew(w.Context(), boss, made.ID)
		w.must(err)
		for _, id := range []string{made.ID, again.ID} {
			kept, err := w.Certificate(w.Context(), boss, id)
			w.must(err)
			names := strings.Join(kept.AltNames, " ")
			if names != "a.example.com *.example.com 10.0.0.1 ::1 spiffe://cluster.local/ns/a/sa/web ann@example.com" || kept.CommonName != "a.example.com" ||
				!kept.ValidUntil.Equal(w.clock().Add(168*time.Hour)) || !kept.ValidFrom.Equal(w.clock().Add(-30*time.Second)) {
				w.Errorf("%+v", kept)
			}
		}
	})
}

// A life is what was asked for, but neither longer than the role allows nor beyond the authority's end, however it is
// asked for.
func TestLifeIsClipped(t *testing.T) {
	each(t, func(w *world) {
		top := w.authority(vaultapi.AuthorityWrite{Name: "top", CommonName: "top", CAType: "root", ValidityDays: 10})
		for name, most := range map[string]string{"short": "24h", "long": "87600h"} {
			w.role(vaultapi.PKIRoleWrite{Name: name, CAID: "top", MaxTTL: most, AllowedDomains: []string{"example.com"}})
		}
		csr := request(w, named("example.com"), key(w))
		for _, c := range []struct {
			role, ttl string
			want      time.Duration
		}{{"short", "", day}, {"short", "1h", time.Hour}, {"short", "9d", day}, {"long", "", 10 * day}, {"long", "87600h", 10 * day}, {"long", "9d", 9 * day}} {
			signed, err := w.Sign(w.Context(), boss, c.role, vaultapi.CertificateSign{CSRPEM: csr, TTL: c.ttl})
			w.must(err)
			for _, got := range []vaultapi.IssuedCertificate{w.by(c.role, "example.com", c.ttl), signed} {
				if !got.NotAfter.Equal(w.clock().Add(c.want)) || got.NotAfter.After(top.ValidUntil.Time) || !parsed(w, got.Certificate).NotAfter.Equal(got.NotAfter.Time) {
					w.Errorf("%+v: %v", c, got.NotAfter)
				}
			}
		}
		for _, ttl := range []string{"87601h", "9223372036854775807h", "1h\x00", "59s"} {
			_, err := w.Sign(w.Context(), boss, "long", vaultapi.CertificateSign{CSRPEM: csr, TTL: ttl})
			if !fault.Is(err, fault.CodeValidation, fault.CodeInvalidDuration) {
				w.Errorf("ttl %q: %v", ttl, err)
			}
		}
	})
}

// A certificate that a clock behind its authority's cut to seconds is not renewed for as long as the role allows.
func TestRenewalOfAShortLifeStaysShort(t *testing.T) {
	each(t, func(w *world) {
		w.pass(-80 * time.Second)
		old := w.by("web", "a.example.com", "1m")
		w.pass(80 * time.Second)
		made, err := w.Renew(w.Context(), boss, old.ID)
		w.must(err)
		if life := made.NotAfter.Sub(w.clock()); life != time.Minute {
			w.Errorf("the old one lived from %v to %v, the renewal %v", old.ValidFrom, old.ValidUntil, life)
		}
	})
}

// A server whose clock is behind the one that made the authority signs nothing that is older than its authority; far
// behind it signs nothing that has ended before it begins.
func TestClockBehind(t *testing.T) {
	each(t, func(w *world) {
		root, err := w.Authority(w.Context(), boss, "root")
		w.must(err)
		w.pass(-25 * time.Second)
		if made := w.by("web", "a.example.com", "1h"); made.ValidFrom.Before(root.ValidFrom.Time) || verified(w, made, "a.example.com") != nil {
			w.Errorf("from %v, its authority from %v: %v", made.ValidFrom, root.ValidFrom, verified(w, made, "a.example.com"))
		}
		w.pass(-2 * time.Hour)
		_, err = w.Issue(w.Context(), boss, "web", vaultapi.CertificateIssue{CommonName: "a.example.com", TTL: "1h"})
		w.refused("before the authority begins", err, fault.CodeCAInactive, "root")
	})
}

// A role that is changed or deleted while somebody signs is never the one that signs afterwards: once the change is
// answered, nothing comes of the old role any more.
func TestRoleChangedWhileSigning(t *testing.T) {
	each(t, func(w *world) {
		var all sync.WaitGroup
		changed := make(chan struct{})
		begun, once := make(chan struct{}), sync.Once{}
		for range 4 {
			all.Go(func() {
				for {
					closed := isClosed(changed)
					_, err := w.Issue(w.Context(), boss, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
					once.Do(func() { close(begun) })
					if closed && !fault.Is(err, fault.CodeValidation) || err != nil && !fault.Is(err, fault.CodeValidation, fault.CodeVersionConflict) {
						w.Errorf("changed before: %v, answered %v", closed, err)
					}
					if closed || err != nil && !fault.Is(err, fault.CodeVersionConflict) {
						return
					}
				}
			})
		}
		<-begun
		_, err := w.PatchRole(w.Context(), admin, "web", vaultapi.PKIRolePatch{AllowedDomains: &[]string{"example.org"}})
		w.must(err)
		close(changed)
		all.Wait()
	})
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A role that was deleted issues and renews nothing; what was issued by it is still there to be read and revoked.
func TestDeletedRole(t *testing.T) {
	each(t, func(w *world) {
		old := w.by("web", "a.example.com", "")
		w.must(w.DeleteRole(w.Context(), admin, "web"))
		_, err := w.Issue(w.Context(), boss, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
		w.refused("issue", err, fault.CodeRoleNotFound, "web")
		_, err = w.Renew(w.Context(), boss, old.ID)
		w.refused("renew", err, fault.CodeRoleNotFound, "web")
		_, err = w.Certificate(w.Context(), issuer, old.ID)
		w.must(err)
		_, err = w.Revoke(w.Context(), admin, vaultapi.CertificateRevoke{CertificateID: old.ID})
		w.must(err)
	})
}

// An authority counts what it signed, whichever replica and whichever way it was, and nothing that was refused.
func TestCertificatesIssued(t *testing.T) {
	each(t, func(w *world) {
		w.below("root", "issuing")
		w.role(vaultapi.PKIRoleWrite{Name: "deep", CAID: "issuing", AllowedDomains: []string{"example.com"}})
		replicas := []*pki.Service{w.Service, w.replica()}
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				if _, err := replicas[i%2].Issue(w.Context(), boss, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"}); err != nil {
					w.Error(err)
				}
				_, err := replicas[i%2].Issue(w.Context(), boss, "web", vaultapi.CertificateIssue{CommonName: "evil.com"})
				w.refused("a name outside of the role", err, fault.CodeValidation, "")
			})
		}
		all.Wait()
		made := w.by("deep", "example.com", "")
		_, err := w.Renew(w.Context(), boss, made.ID)
		w.must(err)
		l, err := w.Authorities(w.Context(), boss, 0, "")
		w.must(err)
		for _, a := range l.Data {
			if want := map[string]int64{"root": 12, "issuing": 2}[a.Name]; a.CertificatesIssued != want {
				w.Errorf("%s signed %d, want %d", a.Name, a.CertificatesIssued, want)
			}
		}
	})
}
