package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/secretpolicies"
)

type secretPolicyHandlers struct{ service *secretpolicies.Service }

func secretPolicyRoutes(h secretPolicyHandlers) []route {
	const (
		all   = "/v1/secret-policies"
		one   = "/v1/secret-policies/{id}"
		admin = secretpolicies.ScopeAdmin
	)
	return []route{
		{method: http.MethodGet, pattern: all, id: "listSecretPolicies", summary: "List secret policies, without static values",
			group: groupPolicies, scope: admin, rate: ratePolicy, action: secretpolicies.ActionList, endpoint: handle(h.list)},
		{method: http.MethodPost, pattern: all, id: "createSecretPolicy", summary: "Make a secret policy: a recipe for values",
			group: groupPolicies, scope: admin, rate: ratePolicy, action: secretpolicies.ActionCreate, status: http.StatusCreated, endpoint: handle(h.create)},
		{method: http.MethodGet, pattern: one, id: "readSecretPolicy", summary: "Read a secret policy",
			group: groupPolicies, scope: admin, rate: ratePolicy, action: secretpolicies.ActionRead, endpoint: handle(h.read)},
		{method: http.MethodPut, pattern: one, id: "replaceSecretPolicy", summary: "Replace a secret policy",
			group: groupPolicies, scope: admin, rate: ratePolicy, action: secretpolicies.ActionUpdate, endpoint: handle(h.replace)},
		{method: http.MethodPatch, pattern: one, id: "patchSecretPolicy", summary: "Change the given fields of a secret policy",
			group: groupPolicies, scope: admin, rate: ratePolicy, action: secretpolicies.ActionUpdate, endpoint: handle(h.patch)},
		{method: http.MethodDelete, pattern: one, id: "deleteSecretPolicy", summary: "Delete a secret policy that is not used",
			group: groupPolicies, scope: admin, rate: ratePolicy, action: secretpolicies.ActionDelete, status: http.StatusNoContent, endpoint: handle(h.delete)},
		{method: http.MethodPost, pattern: one + "/preview", id: "previewSecretPolicy", summary: "Generate values by a secret policy and store nothing",
			group: groupPolicies, scope: admin, rate: ratePreview, action: secretpolicies.ActionPreview,
			endpoint: handle(h.preview).withEncoding(appendPreview)},
	}
}

type secretPolicyListInput struct {
	Active *bool  `query:"active" description:"only those that are active, or those that are not; default: all"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor"`
}

func (h secretPolicyHandlers) list(ctx context.Context, c *call, in secretPolicyListInput) (vaultapi.SecretPolicyList, error) {
	return h.service.List(ctx, c.who, secretpolicies.Filter{Active: in.Active, Limit: in.Limit, Cursor: in.Cursor})
}

type secretPolicyInput struct {
	ID string `path:"id" description:"id or name"`
}

func (h secretPolicyHandlers) read(ctx context.Context, c *call, in secretPolicyInput) (vaultapi.SecretPolicy, error) {
	return h.service.Get(ctx, c.who, in.ID)
}

func (h secretPolicyHandlers) preview(ctx context.Context, c *call, in secretPolicyInput) (vaultapi.SecretPolicyPreview, error) {
	return h.service.Preview(ctx, c.who, in.ID)
}

type secretPolicyCreateInput struct{ Body vaultapi.SecretPolicyWrite }

func (h secretPolicyHandlers) create(ctx context.Context, c *call, in secretPolicyCreateInput) (vaultapi.SecretPolicy, error) {
	return h.service.Create(ctx, c.who, in.Body)
}

type secretPolicyReplaceInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.SecretPolicyWrite
}

func (h secretPolicyHandlers) replace(ctx context.Context, c *call, in secretPolicyReplaceInput) (vaultapi.SecretPolicy, error) {
	return h.service.Replace(ctx, c.who, in.ID, in.Body)
}

type secretPolicyPatchInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.SecretPolicyPatch
}

func (h secretPolicyHandlers) patch(ctx context.Context, c *call, in secretPolicyPatchInput) (vaultapi.SecretPolicy, error) {
	return h.service.Patch(ctx, c.who, in.ID, in.Body)
}

type secretPolicyDeleteInput struct {
	ID    string `path:"id" description:"id or name"`
	Force bool   `query:"force" description:"detach the secrets that were generated from it"`
}

func (h secretPolicyHandlers) delete(ctx context.Context, c *call, in secretPolicyDeleteInput) (nothing, error) {
	return nothing{}, h.service.Delete(ctx, c.who, in.ID, in.Force)
}
