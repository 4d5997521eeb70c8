package webhooks_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// signed tells whether a request carries the signature of a secret in a header, computed here from the contract's words.
func signed(q request, header, secret string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(q.header.Get("X-ScaiVault-Timestamp") + "." + q.body))
	return q.header.Get(header) == "sha256="+hex.EncodeToString(mac.Sum(nil))
}

func TestDelivery(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		hook := w.hook("all", r)
		w.write("app/db")
		w.until("a request", func() bool { return r.count() == 1 })
		q := r.requests()[0]
		for name, want := range map[string]string{
			"X-ScaiVault-Event-Id": q.event.EventID, "X-ScaiVault-Event-Type": "secret.created",
			"User-Agent": "ScaiVault-Webhook/1.0", "Content-Type": "application/json", "X-ScaiVault-Signature-Previous": "",
		} {
			if got := q.header.Get(name); got != want {
				w.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if !signed(q, "X-ScaiVault-Signature", signing) {
			w.Errorf("signature %q", q.header.Get("X-ScaiVault-Signature"))
		}
		if at, err := strconv.ParseInt(q.header.Get("X-ScaiVault-Timestamp"), 10, 64); err != nil || w.clock.now().Sub(time.Unix(at, 0)).Abs() > 5*time.Second {
			w.Errorf("timestamp %q", q.header.Get("X-ScaiVault-Timestamp"))
		}
		e := q.event
		if !strings.HasPrefix(e.EventID, "evt_") || e.TenantID != guard.DefaultTenant || e.PartnerID != guard.DefaultPartner ||
			e.IdentityID != alice.ID || e.Path != "app/db" || !strings.Contains(string(e.Data), `"created_by"`) {
			w.Errorf("event %+v", e)
		}
		var raw map[string]any
		if err := json.Unmarshal([]byte(q.body), &raw); err != nil || raw["to"] != nil {
			w.Errorf("body %s", q.body)
		}
		w.until("a success", func() bool { return len(w.deliveries(hook.ID, "success")) == 1 })
		d := w.deliveries("all", "")[0]
		if d.ID != q.header.Get("X-ScaiVault-Delivery-Id") || d.EventID != e.EventID || d.Attempts != 1 || *d.ResponseCode != 200 || d.DurationMS == nil || d.NextAttemptAt != nil {
			w.Errorf("delivery %+v", d)
		}
		got := w.get(hook.ID)
		if s := got.Statistics; s.Deliveries24h != 1 || *s.SuccessRate24h != 1 || s.AvgLatencyMS == nil || s.Pending != 0 {
			w.Errorf("statistics %+v", got.Statistics)
		}
		if l := got.LastDelivery; got.Status != "healthy" || l == nil || l.ID != d.ID || l.Status != "success" || *l.ResponseCode != 200 {
			w.Errorf("webhook %+v, last %+v", got, l)
		}
		w.until("no job left", func() bool { return w.count(`SELECT COUNT(*) FROM jobs WHERE kind = 'webhook.delivery'`) == 0 })
	})
}

