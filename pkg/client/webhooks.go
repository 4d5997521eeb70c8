package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Webhooks are the calls under /v1/webhooks (contract section 12). A webhook is named by its id or its name.
type Webhooks struct{ c *Client }

const webhooksPath = "/webhooks"

// DeliveryOptions select deliveries.
type DeliveryOptions struct {
	Status string // success | failed | pending; "": all
	Limit  int    // of one page: default 100, at most 1000
	Cursor string
}

// Create makes a webhook that begins with the next event.
func (w *Webhooks) Create(ctx context.Context, in vaultapi.WebhookWrite) (*vaultapi.Webhook, error) {
	return on[vaultapi.Webhook](ctx, w.c, request{method: http.MethodPost, path: webhooksPath, body: in})
}

// List returns one page of webhooks.
func (w *Webhooks) List(ctx context.Context, limit int, cursor string) (*vaultapi.WebhookList, error) {
	q := query{}
	q.page(limit, cursor)
	return on[vaultapi.WebhookList](ctx, w.c, request{method: http.MethodGet, path: webhooksPath, query: url.Values(q), repeat: true})
}

// Get returns a webhook with its statistics and its last delivery.
func (w *Webhooks) Get(ctx context.Context, id string) (*vaultapi.Webhook, error) {
	return onID[vaultapi.Webhook](ctx, w.c, webhooksPath, id, "", request{method: http.MethodGet, repeat: true})
}

// Patch changes the fields given.
func (w *Webhooks) Patch(ctx context.Context, id string, p vaultapi.WebhookPatch) (*vaultapi.Webhook, error) {
	return onID[vaultapi.Webhook](ctx, w.c, webhooksPath, id, "", request{method: http.MethodPatch, body: p, repeat: p.Secret == nil})
}

// Delete removes a webhook with what was not yet delivered.
func (w *Webhooks) Delete(ctx context.Context, id string) error {
	return sendID(ctx, w.c, webhooksPath, id, "", request{method: http.MethodDelete})
}

// Test sends a test event once. That the receiver did not take it is no error: Status tells.
func (w *Webhooks) Test(ctx context.Context, id string) (*vaultapi.WebhookTest, error) {
	return onID[vaultapi.WebhookTest](ctx, w.c, webhooksPath, id, "/test", request{method: http.MethodPost})
}

// Deliveries returns one page of a webhook's deliveries, newest first.
func (w *Webhooks) Deliveries(ctx context.Context, id string, o DeliveryOptions) (*vaultapi.WebhookDeliveryList, error) {
	q := query{}
	q.text("status", o.Status)
	q.page(o.Limit, o.Cursor)
	return onID[vaultapi.WebhookDeliveryList](ctx, w.c, webhooksPath, id, "/deliveries", request{method: http.MethodGet, query: url.Values(q), repeat: true})
}
