package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Policies are the calls under /v1/policies. An id may be the policy's name.
type Policies struct{ c *Client }

// PolicyFilter selects policies. With Path and Permission only those that grant it, each with its bindings.
type PolicyFilter struct {
	Scope           string // tenant | partner
	Owner           string // k8s:<cluster>/<kind>/<namespace>/<name>/<uid>
	Path            string // [class:]path
	Permission      string
	IncludeInactive bool
	Limit           int
	Cursor          string
}

// PolicyDeleteOptions say how a policy goes.
type PolicyDeleteOptions struct {
	Force bool   // with its bindings
	Owner string // who asks, where the policy is owned
}

// Create makes a policy.
func (p *Policies) Create(ctx context.Context, w vaultapi.PolicyWrite) (*vaultapi.Policy, error) {
	return on[vaultapi.Policy](ctx, p.c, request{method: http.MethodPost, path: "/policies", body: w})
}

// Get returns a policy with its bindings.
func (p *Policies) Get(ctx context.Context, id string) (*vaultapi.Policy, error) {
	return onID[vaultapi.Policy](ctx, p.c, "/policies", id, "", request{method: http.MethodGet, repeat: true})
}

// List returns one page of policies.
func (p *Policies) List(ctx context.Context, f PolicyFilter) (*vaultapi.PolicyList, error) {
	q := query{}
	q.text("scope", f.Scope)
	q.text("owner", f.Owner)
	q.text("path", f.Path)
	q.text("permission", f.Permission)
	q.flag("include_inactive", f.IncludeInactive)
	q.page(f.Limit, f.Cursor)
	return on[vaultapi.PolicyList](ctx, p.c, request{method: http.MethodGet, path: "/policies", query: url.Values(q), repeat: true})
}

// Replace replaces rules and description and keeps bindings.
func (p *Policies) Replace(ctx context.Context, id string, w vaultapi.PolicyWrite) (*vaultapi.Policy, error) {
	return onID[vaultapi.Policy](ctx, p.c, "/policies", id, "", request{method: http.MethodPut, body: w, repeat: true})
}

// Patch changes the fields given.
func (p *Policies) Patch(ctx context.Context, id string, w vaultapi.PolicyPatch) (*vaultapi.Policy, error) {
	return onID[vaultapi.Policy](ctx, p.c, "/policies", id, "", request{method: http.MethodPatch, body: w, repeat: true})
}

// Delete removes a policy; without Force it must have no bindings.
func (p *Policies) Delete(ctx context.Context, id string, o PolicyDeleteOptions) error {
	q := query{}
	q.flag("force", o.Force)
	q.text("owner", o.Owner)
	return sendID(ctx, p.c, "/policies", id, "", request{method: http.MethodDelete, query: url.Values(q)})
}

// Bindings lists who holds a policy.
func (p *Policies) Bindings(ctx context.Context, id string) (*vaultapi.BindingList, error) {
	return onID[vaultapi.BindingList](ctx, p.c, "/policies", id, "/bindings", request{method: http.MethodGet, repeat: true})
}

// Bind gives a policy to an identity.
func (p *Policies) Bind(ctx context.Context, id string, w vaultapi.BindingWrite) (*vaultapi.Binding, error) {
	return onID[vaultapi.Binding](ctx, p.c, "/policies", id, "/bindings", request{method: http.MethodPost, body: w})
}

// Unbind takes a policy from an identity. owner says who asks, where the binding is owned.
func (p *Policies) Unbind(ctx context.Context, id, bindingID, owner string) error {
	binding, err := escapedID(bindingID)
	if err != nil {
		return err
	}
	q := query{}
	q.text("owner", owner)
	r := request{method: http.MethodDelete, query: url.Values(q)}
	return sendID(ctx, p.c, "/policies", id, "/bindings/"+binding, r)
}

// Test says whether an identity may do something, and why; it leaves no audit entry.
func (p *Policies) Test(ctx context.Context, t vaultapi.PolicyTest) (*vaultapi.PolicyTestResult, error) {
	return on[vaultapi.PolicyTestResult](ctx, p.c, request{method: http.MethodPost, path: "/policies/test", body: t, repeat: true})
}
