package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events/webhooks"
)

type webhookHandlers struct{ service *webhooks.Service }

func webhookRoutes(h webhookHandlers) []route {
	const (
		all = "/v1/webhooks"
		one = "/v1/webhooks/{id}"
	)
	return []route{
		{method: http.MethodGet, pattern: all, id: "listWebhooks", summary: "List webhooks",
			group: groupWebhooks, scope: webhooks.Scope, rate: rateWebhook, action: webhooks.ActionList, endpoint: handle(h.list)},
		{method: http.MethodPost, pattern: all, id: "createWebhook", summary: "Have events delivered to a URL",
			group: groupWebhooks, scope: webhooks.Scope, rate: rateWebhook, action: webhooks.ActionCreate, status: http.StatusCreated, endpoint: handle(h.create)},
		{method: http.MethodGet, pattern: one, id: "readWebhook", summary: "Read a webhook with its statistics",
			group: groupWebhooks, scope: webhooks.Scope, rate: rateWebhook, action: webhooks.ActionRead, endpoint: handle(h.read)},
		{method: http.MethodPatch, pattern: one, id: "patchWebhook", summary: "Change the given fields of a webhook",
			group: groupWebhooks, scope: webhooks.Scope, rate: rateWebhook, action: webhooks.ActionUpdate, endpoint: handle(h.patch)},
		{method: http.MethodDelete, pattern: one, id: "deleteWebhook", summary: "Delete a webhook with what was not yet delivered",
			group: groupWebhooks, scope: webhooks.Scope, rate: rateWebhook, action: webhooks.ActionDelete, status: http.StatusNoContent, endpoint: handle(h.delete)},
		{method: http.MethodPost, pattern: one + "/test", id: "testWebhook", summary: "Send a test event once and tell what came of it",
			group: groupWebhooks, scope: webhooks.Scope, rate: rateWebhook, action: webhooks.ActionTest, endpoint: handle(h.test)},
		{method: http.MethodGet, pattern: one + "/deliveries", id: "listDeliveries", summary: "List a webhook's deliveries, newest first",
			group: groupWebhooks, scope: webhooks.Scope, rate: rateWebhook, action: webhooks.ActionDeliveries, endpoint: handle(h.deliveries)},
	}
}

type webhookListInput struct {
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor"`
}

func (h webhookHandlers) list(ctx context.Context, c *call, in webhookListInput) (vaultapi.WebhookList, error) {
	return h.service.List(ctx, c.who, in.Limit, in.Cursor)
}

type webhookInput struct {
	ID string `path:"id" description:"id or name"`
}

type webhookCreateInput struct{ Body vaultapi.WebhookWrite }

func (h webhookHandlers) create(ctx context.Context, c *call, in webhookCreateInput) (vaultapi.Webhook, error) {
	return h.service.Create(ctx, c.who, in.Body)
}

func (h webhookHandlers) read(ctx context.Context, c *call, in webhookInput) (vaultapi.Webhook, error) {
	return h.service.Get(ctx, c.who, in.ID)
}

type webhookPatchInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.WebhookPatch
}

func (h webhookHandlers) patch(ctx context.Context, c *call, in webhookPatchInput) (vaultapi.Webhook, error) {
	return h.service.Patch(ctx, c.who, in.ID, in.Body)
}

func (h webhookHandlers) delete(ctx context.Context, c *call, in webhookInput) (nothing, error) {
	return nothing{}, h.service.Delete(ctx, c.who, in.ID)
}

func (h webhookHandlers) test(ctx context.Context, c *call, in webhookInput) (vaultapi.WebhookTest, error) {
	return h.service.Test(ctx, c.who, in.ID)
}

type deliveriesInput struct {
	ID     string `path:"id" description:"id or name"`
	Status string `query:"status" enum:"success,failed,pending"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor"`
}

func (h webhookHandlers) deliveries(ctx context.Context, c *call, in deliveriesInput) (vaultapi.WebhookDeliveryList, error) {
	return h.service.Deliveries(ctx, c.who, in.ID, webhooks.DeliveryFilter{Status: in.Status, Limit: in.Limit, Cursor: in.Cursor})
}
