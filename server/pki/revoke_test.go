package pki_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/pki"
)

// Every final reason of RFC 5280 is taken and recorded, under every spelling of the serial number, and no other.
func TestReasonsAndSpellings(t *testing.T) {
	each(t, func(w *world) {
		plain := func(s string) string { return strings.ReplaceAll(s, ":", "") }
		spellings := []func(string) string{
			strings.ToLower, plain, func(s string) string { return strings.ToLower(plain(s)) }, func(s string) string { return "00:" + s }, func(s string) string { return "00" + plain(s) },
		}
		i := 0
		for reason := range certs.Reasons() {
			made := w.by("web", "a.example.com", "")
			got, err := w.Revoke(w.Context(), admin, vaultapi.CertificateRevoke{SerialNumber: spellings[i%len(spellings)](made.SerialNumber), Reason: reason})
			w.must(err)
			if got.ID != made.ID || *got.RevocationReason != reason {
				w.Errorf("%+v, want %s for %s", got, reason, made.SerialNumber)
			}
			if text := w.trail.Text(); !strings.Contains(text, pki.ActionRevoke) || !strings.Contains(text, "{Key:reason Value:"+reason+"}") {
				w.Errorf("%s is not recorded", reason)
			}
			i++
		}
		made := w.by("web", "a.example.com", "")
		for what, bad := range map[string]vaultapi.CertificateRevoke{
			"two": {SerialNumber: made.SerialNumber, CertificateID: made.ID}, "a hold": {SerialNumber: made.SerialNumber, Reason: "certificate_hold"},
			"another spelling": {SerialNumber: made.SerialNumber, Reason: "keyCompromise"}, "cut": {SerialNumber: "1A:2B:..."}, "long": {SerialNumber: strings.Repeat("ff", 30)},
			"prefix": {SerialNumber: "0x1a"}, "negative": {SerialNumber: "-1"}, "NUL": {SerialNumber: "1a\x00"}, "zero": {SerialNumber: "00"},
		} {
			_, err := w.Revoke(w.Context(), admin, bad)
			w.refused(what, err, fault.CodeValidation, "")
		}
		if got, err := w.Certificate(w.Context(), boss, made.ID); err != nil || got.Status != "active" {
			w.Errorf("it is %+v, %v", got, err)
		}
	})
}

// Of many who revoke at once, on two replicas, one is first, and all are told the same.
func TestRevokeAtOnce(t *testing.T) {
	each(t, func(w *world) {
		made := w.by("web", "a.example.com", "")
		replicas := []*pki.Service{w.Service, w.replica()}
		told := make(chan string, 16)
		var all sync.WaitGroup
		for i := range cap(told) {
			all.Go(func() {
				got, err := replicas[i/2%2].Revoke(w.Context(), admin, vaultapi.CertificateRevoke{SerialNumber: made.SerialNumber, Reason: []string{"superseded", "key_compromise"}[i%2]})
				if err != nil {
					w.Error(err)
					return
				}
				told <- *got.RevocationReason
			})
		}
		all.Wait()
		close(told)
		first := <-told
		for reason := range told {
			if reason != first {
				w.Errorf("told %s and %s", first, reason)
			}
		}
	})
}

