package vaultapi

import (
	"fmt"
	"log/slog"
)

// SigningSecret is what a receiver checks signatures with; the server never answers it. It does not print, but it
// is written as it stands in a JSON body.
type SigningSecret string

// Reveal returns the secret.
func (s SigningSecret) Reveal() string { return string(s) }

// String redacts.
func (s SigningSecret) String() string { return Redacted }

// GoString redacts.
func (s SigningSecret) GoString() string { return Redacted }

// Format redacts, whatever the verb.
func (s SigningSecret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue redacts.
func (s SigningSecret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// WebhookFilters narrow what a webhook selects; each one that is given must hold (contract section 12.1).
type WebhookFilters struct {
	PathPrefix string   `json:"path_prefix,omitempty"` // such as environments/production/
	SecretType string   `json:"secret_type,omitempty"`
	Tags       []string `json:"tags,omitempty"` // the secret has at least one of them
}

// WebhookWrite is the body of POST /v1/webhooks.
type WebhookWrite struct {
	Name    string          `json:"name"`
	URL     string          `json:"url"`    // https
	Secret  SigningSecret   `json:"secret"` // 32 random bytes or more are recommended
	Events  []string        `json:"events"` // names, `rotation.*` or `*`; none: only what rotation policies send to it
	Filters *WebhookFilters `json:"filters,omitempty"`
	Enabled *bool           `json:"enabled,omitempty"` // default true
}

// WebhookPatch is the body of PATCH /v1/webhooks/{id}.
type WebhookPatch struct {
	Name              *string         `json:"name,omitempty"`
	URL               *string         `json:"url,omitempty"`
	Secret            *SigningSecret  `json:"secret,omitempty"`
	PreviousSecretTTL string          `json:"previous_secret_ttl,omitempty"` // such as 24h: how long the secret before is kept; default 0s
	Events            *[]string       `json:"events,omitempty"`
	Filters           *WebhookFilters `json:"filters,omitempty"` // replaces all of them
	Enabled           *bool           `json:"enabled,omitempty"`
}

// Webhook is where events are delivered to (contract section 12.1).
type Webhook struct {
	ID                      string             `json:"id"`
	Name                    string             `json:"name"`
	URL                     string             `json:"url"`
	Events                  []string           `json:"events"`
	Filters                 WebhookFilters     `json:"filters"`
	Enabled                 bool               `json:"enabled"`
	Status                  string             `json:"status"`                               // healthy | degraded | disabled
	ConsecutiveFailures     int64              `json:"consecutive_failures"`                 // deliveries that failed since the last success; 50 disable
	PreviousSecretExpiresAt *Time              `json:"previous_secret_expires_at,omitempty"` // while two secrets are valid
	EventsLost              int64              `json:"events_lost"`                          // no longer in the log when their turn came
	EventsLostAt            *Time              `json:"events_lost_at,omitempty"`
	Statistics              *WebhookStatistics `json:"statistics,omitempty"`    // of GET one
	LastDelivery            *LastDelivery      `json:"last_delivery,omitempty"` // of GET one
	CreatedAt               Time               `json:"created_at"`
	UpdatedAt               Time               `json:"updated_at"`
}

// WebhookStatistics are of the last 24 hours. Rate and latency are null where nothing was delivered.
type WebhookStatistics struct {
	Deliveries24h  int64    `json:"deliveries_24h"`
	SuccessRate24h *float64 `json:"success_rate_24h"` // 0 to 1, of the deliveries that are over
	AvgLatencyMS   *float64 `json:"avg_latency_ms"`
	Pending        int64    `json:"pending"`
}

// LastDelivery is the delivery of the newest attempt.
type LastDelivery struct {
	ID           string `json:"id"`
	Timestamp    Time   `json:"timestamp"`
	Status       string `json:"status"`
	ResponseCode *int64 `json:"response_code"`
}

// WebhookList is GET /v1/webhooks.
type WebhookList struct {
	Webhooks []Webhook `json:"webhooks"`
	Data     []Webhook `json:"data"`
	Cursor   *string   `json:"cursor"`
	HasMore  bool      `json:"has_more"`
}

// WebhookDelivery is one event on its way to a webhook.
type WebhookDelivery struct {
	ID            string    `json:"id"`
	EventID       string    `json:"event_id"`
	EventType     string    `json:"event_type"`
	Path          string    `json:"path,omitempty"`
	Timestamp     MicroTime `json:"timestamp"` // when it was made
	Status        string    `json:"status"`    // pending | success | failed
	Attempts      int64     `json:"attempts"`
	LastAttemptAt *Time     `json:"last_attempt_at"`
	NextAttemptAt *Time     `json:"next_attempt_at"` // of pending ones
	ResponseCode  *int64    `json:"response_code"`   // of the last attempt, if the receiver answered
	DurationMS    *float64  `json:"duration_ms"`     // of the last attempt
	Error         string    `json:"error,omitempty"` // why the last attempt failed
}

// WebhookDeliveryList is GET /v1/webhooks/{id}/deliveries, newest first.
type WebhookDeliveryList struct {
	Deliveries []WebhookDelivery `json:"deliveries"`
	Data       []WebhookDelivery `json:"data"`
	Cursor     *string           `json:"cursor"`
	HasMore    bool              `json:"has_more"`
}

// WebhookTest is what came of POST /v1/webhooks/{id}/test.
type WebhookTest struct {
	DeliveryID   string  `json:"delivery_id"`
	Status       string  `json:"status"`        // success | failed
	ResponseCode *int64  `json:"response_code"` // null where the receiver did not answer
	DurationMS   float64 `json:"duration_ms"`
	Error        string  `json:"error,omitempty"`
}