// Each filter narrows; what was sent to a webhook by its id comes whatever it selects.
func TestFilters(t *testing.T) {
	each(t, func(w *world) {
		cases := []struct {
			name   string
			change func(*vaultapi.WebhookWrite)
			want   []string
		}{
			{"prefix", func(in *vaultapi.WebhookWrite) { in.Filters = &vaultapi.WebhookFilters{PathPrefix: "prod/"} }, []string{"secret.created prod/a", "secret.created prod/b"}},
			{"type", func(in *vaultapi.WebhookWrite) { in.Filters = &vaultapi.WebhookFilters{SecretType: "api_key"} }, []string{"secret.created prod/b", "secret.created test/c"}},
			{"tags", func(in *vaultapi.WebhookWrite) { in.Filters = &vaultapi.WebhookFilters{Tags: []string{"x", "pci"}} }, []string{"secret.created prod/b"}},
			{"both", func(in *vaultapi.WebhookWrite) {
				in.Filters = &vaultapi.WebhookFilters{PathPrefix: "prod/", SecretType: "kv"}
			}, []string{"secret.created prod/a"}},
			{"event", func(in *vaultapi.WebhookWrite) { in.Events = []string{"rotation.*"} }, []string{"rotation.due test/c"}},
			{"nothing", func(in *vaultapi.WebhookWrite) { in.Events = nil }, []string{"rotation.due test/c"}},
			{"disabled", func(in *vaultapi.WebhookWrite) { off := false; in.Enabled = &off }, nil},
		}
		receivers := make([]*receiver, len(cases))
		var to []string
		for i, tc := range cases {
			receivers[i] = newReceiver(w)
			made := w.hook(tc.name, receivers[i], tc.change)
			if tc.name == "nothing" {
				to = []string{made.ID}
			}
		}
		w.writeAs("prod/a", "kv")
		w.writeAs("prod/b", "api_key", "pci")
		w.writeAs("test/c", "api_key", "other")
		w.emit(guard.Event{Type: "policy.created"})
		w.emit(guard.Event{Type: "rotation.due", Path: "test/c", To: to})
		w.settled()
		w.until("nothing pending", func() bool { return w.count(`SELECT COUNT(*) FROM deliveries WHERE due_at IS NOT NULL`) == 0 })
		for i, tc := range cases {
			want := tc.want
			if tc.name == "type" {
				want = append([]string{"rotation.due test/c"}, want...)
			}
			if got := receivers[i].told(); !slices.Equal(got, want) {
				w.Errorf("%s: got %q, want %q", tc.name, got, want)
			}
		}
	})
}

// A receiver that answers 500 for a day gets each event six times at the documented times; then the delivery has
// failed and the webhook is degraded. Once it is well again the next event makes it healthy.
func TestReceiverThatFailsForADay(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		r.status.Store(http.StatusInternalServerError)
		hook := w.hook("failing", r)
		w.write("app/db")
		for i, pause := range []time.Duration{0, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour} {
			if pause > 0 {
				w.clock.advance(pause - 5*time.Second)
				if d := w.deliveries(hook.ID, "pending"); len(d) != 1 || d[0].NextAttemptAt == nil || r.count() != i {
					w.Fatalf("before attempt %d: %d requests, %+v", i+1, r.count(), d)
				}
				w.clock.advance(5 * time.Second)
			}
			w.until(fmt.Sprintf("attempt %d", i+1), func() bool {
				d := w.deliveries(hook.ID, "")
				return len(d) == 1 && d[0].Attempts == int64(i+1)
			})
		}
		d := w.deliveries(hook.ID, "failed")
		if len(d) != 1 || *d[0].ResponseCode != 500 || d[0].NextAttemptAt != nil || d[0].Error == "" {
			w.Errorf("delivery %+v", d)
		}
		if got := w.get(hook.ID); got.Status != "degraded" || got.ConsecutiveFailures != 1 || !got.Enabled {
			w.Errorf("webhook %+v", got)
		}
		w.clock.advance(21 * time.Hour)
		ids := map[string]bool{}
		for _, q := range r.requests() {
			ids[q.header.Get("X-ScaiVault-Event-Id")+q.header.Get("X-ScaiVault-Delivery-Id")] = true
		}
		if len(ids) != 1 || r.count() != 6 {
			w.Errorf("%d requests with ids %v", r.count(), ids)
		}
		r.status.Store(http.StatusNoContent)
		w.write("app/db")
		w.until("healthy again", func() bool { return w.get(hook.ID).Status == "healthy" })
		if got := w.get(hook.ID); got.ConsecutiveFailures != 0 {
			w.Errorf("webhook %+v", got)
		}
	})
}

