package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// TrustRules are the calls under /v1/auth/trust-rules (contract section 25). An id may be the rule's name.
type TrustRules struct{ c *Client }

// TrustRuleFilter selects trust rules.
type TrustRuleFilter struct {
	Cluster string
	Limit   int
	Cursor  string
}

const trustRules = "/auth/trust-rules"

// Create makes a rule.
func (t *TrustRules) Create(ctx context.Context, w vaultapi.TrustRuleWrite) (*vaultapi.TrustRule, error) {
	return on[vaultapi.TrustRule](ctx, t.c, request{method: http.MethodPost, path: trustRules, body: w})
}

// Get returns a rule.
func (t *TrustRules) Get(ctx context.Context, id string) (*vaultapi.TrustRule, error) {
	return onID[vaultapi.TrustRule](ctx, t.c, trustRules, id, "", request{method: http.MethodGet, repeat: true})
}

// List returns one page of rules, by name.
func (t *TrustRules) List(ctx context.Context, f TrustRuleFilter) (*vaultapi.TrustRuleList, error) {
	q := query{}
	q.text("cluster", f.Cluster)
	q.page(f.Limit, f.Cursor)
	r := request{method: http.MethodGet, path: trustRules, query: url.Values(q), repeat: true}
	return on[vaultapi.TrustRuleList](ctx, t.c, r)
}

// Replace replaces all of a rule but its id.
func (t *TrustRules) Replace(ctx context.Context, id string, w vaultapi.TrustRuleWrite) (*vaultapi.TrustRule, error) {
	return onID[vaultapi.TrustRule](ctx, t.c, trustRules, id, "", request{method: http.MethodPut, body: w, repeat: true})
}

// Patch changes the fields given.
func (t *TrustRules) Patch(ctx context.Context, id string, w vaultapi.TrustRulePatch) (*vaultapi.TrustRule, error) {
	return onID[vaultapi.TrustRule](ctx, t.c, trustRules, id, "", request{method: http.MethodPatch, body: w, repeat: true})
}

// Delete removes a rule; tokens it gave live on until they expire.
func (t *TrustRules) Delete(ctx context.Context, id string) error {
	return sendID(ctx, t.c, trustRules, id, "", request{method: http.MethodDelete})
}
