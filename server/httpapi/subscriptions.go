package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
)

type subscriptionHandlers struct{ service *events.Service }

func subscriptionRoutes(h subscriptionHandlers) []route {
	return []route{
		{method: http.MethodGet, pattern: "/v1/subscriptions", id: "listSubscriptions", summary: "List the caller's subscriptions",
			group: groupSubscriptions, scope: "subscriptions:read", rate: rateSubscription, action: "subscription_list", endpoint: handle(h.list)},
		{method: http.MethodPost, pattern: "/v1/subscriptions", id: "createSubscription", summary: "Make a subscription",
			group: groupSubscriptions, scope: "subscriptions:write", rate: rateSubscription, action: "subscription_create",
			status: http.StatusCreated, endpoint: handle(h.create)},
		{method: http.MethodGet, pattern: "/v1/subscriptions/{id}", id: "readSubscription", summary: "Read a subscription",
			group: groupSubscriptions, scope: "subscriptions:read", rate: rateSubscription, action: "subscription_read", endpoint: handle(h.read)},
		{method: http.MethodPatch, pattern: "/v1/subscriptions/{id}", id: "patchSubscription", summary: "Change the given fields of a subscription",
			group: groupSubscriptions, scope: "subscriptions:write", rate: rateSubscription, action: "subscription_update", endpoint: handle(h.patch)},
		{method: http.MethodDelete, pattern: "/v1/subscriptions/{id}", id: "deleteSubscription", summary: "Delete a subscription",
			group: groupSubscriptions, scope: "subscriptions:write", rate: rateSubscription, action: "subscription_delete",
			status: http.StatusNoContent, endpoint: handle(h.delete)},
		{method: http.MethodGet, pattern: "/v1/subscriptions/{id}/poll", id: "pollSubscription", summary: "Wait for events",
			group: groupSubscriptions, scope: "subscriptions:read", rate: ratePoll, action: "subscription_poll", endpoint: handle(h.poll)},
		{method: http.MethodPost, pattern: "/v1/subscriptions/{id}/ack", id: "ackSubscription", summary: "Acknowledge events",
			group: groupSubscriptions, scope: "subscriptions:read", rate: ratePoll, action: "subscription_ack",
			endpoint: handle(h.ack)},
	}
}

type subscriptionInput struct {
	ID string `path:"id"`
}

type subscriptionListInput struct {
	Owner  string `query:"owner" description:"the object that asked for it"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor"`
}

func (h subscriptionHandlers) list(ctx context.Context, c *call, in subscriptionListInput) (vaultapi.SubscriptionList, error) {
	return h.service.List(ctx, c.who, events.Filter{Owner: in.Owner, Limit: in.Limit, Cursor: in.Cursor})
}

type subscriptionCreateInput struct{ Body vaultapi.SubscriptionWrite }

func (h subscriptionHandlers) create(ctx context.Context, c *call, in subscriptionCreateInput) (vaultapi.Subscription, error) {
	return h.service.Create(ctx, c.who, in.Body)
}

func (h subscriptionHandlers) read(ctx context.Context, c *call, in subscriptionInput) (vaultapi.Subscription, error) {
	return h.service.Get(ctx, c.who, in.ID)
}

type subscriptionPatchInput struct {
	ID   string `path:"id"`
	Body vaultapi.SubscriptionPatch
}

func (h subscriptionHandlers) patch(ctx context.Context, c *call, in subscriptionPatchInput) (vaultapi.Subscription, error) {
	return h.service.Patch(ctx, c.who, in.ID, in.Body)
}

// nothing is the answer of calls that have none.
type nothing struct{}

func (h subscriptionHandlers) delete(ctx context.Context, c *call, in subscriptionInput) (nothing, error) {
	return nothing{}, h.service.Delete(ctx, c.who, in.ID)
}

type ackInput struct {
	ID   string `path:"id"`
	Body vaultapi.Ack
}

type ackAnswer struct {
	Acknowledged int `json:"acknowledged"` // of the given events, those that the log holds
}

func (h subscriptionHandlers) ack(ctx context.Context, c *call, in ackInput) (ackAnswer, error) {
	n, err := h.service.Ack(ctx, c.who, in.ID, in.Body)
	return ackAnswer{Acknowledged: n}, err
}

type pollInput struct {
	ID           string `path:"id"`
	Timeout      int64  `query:"timeout" default:"30" minimum:"0" maximum:"60" description:"seconds to wait for an event"`
	SinceEventID string `query:"since_event_id" description:"go on after this event; default: after the last acknowledged one"`
	MaxEvents    int    `query:"max_events" default:"100" minimum:"1" maximum:"1000"`
}

// poll outlives the connection's usual deadlines.
func (h subscriptionHandlers) poll(ctx context.Context, c *call, in pollInput) (vaultapi.Poll, error) {
	wait := time.Duration(in.Timeout) * time.Second
	c.extend(wait)
	return h.service.Poll(ctx, c.who, in.ID, events.PollRequest{Timeout: wait, SinceEventID: in.SinceEventID, MaxEvents: in.MaxEvents})
}

// graceAfterWait is how long an answer may take once a wait is over.
const graceAfterWait = 30 * time.Second

// extend moves the connection's deadlines behind a wait. A ResponseWriter without deadlines has none to move.
func (c *call) extend(wait time.Duration) {
	end := c.s.now().Add(wait + graceAfterWait)
	conn := http.NewResponseController(c.x)
	_ = conn.SetReadDeadline(end)
	_ = conn.SetWriteDeadline(end)
}
