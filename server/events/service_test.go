package events_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

func polling(paths ...string) vaultapi.SubscriptionWrite {
	return vaultapi.SubscriptionWrite{Name: "s", Paths: paths, Delivery: vaultapi.Delivery{Type: "polling"}}
}

func TestSubscriptionLife(t *testing.T) {
	each(t, func(w *world) {
		write := polling("app/**")
		write.Owner = "k8s:home/VaultSecret/a/b/c"
		made, err := w.service.Create(w.Context(), alice, write)
		if err != nil {
			w.Fatal(err)
		}
		want := vaultapi.Subscription{
			ID: made.ID, Name: "s", Status: "active", IdentityID: alice.ID, Paths: []string{"app/**"}, Events: []string{},
			Delivery: vaultapi.Delivery{Type: "polling", BufferSize: events.DefaultBufferSize}, Owner: write.Owner,
		}
		times := cmpopts.IgnoreTypes(vaultapi.Time{})
		if diff := cmp.Diff(want, made, times); diff != "" || !strings.HasPrefix(made.ID, "sub_") {
			w.Errorf("made (-want +got):\n%s", diff)
		}
		name, names := "renamed", []string{"secret.*"}
		want.Name, want.Events = name, names
		if _, err := w.service.Patch(w.Context(), alice, made.ID, vaultapi.SubscriptionPatch{Name: &name, Events: &names}); err != nil {
			w.Fatal(err)
		}
		got, err := w.service.Get(w.Context(), alice, made.ID)
		if diff := cmp.Diff(want, got, times); diff != "" || err != nil {
			w.Errorf("patched, %v (-want +got):\n%s", err, diff)
		}
		if err := w.service.Delete(w.Context(), alice, made.ID); err != nil {
			w.Fatal(err)
		}
		if _, err := w.service.Get(w.Context(), alice, made.ID); !fault.Is(err, fault.CodeSubscriptionNotFound) {
			w.Errorf("after deletion: %v", err)
		}
		if diff := cmp.Diff([]string{"subscription_create", "subscription_update", "subscription_read", "subscription_delete",
			"subscription_read:subscription_not_found"}, w.audit.actions()); diff != "" {
			w.Errorf("audit (-want +got):\n%s", diff)
		}
	})
}

// TestMistake18IDsOfOthers: an id of another tenant or identity is as if it did not exist, whatever the call.
func TestMistake18IDsOfOthers(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		sub := w.subscribe(alice, 0, "**")
		robot := alice
		robot.Type = guard.TypeServiceAccount // the same name is not the same identity
		name := "taken over"
		for label, who := range map[string]guard.Caller{"another tenant": mallory, "another identity": bob, "another type": robot} {
			_, get := w.service.Get(w.Context(), who, sub.ID)
			_, patch := w.service.Patch(w.Context(), who, sub.ID, vaultapi.SubscriptionPatch{Name: &name})
			_, poll := w.service.Poll(w.Context(), who, sub.ID, events.PollRequest{})
			_, ack := w.service.Ack(w.Context(), who, sub.ID, vaultapi.Ack{EventIDs: []string{"evt_1"}})
			del := w.service.Delete(w.Context(), who, sub.ID)
			for call, err := range map[string]error{"get": get, "patch": patch, "poll": poll, "ack": ack, "delete": del} {
				if !fault.Is(err, fault.CodeSubscriptionNotFound) {
					w.Errorf("%s, %s: %v", label, call, err)
				}
			}
			if list, err := w.service.List(w.Context(), who, events.Filter{}); err != nil || len(list.Subscriptions) != 0 {
				w.Errorf("%s, list: %v, %v", label, list.Subscriptions, err)
			}
		}
		if got, err := w.service.Get(w.Context(), alice, sub.ID); err != nil || got.Name != "test" {
			w.Errorf("afterwards: %+v, %v", got, err)
		}
	})
}

// TestEventsOfAnotherTenant: their ids are unknown here, and are not acknowledged.
func TestEventsOfAnotherTenant(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		sub, theirs := w.subscribe(alice, 0, "**"), w.subscribe(mallory, 0, "**")
		w.mustChange("tnt_b", "app/x")
		id := w.poll(mallory, theirs.ID, "").Events[0].EventID
		if p := w.pollWith(alice, sub.ID, events.PollRequest{SinceEventID: id}); !p.Gap || p.ResumeEventID != "" {
			w.Errorf("poll since another tenant's event: %+v", p)
		}
		if n, err := w.service.Ack(w.Context(), alice, sub.ID, vaultapi.Ack{EventIDs: []string{id}}); n != 0 || err != nil {
			w.Errorf("ack of another tenant's event: %d, %v", n, err)
		}
	})
}

