package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// SecretPolicies are the calls under /v1/secret-policies: recipes for values. An id may be the policy's name.
type SecretPolicies struct{ c *Client }

const secretPolicies = "/secret-policies"

// SecretPolicyFilter selects secret policies.
type SecretPolicyFilter struct {
	Active *bool // nil: all
	Limit  int
	Cursor string
}

// Create makes a policy.
func (p *SecretPolicies) Create(ctx context.Context, w vaultapi.SecretPolicyWrite) (*vaultapi.SecretPolicy, error) {
	return on[vaultapi.SecretPolicy](ctx, p.c, request{method: http.MethodPost, path: secretPolicies, body: w})
}

// Get returns a policy with all of its recipe, static values too.
func (p *SecretPolicies) Get(ctx context.Context, id string) (*vaultapi.SecretPolicy, error) {
	return onID[vaultapi.SecretPolicy](ctx, p.c, secretPolicies, id, "", request{method: http.MethodGet, repeat: true})
}

// List returns one page of policies, without static values.
func (p *SecretPolicies) List(ctx context.Context, f SecretPolicyFilter) (*vaultapi.SecretPolicyList, error) {
	q := query{}
	if f.Active != nil {
		q.text("active", strconv.FormatBool(*f.Active))
	}
	q.page(f.Limit, f.Cursor)
	return on[vaultapi.SecretPolicyList](ctx, p.c, request{method: http.MethodGet, path: secretPolicies, query: url.Values(q), repeat: true})
}

// Replace replaces all of a policy.
func (p *SecretPolicies) Replace(ctx context.Context, id string, w vaultapi.SecretPolicyWrite) (*vaultapi.SecretPolicy, error) {
	return onID[vaultapi.SecretPolicy](ctx, p.c, secretPolicies, id, "", request{method: http.MethodPut, body: w, repeat: true})
}

// Patch changes what is given.
func (p *SecretPolicies) Patch(ctx context.Context, id string, w vaultapi.SecretPolicyPatch) (*vaultapi.SecretPolicy, error) {
	return onID[vaultapi.SecretPolicy](ctx, p.c, secretPolicies, id, "", request{method: http.MethodPatch, body: w, repeat: true})
}

// Delete removes a policy. With force the secrets that were generated from it are detached; otherwise it must not be used.
func (p *SecretPolicies) Delete(ctx context.Context, id string, force bool) error {
	q := query{}
	q.flag("force", force)
	return sendID(ctx, p.c, secretPolicies, id, "", request{method: http.MethodDelete, query: url.Values(q)})
}

// Preview generates values and stores nothing.
func (p *SecretPolicies) Preview(ctx context.Context, id string) (*vaultapi.SecretPolicyPreview, error) {
	return onID[vaultapi.SecretPolicyPreview](ctx, p.c, secretPolicies, id, "/preview", request{method: http.MethodPost})
}
