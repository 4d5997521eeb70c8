package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Subscriptions are the calls under /v1/subscriptions (contract section 13).
type Subscriptions struct{ c *Client }

// SubscriptionFilter selects subscriptions.
type SubscriptionFilter struct {
	Owner  string
	Limit  int
	Cursor string
}

// PollOptions say how a poll waits.
type PollOptions struct {
	Timeout      time.Duration // whole seconds, at most 60; 0 answers at once
	SinceEventID string        // "": from what is acknowledged
	MaxEvents    int           // default 100, at most 1000
}

// Create makes a subscription that begins with the next event.
func (s *Subscriptions) Create(ctx context.Context, w vaultapi.SubscriptionWrite) (*vaultapi.Subscription, error) {
	return on[vaultapi.Subscription](ctx, s.c, request{method: http.MethodPost, path: "/subscriptions", body: w})
}

// List returns one page of subscriptions.
func (s *Subscriptions) List(ctx context.Context, f SubscriptionFilter) (*vaultapi.SubscriptionList, error) {
	q := query{}
	q.text("owner", f.Owner)
	q.page(f.Limit, f.Cursor)
	r := request{method: http.MethodGet, path: "/subscriptions", query: url.Values(q), repeat: true}
	return on[vaultapi.SubscriptionList](ctx, s.c, r)
}

// Get returns a subscription.
func (s *Subscriptions) Get(ctx context.Context, id string) (*vaultapi.Subscription, error) {
	return onID[vaultapi.Subscription](ctx, s.c, "/subscriptions", id, "", request{method: http.MethodGet, repeat: true})
}

// Patch changes the fields given.
func (s *Subscriptions) Patch(ctx context.Context, id string, w vaultapi.SubscriptionPatch) (*vaultapi.Subscription, error) {
	return onID[vaultapi.Subscription](ctx, s.c, "/subscriptions", id, "", request{method: http.MethodPatch, body: w, repeat: true})
}

// Delete removes a subscription.
func (s *Subscriptions) Delete(ctx context.Context, id string) error {
	return sendID(ctx, s.c, "/subscriptions", id, "", request{method: http.MethodDelete})
}

// Poll waits for events. An answer with Gap asks to reconcile everything and to go on from ResumeEventID.
func (s *Subscriptions) Poll(ctx context.Context, id string, o PollOptions) (*vaultapi.Poll, error) {
	q := query{}
	q.text("since_event_id", o.SinceEventID)
	q.number("max_events", int64(o.MaxEvents))
	q.text("timeout", strconv.FormatInt(int64(o.Timeout/time.Second), 10))
	r := request{method: http.MethodGet, query: url.Values(q), repeat: true, wait: o.Timeout}
	return onID[vaultapi.Poll](ctx, s.c, "/subscriptions", id, "/poll", r)
}

// Ack acknowledges events, so that a poll without SinceEventID does not give them again.
func (s *Subscriptions) Ack(ctx context.Context, id string, eventIDs ...string) error {
	r := request{method: http.MethodPost, body: vaultapi.Ack{EventIDs: eventIDs}, repeat: true}
	return sendID(ctx, s.c, "/subscriptions", id, "/ack", r)
}