func TestAdministratorSeesAndDeletes(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		sub := w.subscribe(alice, 0, "**")
		admin := guard.Caller{Tenant: "tnt_a", Type: guard.TypeUser, ID: "user:admin", Scopes: []string{"admin", "subscriptions:read"}}
		if list, err := w.service.List(w.Context(), admin, events.Filter{}); err != nil || len(list.Subscriptions) != 1 {
			w.Errorf("list: %v, %v", list.Subscriptions, err)
		}
		if _, err := w.service.Get(w.Context(), admin, sub.ID); err != nil {
			w.Error(err)
		}
		if _, err := w.service.Poll(w.Context(), admin, sub.ID, events.PollRequest{}); !fault.Is(err, fault.CodeSubscriptionNotFound) {
			w.Errorf("poll: %v", err)
		}
		if err := w.service.Delete(w.Context(), admin, sub.ID); err != nil {
			w.Error(err)
		}
		foreign := admin
		foreign.Tenant = "tnt_b"
		if _, err := w.service.Get(w.Context(), foreign, sub.ID); !fault.Is(err, fault.CodeSubscriptionNotFound) {
			w.Errorf("administrator of another tenant: %v", err)
		}
	})
}

// Scope owned:release deletes what the caller's own cluster owns, and nothing else, not even the caller's own.
func TestReleaseOfWhatAClusterOwns(t *testing.T) {
	each(t, func(w *world) {
		releaser := guard.Caller{Tenant: "tnt_a", Type: guard.TypeServiceAccount, ID: "sa:system:release", Cluster: "home", Scopes: []string{"owned:release"}}
		for owner, gone := range map[string]bool{
			"k8s:home/Operator/ns/operator/feed": true, "k8s:edge/Operator/ns/operator/feed": false, "k8s:home2/X/ns/n/u": false, "": false,
		} {
			made, err := w.service.Create(w.Context(), alice, vaultapi.SubscriptionWrite{Name: "feed", Paths: []string{"**"}, Owner: owner})
			if err != nil {
				w.Fatal(err)
			}
			stranger, nowhere := releaser, releaser
			stranger.Cluster, stranger.Tenant, nowhere.Cluster = "home", "tnt_b", ""
			for _, who := range []guard.Caller{stranger, nowhere} {
				if err := w.service.Delete(w.Context(), who, made.ID); !fault.Is(err, fault.CodeSubscriptionNotFound) {
					w.Errorf("%s of %s by %+v: %v", made.ID, owner, who, err)
				}
			}
			err = w.service.Delete(w.Context(), releaser, made.ID)
			if gone && err != nil || !gone && !fault.Is(err, fault.CodeSubscriptionNotFound) {
				w.Errorf("owner %q: %v", owner, err)
			}
		}
		own := releaser
		own.Scopes = []string{"subscriptions:write"}
		made, err := w.service.Create(w.Context(), own, vaultapi.SubscriptionWrite{Name: "feed", Paths: []string{"**"}})
		if err != nil {
			w.Fatal(err)
		}
		if err := w.service.Delete(w.Context(), releaser, made.ID); !fault.Is(err, fault.CodeSubscriptionNotFound) {
			w.Errorf("without an owner: %v", err)
		}
	})
}

