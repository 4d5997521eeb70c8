package webhooks_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events/webhooks"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

func valid(r *receiver) vaultapi.WebhookWrite {
	return vaultapi.WebhookWrite{Name: "ok", URL: r.url, Secret: "123456789", Events: []string{"secret.*", "policy.violation"}}
}

func TestCreateRefuses(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		for name, tc := range map[string]struct {
			change func(*vaultapi.WebhookWrite)
			field  string
		}{
			"no name":       {func(in *vaultapi.WebhookWrite) { in.Name = "" }, "name"},
			"name of an id": {func(in *vaultapi.WebhookWrite) { in.Name = "wh_abc" }, "name"},
			"odd name":      {func(in *vaultapi.WebhookWrite) { in.Name = "a/b" }, "name"},
			"long name":     {func(in *vaultapi.WebhookWrite) { in.Name = strings.Repeat("a", 129) }, "name"},
			"no url":        {func(in *vaultapi.WebhookWrite) { in.URL = "" }, "url"},
			"no scheme":     {func(in *vaultapi.WebhookWrite) { in.URL = "receiver.example.org" }, "url"},
			"user in url":   {func(in *vaultapi.WebhookWrite) { in.URL = "https://u:p@receiver.example.org" }, "url"},
			"no secret":     {func(in *vaultapi.WebhookWrite) { in.Secret = "" }, "secret"},
			"unknown event": {func(in *vaultapi.WebhookWrite) { in.Events = []string{"secret.*", "secret.read"} }, "events[1]"},
			"many events":   {func(in *vaultapi.WebhookWrite) { in.Events = make([]string, 65) }, "events"},
			"slash prefix": {func(in *vaultapi.WebhookWrite) {
				in.Filters = &vaultapi.WebhookFilters{PathPrefix: "/environments"}
			}, "filters.path_prefix"},
			"glob prefix": {func(in *vaultapi.WebhookWrite) {
				in.Filters = &vaultapi.WebhookFilters{PathPrefix: "environments/**"}
			}, "filters.path_prefix"},
			"NUL type":  {func(in *vaultapi.WebhookWrite) { in.Filters = &vaultapi.WebhookFilters{SecretType: "a\x00"} }, "filters.secret_type"},
			"empty tag": {func(in *vaultapi.WebhookWrite) { in.Filters = &vaultapi.WebhookFilters{Tags: []string{""}} }, "filters.tags[0]"},
		} {
			in := valid(r)
			tc.change(&in)
			_, err := w.webhooks.Create(w.Context(), admin, in)
			var f *fault.Error
			if !errors.As(err, &f) || f.Code != fault.CodeValidation {
				w.Errorf("%s: %v", name, err)
				continue
			}
			if fields, _ := f.Details["fields"].(map[string]string); fields[tc.field] == "" {
				w.Errorf("%s: fields %v", name, f.Details)
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM webhooks`); n != 0 {
			w.Errorf("%d webhooks", n)
		}
	})
}

// Only scope admin works with webhooks; those of another tenant do not exist.
func TestWhoMay(t *testing.T) {
	each(t, func(w *world) {
		w.exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ('tnt_b', $1, 'b', 0)`, guard.DefaultPartner)
		foreign := admin
		foreign.Tenant = "tnt_b"
		r := newReceiver(w)
		hook := w.hook("mine", r)
		name := "other"
		for _, who := range []guard.Caller{alice, foreign} {
			want := fault.CodeInsufficientScope
			if who.Tenant != guard.DefaultTenant {
				want = fault.CodeWebhookNotFound
			}
			for call, err := range map[string]error{
				"get":        second(w.webhooks.Get(w.Context(), who, hook.ID)),
				"patch":      second(w.webhooks.Patch(w.Context(), who, hook.ID, vaultapi.WebhookPatch{Name: &name})),
				"delete":     w.webhooks.Delete(w.Context(), who, "mine"),
				"test":       second(w.webhooks.Test(w.Context(), who, "mine")),
				"deliveries": second(w.webhooks.Deliveries(w.Context(), who, "mine", webhooks.DeliveryFilter{})),
			} {
				if !fault.Is(err, want) {
					w.Errorf("%s by %s of %s: %v", call, who.ID, who.Tenant, err)
				}
			}
		}
		if list, err := w.webhooks.List(w.Context(), foreign, 0, ""); err != nil || len(list.Webhooks) != 0 {
			w.Errorf("list of a stranger: %+v, %v", list, err)
		}
		if _, err := w.webhooks.List(w.Context(), alice, 0, ""); !fault.Is(err, fault.CodeInsufficientScope) {
			w.Errorf("list: %v", err)
		}
		if _, err := w.webhooks.Create(w.Context(), alice, valid(r)); !fault.Is(err, fault.CodeInsufficientScope) {
			w.Errorf("create: %v", err)
		}
		if r.count() != 0 {
			w.Error("the receiver was called")
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestNamesAndPages(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		var ids []string
		for i := range 5 {
			ids = append(ids, w.hook(fmt.Sprintf("hook-%d", i), r).ID)
		}
		slices.Sort(ids)
		var got []string
		for cursor := ""; ; {
			page, err := w.webhooks.List(w.Context(), admin, 2, cursor)
			if err != nil {
				w.Fatal(err)
			}
			for _, h := range page.Webhooks {
				got = append(got, h.ID)
			}
			if !page.HasMore {
				break
			}
			cursor = *page.Cursor
		}
		if !slices.Equal(got, ids) {
			w.Errorf("got %v, want %v", got, ids)
		}
		taken := "hook-1"
		if _, err := w.webhooks.Patch(w.Context(), admin, "hook-0", vaultapi.WebhookPatch{Name: &taken}); !fault.Is(err, fault.CodeWebhookExists) {
			w.Errorf("a name that is taken: %v", err)
		}
		if _, err := w.webhooks.Create(w.Context(), admin, vaultapi.WebhookWrite{Name: taken, URL: r.url, Secret: "s"}); !fault.Is(err, fault.CodeWebhookExists) {
			w.Errorf("a name that is taken: %v", err)
		}
		free := "renamed"
		if got := w.patch("hook-0", vaultapi.WebhookPatch{Name: &free}); got.Name != free {
			w.Errorf("renamed: %+v", got)
		}
		for _, id := range []string{"hook-0", "wh_none", "", "a/b", "\x00"} {
			if _, err := w.webhooks.Get(w.Context(), admin, id); !fault.Is(err, fault.CodeWebhookNotFound) {
				w.Errorf("%q: %v", id, err)
			}
		}
		for _, cursor := range []string{"x", "wh_'; DROP TABLE webhooks", "\x00"} {
			if _, err := w.webhooks.List(w.Context(), admin, 0, cursor); !fault.Is(err, fault.CodeInvalidCursor) {
				w.Errorf("%q: %v", cursor, err)
			}
			if _, err := w.webhooks.Deliveries(w.Context(), admin, free, webhooks.DeliveryFilter{Cursor: cursor}); !fault.Is(err, fault.CodeInvalidCursor) {
				w.Errorf("%q: %v", cursor, err)
			}
		}
		for _, f := range []webhooks.DeliveryFilter{{Status: "lost"}, {Limit: -1}, {Limit: 1001}} {
			if _, err := w.webhooks.Deliveries(w.Context(), admin, free, f); !fault.Is(err, fault.CodeValidation) {
				w.Errorf("%+v: %v", f, err)
			}
		}
	})
}

func TestPatch(t *testing.T) {
	each(t, func(w *world) {
		first, next := newReceiver(w), newReceiver(w)
		hook := w.hook("moved", first, func(in *vaultapi.WebhookWrite) { in.Filters = &vaultapi.WebhookFilters{PathPrefix: "a/"} })
		secret := vaultapi.SigningSecret("s")
		for ttl, want := range map[string]string{"soon": fault.CodeInvalidDuration, "31d": fault.CodeValidation} {
			if _, err := w.webhooks.Patch(w.Context(), admin, hook.ID, vaultapi.WebhookPatch{Secret: &secret, PreviousSecretTTL: ttl}); !fault.Is(err, want) {
				w.Errorf("%s: %v", ttl, err)
			}
		}
		if _, err := w.webhooks.Patch(w.Context(), admin, hook.ID, vaultapi.WebhookPatch{PreviousSecretTTL: "1h"}); !fault.Is(err, fault.CodeValidation) {
			w.Errorf("a TTL without a secret: %v", err)
		}
		got := w.patch(hook.ID, vaultapi.WebhookPatch{URL: &next.url, Events: &[]string{"secret.*"}, Filters: &vaultapi.WebhookFilters{}})
		if got.URL != next.url || !slices.Equal(got.Events, []string{"secret.*"}) || got.Filters.PathPrefix != "" || got.Name != "moved" {
			w.Errorf("patched: %+v", got)
		}
		w.write("b/c")
		w.until("delivered there", func() bool { return next.count() == 1 })
		if first.count() != 0 {
			w.Error("delivered here")
		}
	})
}

func TestDeleteTakesAll(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		r.status.Store(503)
		hook := w.hook("gone", r)
		w.write("a/b")
		w.until("tried", func() bool { return w.get(hook.ID).Status == "degraded" })
		if err := w.webhooks.Delete(w.Context(), admin, "gone"); err != nil {
			w.Fatal(err)
		}
		w.until("nothing left", func() bool {
			return w.count(`SELECT (SELECT COUNT(*) FROM webhooks) + (SELECT COUNT(*) FROM deliveries) + (SELECT COUNT(*) FROM signing_secrets)
+ (SELECT COUNT(*) FROM jobs WHERE kind = 'webhook.delivery')`) == 0
		})
		if err := w.webhooks.Delete(w.Context(), admin, "gone"); !fault.Is(err, fault.CodeWebhookNotFound) {
			w.Errorf("again: %v", err)
		}
	})
}

func TestTestDelivery(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		off := false
		hook := w.hook("tried", r, func(in *vaultapi.WebhookWrite) { in.Enabled = &off })
		got, err := w.webhooks.Test(w.Context(), admin, "tried")
		if err != nil || got.Status != "success" || *got.ResponseCode != 200 || got.DeliveryID == "" {
			w.Errorf("got %+v, %v", got, err)
		}
		if q := r.requests()[0]; q.event.EventType != "webhook.test" || !signed(q, "X-ScaiVault-Signature", signing) {
			w.Errorf("got %+v", q)
		}
		r.status.Store(418)
		if got, err := w.webhooks.Test(w.Context(), admin, hook.ID); err != nil || got.Status != "failed" || *got.ResponseCode != 418 {
			w.Errorf("got %+v, %v", got, err)
		}
		if d := w.deliveries(hook.ID, ""); len(d) != 2 || d[0].Status != "failed" || d[1].Status != "success" {
			w.Errorf("deliveries %+v", d)
		}
		if got := w.get(hook.ID); got.ConsecutiveFailures != 0 || got.Status != "disabled" {
			w.Errorf("webhook %+v", got)
		}
	})
}
