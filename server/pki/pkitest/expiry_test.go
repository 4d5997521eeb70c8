package pkitest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/pki"
)

// sweep runs the job that announces expiries, and gives what it announced: name and threshold.
func (w *world) sweep(t *testing.T) []string {
	t.Helper()
	before := len(w.announced(t))
	must(t, w.Jobs()[0].Run(t.Context(), jobs.Job{}))
	return w.announced(t)[before:]
}

func (w *world) announced(t *testing.T) []string {
	t.Helper()
	all := []string{}
	for _, e := range w.trail.Events() {
		if e.Type != pki.EventExpiring {
			continue
		}
		var data struct {
			Name      string `json:"common_name"`
			Threshold string `json:"threshold"`
			Days      int    `json:"days_remaining"`
		}
		must(t, json.Unmarshal(e.Data, &data))
		all = append(all, fmt.Sprintf("%s %s %d", data.Name, data.Threshold, data.Days))
	}
	return all
}

func want(t *testing.T, got []string, texts ...string) {
	t.Helper()
	slices.Sort(got)
	if !slices.Equal(got, texts) {
		t.Fatalf("announced %q, want %q", got, texts)
	}
}

// TestExpiryIsAnnouncedOnce at each threshold, and only at those that the certificate's life exceeds.
func TestExpiryIsAnnouncedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		w.issue(t, "web", "long.svc.example", "960h") // 40 days
		w.issue(t, "web", "week.svc.example", "168h")
		w.issue(t, "web", "short.svc.example", "12h")
		want(t, w.sweep(t))
		w.pass(6 * day)
		want(t, w.sweep(t))
		w.pass(2 * time.Minute)
		want(t, w.sweep(t), "week.svc.example 1d 1")
		w.pass(4 * day)
		want(t, w.sweep(t), "long.svc.example 30d 30")
		want(t, w.sweep(t))
		for range 22 * 24 {
			w.pass(time.Hour)
			want(t, w.sweep(t))
		}
		w.pass(day)
		want(t, w.sweep(t), "long.svc.example 7d 7")
		w.pass(6 * day)
		want(t, w.sweep(t), "long.svc.example 1d 1")
		w.pass(10 * day)
		want(t, w.sweep(t))
	})
}

// TestExpiryAfterSilence: of thresholds that passed while nobody looked only the last is announced, and nothing of what is
// revoked or over.
func TestExpiryAfterSilence(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		w.issue(t, "web", "a.svc.example", "960h")
		w.issue(t, "web", "over.svc.example", "840h")
		gone := w.issue(t, "web", "gone.svc.example", "960h")
		_, err := w.Revoke(t.Context(), admin, vaultapi.CertificateRevoke{CertificateID: gone.ID})
		must(t, err)
		w.pass(36 * day)
		want(t, w.sweep(t), "a.svc.example 7d 4")
		want(t, w.sweep(t))
	})
}

func TestAuthoritiesExpireToo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, err := w.CreateAuthority(t.Context(), admin, vaultapi.AuthorityWrite{Name: "brief", CommonName: "Brief", CAType: "root", KeyType: "ec", ValidityDays: 100})
		must(t, err)
		w.pass(11 * day)
		want(t, w.sweep(t), "brief 90d 89")
		w.pass(82*day + 2*time.Minute)
		want(t, w.sweep(t), "brief 7d 7")
		w.activate(t, "brief", w.prepare(t, "brief").ID) // another certificate, which lives on
		w.pass(6 * day)
		want(t, w.sweep(t))
	})
}

// TestExpiriesOfMany: more than one batch that end at the same second, on several replicas at once.
func TestExpiriesOfMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		const many = 450
		w.copies(t, w.issue(t, "web", "a.svc.example", "960h"), many-1)
		w.pass(11 * day)
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() { _ = w.Jobs()[0].Run(t.Context(), jobs.Job{}) }) // who comes second gives up
		}
		wait.Wait()
		w.sweep(t)
		if got := w.announced(t); len(got) != many {
			t.Fatalf("%d announcements of %d certificates", len(got), many)
		}
	})
}

// copies stores a certificate's row again under other ids and serials.
func (w *world) copies(t *testing.T, c vaultapi.IssuedCertificate, n int) {
	t.Helper()
	for i := range n {
		w.exec(t, `INSERT INTO pki_certificates (tenant, id, serial, ca_id, role, common_name, certificate, not_before, not_after, revoked_at, reason,
		replaces, created_by, created_at) SELECT tenant, $1, $2, ca_id, role, common_name, certificate, not_before, not_after, revoked_at, reason,
		replaces, created_by, created_at FROM pki_certificates WHERE tenant = $3 AND id = $4`,
			fmt.Sprintf("cert_%04d", i), fmt.Sprint(i), guard.DefaultTenant, c.ID)
	}
}