func TestScopes(t *testing.T) {
	each(t, func(w *world) {
		none := alice
		none.Scopes = []string{"secrets:read"}
		_, create := w.service.Create(w.Context(), none, polling("**"))
		_, get := w.service.Get(w.Context(), none, "sub_x")
		_, list := w.service.List(w.Context(), none, events.Filter{})
		_, patch := w.service.Patch(w.Context(), none, "sub_x", vaultapi.SubscriptionPatch{})
		_, poll := w.service.Poll(w.Context(), none, "sub_x", events.PollRequest{})
		_, ack := w.service.Ack(w.Context(), none, "sub_x", vaultapi.Ack{EventIDs: []string{"evt_1"}})
		for call, err := range map[string]error{
			"create": create, "get": get, "list": list, "patch": patch, "poll": poll, "ack": ack,
			"delete": w.service.Delete(w.Context(), none, "sub_x"),
		} {
			if !fault.Is(err, fault.CodeInsufficientScope) {
				w.Errorf("%s: %v", call, err)
			}
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	with := func(change func(*vaultapi.SubscriptionWrite)) vaultapi.SubscriptionWrite {
		s := polling("**")
		change(&s)
		return s
	}
	cases := map[string]struct {
		write vaultapi.SubscriptionWrite
		code  string
		field string
	}{
		"no name":         {with(func(s *vaultapi.SubscriptionWrite) { s.Name = "" }), fault.CodeValidation, "name"},
		"long name":       {with(func(s *vaultapi.SubscriptionWrite) { s.Name = strings.Repeat("x", 129) }), fault.CodeValidation, "name"},
		"control in name": {with(func(s *vaultapi.SubscriptionWrite) { s.Name = "a\x1b[2J" }), fault.CodeValidation, "name"},
		"blank name":      {with(func(s *vaultapi.SubscriptionWrite) { s.Name = " a" }), fault.CodeValidation, "name"},
		"no paths":        {polling(), fault.CodeValidation, "paths"},
		"many paths":      {polling(strings.Split(strings.Repeat("a ", 64)+"a", " ")...), fault.CodeValidation, "paths"},
		"bad glob":        {polling("a", "/b"), fault.CodeInvalidGlob, ""},
		"other class":     {polling("pki:web"), fault.CodeValidation, "paths[0]"},
		"unknown event":   {with(func(s *vaultapi.SubscriptionWrite) { s.Events = []string{"secret.read"} }), fault.CodeValidation, "events[0]"},
		"half a prefix":   {with(func(s *vaultapi.SubscriptionWrite) { s.Events = []string{"secret.*", "secr*"} }), fault.CodeValidation, "events[1]"},
		"empty event":     {with(func(s *vaultapi.SubscriptionWrite) { s.Events = []string{""} }), fault.CodeValidation, "events[0]"},
		"many events":     {with(func(s *vaultapi.SubscriptionWrite) { s.Events = make([]string, 65) }), fault.CodeValidation, "events"},
		"other delivery":  {with(func(s *vaultapi.SubscriptionWrite) { s.Delivery.Type = "pigeon" }), fault.CodeValidation, "delivery.type"},
		"negative buffer": {with(func(s *vaultapi.SubscriptionWrite) { s.Delivery.BufferSize = -1 }), fault.CodeValidation, "delivery.buffer_size"},
		"huge buffer":     {with(func(s *vaultapi.SubscriptionWrite) { s.Delivery.BufferSize = 100_001 }), fault.CodeValidation, "delivery.buffer_size"},
		"long owner":      {with(func(s *vaultapi.SubscriptionWrite) { s.Owner = strings.Repeat("x", 513) }), fault.CodeValidation, "owner"},
	}
	each(t, func(w *world) {
		for name, tc := range cases {
			_, err := w.service.Create(w.Context(), alice, tc.write)
			var f *fault.Error
			if !errors.As(err, &f) || f.Code != tc.code {
				w.Errorf("%s: %v", name, err)
				continue
			}
			if fields, _ := f.Details["fields"].(map[string]string); tc.field != "" && fields[tc.field] == "" {
				w.Errorf("%s: fields %v", name, f.Details)
			}
		}
	})
}

func TestCreateAccepts(t *testing.T) {
	each(t, func(w *world) {
		for _, names := range [][]string{nil, {"*"}, {"secret.*"}, {"policy.binding.*", "dynamic.lease.created"}, {"secret.restored"}} {
			s := polling("environments/*/billing/**", "ns/{namespace}/**")
			s.Events, s.Delivery.Type = names, ""
			if made, err := w.service.Create(w.Context(), alice, s); err != nil || made.Delivery.Type != "polling" {
				w.Errorf("events %v: %+v, %v", names, made, err)
			}
		}
	})
}

func TestListPages(t *testing.T) {
	each(t, func(w *world) {
		for range 5 {
			w.subscribe(alice, 0, "**")
		}
		owned := polling("**")
		owned.Owner = "k8s:home"
		if _, err := w.service.Create(w.Context(), alice, owned); err != nil {
			w.Fatal(err)
		}
		w.subscribe(bob, 0, "**")
		if n := w.count(alice, 2); n != 6 {
			w.Errorf("%d subscriptions in all pages, want 6", n)
		}
		if list, err := w.service.List(w.Context(), alice, events.Filter{Owner: "k8s:home"}); err != nil || len(list.Subscriptions) != 1 {
			w.Errorf("by owner: %v, %v", list.Subscriptions, err)
		}
		if _, err := w.service.List(w.Context(), alice, events.Filter{Cursor: "' OR 1=1"}); !fault.Is(err, fault.CodeInvalidCursor) {
			w.Errorf("bad cursor: %v", err)
		}
		for _, limit := range []int{-1, 1001} {
			if _, err := w.service.List(w.Context(), alice, events.Filter{Limit: limit}); !fault.Is(err, fault.CodeValidation) {
				w.Errorf("limit %d: %v", limit, err)
			}
		}
	})
}

// count walks through all pages of a list.
func (w *world) count(who guard.Caller, limit int) (n int) {
	w.Helper()
	f := events.Filter{Limit: limit}
	for {
		list, err := w.service.List(w.Context(), who, f)
		if err != nil || len(list.Data) != len(list.Subscriptions) || list.HasMore != (list.Cursor != nil) {
			w.Fatalf("%+v, %v", list, err)
		}
		n += len(list.Subscriptions)
		if !list.HasMore {
			return n
		}
		f.Cursor = *list.Cursor
	}
}

func TestLimitPerIdentity(t *testing.T) {
	each(t, func(w *world) {
		for i := range events.MaxPerIdentity {
			if _, err := w.service.Create(w.Context(), alice, polling(fmt.Sprintf("app/%d", i))); err != nil {
				w.Fatal(err)
			}
		}
		if _, err := w.service.Create(w.Context(), alice, polling("one/more")); !fault.Is(err, fault.CodeValidation) {
			w.Errorf("one more: %v", err)
		}
		w.subscribe(bob, 0, "**")
	})
}
