package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/audit"
	"github.com/scailabs/scaivault/server/secrets"
)

type auditHandlers struct{ service *audit.Service }

func auditRoutes(h auditHandlers) []route {
	row := func(pattern, id, summary string, e endpoint) route {
		return route{method: http.MethodGet, pattern: "/v1/audit/" + pattern, id: id, summary: summary,
			group: groupAudit, scope: "audit:read", rate: rateAuditQuery, action: audit.ActionQuery, endpoint: e}
	}
	return []route{
		row("logs", "listAuditLogs", "List audit entries, newest first", handle(h.logs)),
		row("secrets/"+secretWildcard, "auditSecret", "Show what happened to a secret", handle(h.secret)),
		row("consumers/"+secretWildcard, "auditConsumers", "Show who reads a secret, and whether since its newest version", handle(h.consumers)),
		row("identities/{id}", "auditIdentity", "Show what an identity did", handle(h.identity)),
		row("summary", "auditSummary", "Count what happened", handle(h.summary)),
		row("verify", "verifyAudit", "Recompute the chains of the trail", handle(h.verify)),
	}
}

type auditLogsInput struct {
	From         time.Time `query:"from" description:"RFC 3339, or a date"`
	To           time.Time `query:"to" description:"RFC 3339, or a date"`
	Action       []string  `query:"action" description:"one, or several with commas between"`
	IdentityID   string    `query:"identity_id"`
	IdentityType string    `query:"identity_type"`
	PathPrefix   string    `query:"path_prefix"`
	Success      *bool     `query:"success"`
	SourceIP     string    `query:"source_ip"`
	RequestID    string    `query:"request_id"`
	Limit        int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor       string    `query:"cursor"`
}

func (h auditHandlers) logs(ctx context.Context, c *call, in auditLogsInput) (vaultapi.AuditList, error) {
	return h.service.Logs(ctx, c.who, audit.Query{
		From: in.From, To: in.To, Actions: in.Action, IdentityID: in.IdentityID, IdentityType: in.IdentityType,
		PathPrefix: in.PathPrefix, Success: in.Success, SourceIP: in.SourceIP, RequestID: in.RequestID, Limit: in.Limit, Cursor: in.Cursor,
	})
}

type auditSecretInput struct {
	Path         secrets.Path `path:"path"`
	From         time.Time    `query:"from" description:"RFC 3339, or a date"`
	To           time.Time    `query:"to" description:"RFC 3339, or a date"`
	Action       []string     `query:"action" description:"one, or several with commas between"`
	IdentityID   string       `query:"identity_id"`
	IdentityType string       `query:"identity_type"`
	Success      *bool        `query:"success"`
	SourceIP     string       `query:"source_ip"`
	RequestID    string       `query:"request_id"`
	Limit        int          `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor       string       `query:"cursor"`
}

func (h auditHandlers) secret(ctx context.Context, c *call, in auditSecretInput) (vaultapi.SecretTrail, error) {
	return h.service.SecretTrail(ctx, c.who, in.Path.String(), audit.Query{
		From: in.From, To: in.To, Actions: in.Action, IdentityID: in.IdentityID, IdentityType: in.IdentityType,
		Success: in.Success, SourceIP: in.SourceIP, RequestID: in.RequestID, Limit: in.Limit, Cursor: in.Cursor,
	})
}

type auditConsumersInput struct {
	Path secrets.Path `path:"path"`
}

func (h auditHandlers) consumers(ctx context.Context, c *call, in auditConsumersInput) (vaultapi.SecretConsumers, error) {
	return h.service.Consumers(ctx, c.who, in.Path.String())
}

type auditIdentityInput struct {
	ID         string    `path:"id" description:"such as user:alice@acme.example"`
	From       time.Time `query:"from" description:"RFC 3339, or a date"`
	To         time.Time `query:"to" description:"RFC 3339, or a date"`
	Action     []string  `query:"action" description:"one, or several with commas between"`
	PathPrefix string    `query:"path_prefix"`
	Success    *bool     `query:"success"`
	SourceIP   string    `query:"source_ip"`
	RequestID  string    `query:"request_id"`
	Limit      int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor     string    `query:"cursor"`
}

func (h auditHandlers) identity(ctx context.Context, c *call, in auditIdentityInput) (vaultapi.IdentityTrail, error) {
	return h.service.IdentityTrail(ctx, c.who, in.ID, audit.Query{
		From: in.From, To: in.To, Actions: in.Action, PathPrefix: in.PathPrefix, Success: in.Success,
		SourceIP: in.SourceIP, RequestID: in.RequestID, Limit: in.Limit, Cursor: in.Cursor,
	})
}

type auditSummaryInput struct {
	From time.Time `query:"from" description:"RFC 3339, or a date; default: a day before the end"`
	To   time.Time `query:"to" description:"RFC 3339, or a date; default: now"`
}

func (h auditHandlers) summary(ctx context.Context, c *call, in auditSummaryInput) (vaultapi.AuditSummary, error) {
	return h.service.Summary(ctx, c.who, in.From, in.To)
}

// verifyTime is how long the check of a long trail may take.
const verifyTime = 10 * time.Minute

func (h auditHandlers) verify(ctx context.Context, c *call, _ noInput) (vaultapi.AuditVerification, error) {
	c.extend(verifyTime)
	return h.service.Verify(ctx, c.who)
}