// With an authority goes everything below it and nothing else, for every replica at once; what was revoked before keeps
// its reason, and so does the authority.
func TestRevokeAuthorityWithAllBelow(t *testing.T) {
	each(t, func(w *world) {
		w.below("root", "mid")
		w.below("mid", "issuing")
		w.role(vaultapi.PKIRoleWrite{Name: "deep", CAID: "issuing", AllowedDomains: []string{"example.com"}})
		top, deep, own := w.by("web", "a.example.com", ""), w.by("deep", "example.com", ""), w.by("deep", "example.com", "")
		_, err := w.Revoke(w.Context(), admin, vaultapi.CertificateRevoke{CertificateID: own.ID, Reason: "superseded"})
		w.must(err)
		replica := w.replica()
		for _, reason := range []string{"ca_compromise", "cessation_of_operation"} {
			got, err := w.RevokeAuthority(w.Context(), admin, "mid", vaultapi.AuthorityRevoke{Reason: reason})
			w.must(err)
			if got.IsActive || *got.RevocationReason != "ca_compromise" {
				w.Errorf("%+v", got)
			}
			w.pass(time.Hour)
		}
		for id, want := range map[string]string{top.ID: "", deep.ID: "ca_compromise", own.ID: "superseded"} {
			c, err := replica.Certificate(w.Context(), boss, id)
			w.must(err)
			if reason := c.RevocationReason; want == "" && reason != nil || want != "" && (reason == nil || *reason != want) {
				w.Errorf("%s: %+v", want, c)
			}
		}
		refused := map[string]error{}
		_, refused["issue"] = replica.Issue(w.Context(), boss, "deep", vaultapi.CertificateIssue{CommonName: "example.com"})
		_, refused["sign"] = replica.Sign(w.Context(), boss, "deep", vaultapi.CertificateSign{CSRPEM: request(w, named("example.com"), key(w))})
		_, refused["authority"] = replica.CreateAuthority(w.Context(), admin, vaultapi.AuthorityWrite{Name: "new", CommonName: "new", CAType: "intermediate", ParentCAID: "issuing", KeyType: "ec"})
		for call, err := range refused {
			w.refused(call, err, fault.CodeCAInactive, "issuing")
		}
		_, err = w.RevokeAuthority(w.Context(), admin, "mid", vaultapi.AuthorityRevoke{Reason: "fun"})
		w.refused("no reason", err, fault.CodeValidation, "reason")
	})
}

// An authority that has expired can still be revoked, and its certificates with it.
func TestRevokeAnAuthorityThatExpired(t *testing.T) {
	each(t, func(w *world) {
		w.authority(vaultapi.AuthorityWrite{Name: "brief", CommonName: "brief", CAType: "root", ValidityDays: 1})
		w.role(vaultapi.PKIRoleWrite{Name: "brief", CAID: "brief", AllowedDomains: []string{"example.com"}})
		made := w.by("brief", "example.com", "")
		w.pass(2 * day)
		got, err := w.RevokeAuthority(w.Context(), admin, "brief", vaultapi.AuthorityRevoke{Reason: "key_compromise"})
		w.must(err)
		if got.RevokedAt == nil || got.IsActive {
			w.Errorf("%+v", got)
		}
		if c, err := w.Certificate(w.Context(), boss, made.ID); err != nil || c.Status != "revoked" {
			w.Errorf("%+v, %v", c, err)
		}
		_, err = w.Renew(w.Context(), boss, made.ID)
		w.refused("renew", err, fault.CodeCertificateRevoked, made.ID)
	})
}

// While an authority is revoked others issue below it: what was answered as issued is revoked with it.
func TestIssueWhileTheAuthorityIsRevoked(t *testing.T) {
	each(t, func(w *world) {
		w.below("root", "issuing")
		w.role(vaultapi.PKIRoleWrite{Name: "deep", CAID: "issuing", AllowedDomains: []string{"example.com"}})
		var all sync.WaitGroup
		begun, once := make(chan struct{}), sync.Once{}
		for range 4 {
			all.Go(func() {
				for {
					_, err := w.Issue(w.Context(), boss, "deep", vaultapi.CertificateIssue{CommonName: "example.com"})
					once.Do(func() { close(begun) })
					if err != nil {
						w.refused("issue", err, fault.CodeCAInactive, "")
						return
					}
				}
			})
		}
		<-begun
		_, err := w.RevokeAuthority(w.Context(), admin, "root", vaultapi.AuthorityRevoke{Reason: "ca_compromise"})
		w.must(err)
		all.Wait()
		l, err := w.Certificates(w.Context(), boss, pki.CertificateQuery{IncludeRevoked: true, Limit: pki.MaxLimit})
		w.must(err)
		for _, c := range l.Data {
			if c.Status != "revoked" {
				w.Errorf("%+v", c)
			}
		}
	})
}
