package webhooks_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/secrets"
)

func (w *world) subscribe(r *receiver, names []string, paths ...string) vaultapi.Subscription {
	w.Helper()
	s, err := w.subscriptions.Create(w.Context(), alice, vaultapi.SubscriptionWrite{
		Name: "mine", Paths: paths, Events: names, Delivery: vaultapi.Delivery{Type: "webhook", URL: r.url, Secret: signing},
	})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// A subscription by webhook gets what its owner may list when it is delivered, and nothing else.
func TestSubscriptionIsJudgedByItsOwner(t *testing.T) {
	each(t, func(w *world) {
		r, open := newReceiver(w), newReceiver(w)
		w.hook("all", open)
		s := w.subscribe(r, nil, "app/**")
		if s.Delivery.Type != "webhook" || s.Delivery.URL != r.url || s.Delivery.Secret != "" || s.Status != "active" {
			w.Errorf("made %+v", s)
		}
		w.write("app/seen", "other/path")
		w.until("the first", func() bool { return r.count() == 1 && open.count() == 2 })
		if q := r.requests()[0]; !signed(q, "X-ScaiVault-Signature", signing) {
			w.Error("not signed")
		}
		w.grant("other/**")
		w.emit(guard.Event{Type: "secret.updated", Path: "app/secret", IdentityID: "user:bob"})
		w.emit(guard.Event{Type: "policy.created"})
		w.until("looked at", func() bool { return open.count() == 4 })
		w.settled()
		w.grant("app/**")
		w.write("app/again")
		w.until("the next", func() bool { return slices.Contains(r.told(), "secret.created app/again") })
		if got := r.told(); !slices.Equal(got, []string{"secret.created app/again", "secret.created app/seen"}) {
			w.Errorf("told %q", got)
		}
		if list, err := w.webhooks.List(w.Context(), admin, 0, ""); err != nil || len(list.Webhooks) != 1 {
			w.Errorf("webhooks %+v, %v", list, err)
		}
		if _, err := w.webhooks.Get(w.Context(), admin, s.ID); !fault.Is(err, fault.CodeWebhookNotFound) {
			w.Errorf("a subscription's receiver as a webhook: %v", err)
		}
		if _, err := w.subscriptions.Poll(w.Context(), alice, s.ID, events.PollRequest{}); !fault.Is(err, fault.CodeValidation) {
			w.Errorf("poll: %v", err)
		}
		if err := w.subscriptions.Delete(w.Context(), alice, s.ID); err != nil {
			w.Fatal(err)
		}
		if n := w.count(`SELECT COUNT(*) FROM webhooks WHERE subscription = 1`); n != 0 {
			w.Errorf("%d receivers stay", n)
		}
	})
}

func TestSubscriptionDeliveryChanges(t *testing.T) {
	each(t, func(w *world) {
		r, next := newReceiver(w), newReceiver(w)
		s := w.subscribe(r, nil, "**")
		d := vaultapi.Delivery{Type: "webhook", URL: next.url}
		got, err := w.subscriptions.Patch(w.Context(), alice, s.ID, vaultapi.SubscriptionPatch{Delivery: &d})
		if err != nil || got.Delivery.URL != next.url {
			w.Fatalf("patched %+v, %v", got, err)
		}
		w.write("app/a")
		w.until("delivered there", func() bool { return next.count() == 1 })
		if r.count() != 0 || !signed(next.requests()[0], "X-ScaiVault-Signature", signing) {
			w.Error("delivered here, or not signed with the same secret")
		}
		w.settled()
		d = vaultapi.Delivery{Type: "polling"}
		if got, err := w.subscriptions.Patch(w.Context(), alice, s.ID, vaultapi.SubscriptionPatch{Delivery: &d}); err != nil || got.Delivery.Type != "polling" || got.Delivery.URL != "" {
			w.Fatalf("patched %+v, %v", got, err)
		}
		w.write("app/b")
		p, err := w.subscriptions.Poll(w.Context(), alice, s.ID, events.PollRequest{Timeout: 10 * time.Second})
		if err != nil || len(p.Events) != 1 || p.Events[0].Path != "app/b" {
			w.Errorf("polled %+v, %v", p, err)
		}
		if next.count() != 1 {
			w.Error("still delivered")
		}
		d = vaultapi.Delivery{Type: "webhook", URL: r.url}
		if _, err := w.subscriptions.Patch(w.Context(), alice, s.ID, vaultapi.SubscriptionPatch{Delivery: &d}); !fault.Is(err, fault.CodeValidation) {
			w.Errorf("a new receiver without a secret: %v", err)
		}
	})
}

func TestSubscriptionRefuses(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		root := alice
		root.Roles = []string{guard.RoleSuperAdmin}
		for name, tc := range map[string]struct {
			who guard.Caller
			d   vaultapi.Delivery
		}{
			"no url":             {alice, vaultapi.Delivery{Type: "webhook", Secret: "s"}},
			"no secret":          {alice, vaultapi.Delivery{Type: "webhook", URL: r.url}},
			"bad url":            {alice, vaultapi.Delivery{Type: "webhook", URL: "https://169.254.169.254@x/#", Secret: "s"}},
			"url of a poll":      {alice, vaultapi.Delivery{Type: "polling", URL: r.url}},
			"secret of a poll":   {alice, vaultapi.Delivery{Type: "polling", Secret: "s"}},
			"judged by no-one":   {root, vaultapi.Delivery{Type: "webhook", URL: r.url, Secret: "s"}},
			"an unknown carrier": {alice, vaultapi.Delivery{Type: "pigeon"}},
		} {
			in := vaultapi.SubscriptionWrite{Name: "x", Paths: []string{"**"}, Delivery: tc.d}
			if _, err := w.subscriptions.Create(w.Context(), tc.who, in); !fault.Is(err, fault.CodeValidation) {
				w.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Reads and refusals are announced to those who name them, folded, and otherwise not at all.
func TestLoudEvents(t *testing.T) {
	each(t, func(w *world) {
		quiet, loud := newReceiver(w), newReceiver(w)
		w.hook("quiet", quiet)
		w.write("app/db")
		w.until("written", func() bool { return quiet.count() == 1 })
		p, _ := secrets.ParsePath("app/db")
		read := func(n int) {
			for range n {
				if _, err := w.secrets.Read(w.Context(), alice, p, 0); err != nil {
					w.Fatal(err)
				}
			}
		}
		read(3)
		if w.seen.Wants(guard.DefaultTenant, events.Accessed) {
			w.Error("reads are announced though nobody asked")
		}
		w.hook("loud", loud, func(in *vaultapi.WebhookWrite) { in.Events = []string{events.Accessed, events.Violation} })
		w.until("asked for", func() bool { return w.seen.Wants(guard.DefaultTenant, events.Accessed) })
		read(50)
		stranger := caller("user:mallory@acme.example", "secrets:read", "secrets:write")
		for range 20 {
			if _, err := w.secrets.Read(w.Context(), stranger, p, 0); !fault.Is(err, fault.CodeAccessDenied) {
				w.Fatal(err)
			}
		}
		if _, err := w.secrets.Write(w.Context(), stranger, p, vaultapi.WriteRequest{Data: []byte(`{"k":"v"}`)}); !fault.Is(err, fault.CodeAccessDenied) {
			w.Fatal(err)
		}
		w.until("told", func() bool {
			bodies := ""
			for _, q := range loud.requests() {
				bodies += q.body
			}
			return strings.Contains(bodies, `"permission":"write"`) && strings.Contains(bodies, `"permission":"read"`) && strings.Contains(bodies, `"version":1`)
		})
		if n := loud.count(); n > 8 {
			w.Errorf("%d requests for 71 calls", n)
		}
		for _, q := range loud.requests() {
			if q.event.Path != "app/db" || q.event.IdentityID == "" {
				w.Errorf("event %+v", q.event)
			}
		}
		w.settled()
		if got := quiet.told(); !slices.Equal(got, []string{"secret.created app/db"}) {
			w.Errorf("the quiet one was told %q", got)
		}
		if err := w.webhooks.Delete(w.Context(), admin, "loud"); err != nil {
			w.Fatal(err)
		}
		w.until("no longer asked for", func() bool { return !w.seen.Wants(guard.DefaultTenant, events.Violation) })
	})
}
