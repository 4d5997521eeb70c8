package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Audit are the calls under /v1/audit; all need scope audit:read.
type Audit struct{ c *Client }

// AuditFilter selects entries; zero fields select all.
type AuditFilter struct {
	From, To     time.Time
	Actions      []string
	IdentityID   string
	IdentityType string
	PathPrefix   string
	Success      *bool
	SourceIP     string
	RequestID    string
	Limit        int // of one page: default 100, at most 1000
	Cursor       string
}

func (f AuditFilter) query() url.Values {
	q := query{}
	q.time("from", f.From)
	q.time("to", f.To)
	q.text("action", strings.Join(f.Actions, ","))
	q.text("identity_id", f.IdentityID)
	q.text("identity_type", f.IdentityType)
	q.text("path_prefix", f.PathPrefix)
	q.text("source_ip", f.SourceIP)
	q.text("request_id", f.RequestID)
	if f.Success != nil {
		q.text("success", strconv.FormatBool(*f.Success))
	}
	q.page(f.Limit, f.Cursor)
	return url.Values(q)
}

// Logs returns entries, newest first.
func (a *Audit) Logs(ctx context.Context, f AuditFilter) (*vaultapi.AuditList, error) {
	return on[vaultapi.AuditList](ctx, a.c, request{method: http.MethodGet, path: "/audit/logs", query: f.query(), repeat: true})
}

// SecretTrail returns what happened to one secret.
func (a *Audit) SecretTrail(ctx context.Context, path string, f AuditFilter) (*vaultapi.SecretTrail, error) {
	escaped, err := escapedPath(path)
	if err != nil {
		return nil, err
	}
	r := request{method: http.MethodGet, path: "/audit/secrets/" + escaped, query: f.query(), repeat: true}
	return on[vaultapi.SecretTrail](ctx, a.c, r)
}

// Consumers returns who read a secret in the last 90 days, and whether since its newest version was made.
func (a *Audit) Consumers(ctx context.Context, path string) (*vaultapi.SecretConsumers, error) {
	escaped, err := escapedPath(path)
	if err != nil {
		return nil, err
	}
	return on[vaultapi.SecretConsumers](ctx, a.c, request{method: http.MethodGet, path: "/audit/consumers/" + escaped, repeat: true})
}

// IdentityTrail returns what one identity did.
func (a *Audit) IdentityTrail(ctx context.Context, identityID string, f AuditFilter) (*vaultapi.IdentityTrail, error) {
	r := request{method: http.MethodGet, query: f.query(), repeat: true}
	return onID[vaultapi.IdentityTrail](ctx, a.c, "/audit/identities", identityID, "", r)
}

// Summary counts what happened between two instants.
func (a *Audit) Summary(ctx context.Context, from, to time.Time) (*vaultapi.AuditSummary, error) {
	q := AuditFilter{From: from, To: to}.query()
	return on[vaultapi.AuditSummary](ctx, a.c, request{method: http.MethodGet, path: "/audit/summary", query: q, repeat: true})
}

// Verify checks the chains of the trail. It may take a while on a long one.
func (a *Audit) Verify(ctx context.Context) (*vaultapi.AuditVerification, error) {
	r := request{method: http.MethodGet, path: "/audit/verify", wait: 10 * time.Minute}
	return on[vaultapi.AuditVerification](ctx, a.c, r)
}
