package vaultapi

import "encoding/json"

// Event is one item of a poll (contract sections 12.3 and 13).
type Event struct {
	EventID    string          `json:"event_id"`
	EventType  string          `json:"event_type"`
	Timestamp  MicroTime       `json:"timestamp"`
	TenantID   string          `json:"tenant_id"`
	PartnerID  string          `json:"partner_id"`
	IdentityID string          `json:"identity_id"`
	Path       string          `json:"path,omitempty"`
	Data       json.RawMessage `json:"data"`
	RequestID  string          `json:"request_id"`
}

// SubscriptionWrite is the body of POST /v1/subscriptions.
type SubscriptionWrite struct {
	Name     string   `json:"name"`
	Paths    []string `json:"paths"`  // globs
	Events   []string `json:"events"` // names or `secret.*`; empty: all
	Delivery Delivery `json:"delivery"`
	Owner    string   `json:"owner,omitempty"`
}

// SubscriptionPatch is the body of PATCH /v1/subscriptions/{id}.
type SubscriptionPatch struct {
	Name     *string   `json:"name,omitempty"`
	Paths    *[]string `json:"paths,omitempty"`
	Events   *[]string `json:"events,omitempty"`
	Delivery *Delivery `json:"delivery,omitempty"`
}

// Delivery says how events reach the subscriber.
type Delivery struct {
	Type       string        `json:"type"`                  // polling | webhook
	BufferSize int64         `json:"buffer_size,omitempty"` // of polling: allowed lag in events; default 1000
	URL        string        `json:"url,omitempty"`         // of webhook: https
	Secret     SigningSecret `json:"secret,omitempty"`      // of webhook; never answered
}

// Subscription is a cursor over the event log of its tenant, owned by the identity that made it.
type Subscription struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Status     string   `json:"status"` // active; with webhook delivery degraded after an attempt that failed, disabled after too many
	IdentityID string   `json:"identity_id"`
	Paths      []string `json:"paths"`
	Events     []string `json:"events"`
	Delivery   Delivery `json:"delivery"`
	Owner      string   `json:"owner,omitempty"`
	CreatedAt  Time     `json:"created_at"`
	UpdatedAt  Time     `json:"updated_at"`
}

// SubscriptionList is GET /v1/subscriptions.
type SubscriptionList struct {
	Subscriptions []Subscription `json:"subscriptions"`
	Data          []Subscription `json:"data"`
	Cursor        *string        `json:"cursor"`
	HasMore       bool           `json:"has_more"`
}

// Poll is GET /v1/subscriptions/{id}/poll. Gap means that events were lost to this cursor: reconcile
// everything, then go on from ResumeEventID.
type Poll struct {
	Events        []Event `json:"events"`
	HasMore       bool    `json:"has_more"`
	Gap           bool    `json:"gap,omitempty"`
	ResumeEventID string  `json:"resume_event_id,omitempty"`
	InstanceID    string  `json:"instance_id"`
	RestoreEpoch  int64   `json:"restore_epoch"`
}

// Ack is the body of POST /v1/subscriptions/{id}/ack.
type Ack struct {
	EventIDs []string `json:"event_ids"`
}