// Fifty deliveries that failed one after the other disable a webhook, with an entry in the audit trail. Enabling it
// goes on with the next event.
func TestFiftyFailuresDisable(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		r.status.Store(http.StatusBadGateway)
		hook := w.hook("failing", r)
		w.exec(`UPDATE webhooks SET failures = 49 WHERE id = $1`, hook.ID)
		w.write("app/db")
		w.until("first attempt", func() bool { return w.count(`SELECT COUNT(*) FROM deliveries WHERE attempts = 1`) == 1 })
		w.exec(`UPDATE deliveries SET attempts = 5`) // the last attempt comes next
		w.clock.advance(time.Hour)
		w.until("disabled", func() bool { return w.get(hook.ID).Status == "disabled" })
		if got := w.get(hook.ID); got.Enabled || got.ConsecutiveFailures != 50 {
			w.Errorf("webhook %+v", got)
		}
		if !strings.Contains(w.audit.String(), "webhook_disable") || !strings.Contains(w.logged.String(), "webhook disabled") {
			w.Error("no entry, or no line in the log")
		}
		had := r.count()
		w.write("app/lost")
		w.settled()
		on := true
		r.status.Store(http.StatusOK)
		if got := w.patch("failing", vaultapi.WebhookPatch{Enabled: &on}); got.Status != "healthy" || got.ConsecutiveFailures != 0 {
			w.Errorf("enabled: %+v", got)
		}
		w.write("app/next")
		w.until("the next event", func() bool { return slices.Contains(r.told(), "secret.created app/next") })
		if r.count() != had+1 {
			w.Errorf("%d requests: %q", r.count()-had, r.told())
		}
	})
}

// What is pending when a webhook is disabled is sent when it is enabled again.
func TestDisabledKeepsWhatIsPending(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		r.status.Store(http.StatusServiceUnavailable)
		hook := w.hook("paused", r)
		w.write("app/db")
		w.until("first attempt", func() bool { return w.get(hook.ID).Status == "degraded" })
		on, off := true, false
		w.patch(hook.ID, vaultapi.WebhookPatch{Enabled: &off})
		w.clock.advance(time.Minute)
		w.until("no job", func() bool { return w.count(`SELECT COUNT(*) FROM jobs WHERE kind = 'webhook.delivery'`) == 0 })
		if r.count() != 1 || len(w.deliveries(hook.ID, "pending")) != 1 {
			w.Errorf("%d requests, %+v", r.count(), w.deliveries(hook.ID, ""))
		}
		r.status.Store(http.StatusOK)
		w.patch(hook.ID, vaultapi.WebhookPatch{Enabled: &on})
		w.until("sent", func() bool { return len(w.deliveries(hook.ID, "success")) == 1 })
	})
}

// Answers of receivers that try something are failed deliveries, and told in our words.
func TestHostileReceivers(t *testing.T) {
	each(t, func(w *world) {
		target := newReceiver(w)
		for name, tc := range map[string]struct {
			handle func(http.ResponseWriter, *http.Request)
			want   string
		}{
			"redirect": {func(rw http.ResponseWriter, q *http.Request) {
				http.Redirect(rw, q, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
			}, "redirects are not followed"},
			"redirect-home": {func(rw http.ResponseWriter, q *http.Request) {
				http.Redirect(rw, q, target.url, http.StatusTemporaryRedirect)
			}, "redirects are not followed"},
			"garbage": {func(rw http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(rw).Hijack()
				if err == nil {
					_, _ = conn.Write([]byte("no HTTP at all\r\n\r\n"))
					_ = conn.Close()
				}
			}, "cannot be reached"},
		} {
			r := newReceiver(w)
			r.handle = tc.handle
			w.hook(name, r)
			got, err := w.webhooks.Test(w.Context(), admin, name)
			if err != nil || got.Status != "failed" || !strings.Contains(got.Error, tc.want) {
				w.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if target.count() != 0 {
			w.Error("a redirect was followed")
		}
		endless := newReceiver(w)
		endless.handle = func(rw http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := rw.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
		w.hook("endless", endless)
		if got, err := w.webhooks.Test(w.Context(), admin, "endless"); err != nil || got.Status != "success" {
			w.Errorf("endless: %+v, %v", got, err)
		}
	})
}
