package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/policies"
)

type policyHandlers struct{ service *policies.Service }

func policyRoutes(h policyHandlers) []route {
	const (
		all      = "/v1/policies"
		one      = "/v1/policies/{id}"
		bindings = "/v1/policies/{id}/bindings"
		reads    = policies.ScopeRead
		writes   = policies.ScopeWrite
	)
	return []route{
		{method: http.MethodGet, pattern: all, id: "listPolicies", summary: "List policies, or those that grant a permission on a path",
			group: groupPolicies, scope: reads, rate: ratePolicy, action: policies.ActionList, endpoint: handle(h.list)},
		{method: http.MethodPost, pattern: all, id: "createPolicy", summary: "Make a policy",
			group: groupPolicies, scope: writes, rate: ratePolicy, action: policies.ActionCreate, status: http.StatusCreated, endpoint: handle(h.create)},
		{method: http.MethodPost, pattern: all + "/test", id: "testPolicy", summary: "Explain whether an identity may do something",
			group: groupPolicies, scope: reads, rate: ratePolicyTest, action: actionNone, endpoint: handle(h.test)},
		{method: http.MethodGet, pattern: one, id: "readPolicy", summary: "Read a policy with its bindings",
			group: groupPolicies, scope: reads, rate: ratePolicy, action: policies.ActionRead, endpoint: handle(h.read)},
		{method: http.MethodPut, pattern: one, id: "replacePolicy", summary: "Replace a policy, but not its bindings",
			group: groupPolicies, scope: writes, rate: ratePolicy, action: policies.ActionUpdate, endpoint: handle(h.replace)},
		{method: http.MethodPatch, pattern: one, id: "patchPolicy", summary: "Change the given fields of a policy",
			group: groupPolicies, scope: writes, rate: ratePolicy, action: policies.ActionUpdate, endpoint: handle(h.patch)},
		{method: http.MethodDelete, pattern: one, id: "deletePolicy", summary: "Delete a policy",
			group: groupPolicies, scope: writes, rate: ratePolicy, action: policies.ActionDelete, status: http.StatusNoContent, endpoint: handle(h.delete)},
		{method: http.MethodGet, pattern: bindings, id: "listBindings", summary: "List who holds a policy",
			group: groupPolicies, scope: reads, rate: ratePolicy, action: policies.ActionBindingList, endpoint: handle(h.bindings)},
		{method: http.MethodPost, pattern: bindings, id: "bindPolicy", summary: "Give a policy to an identity",
			group: groupPolicies, scope: writes, rate: ratePolicy, action: policies.ActionBind, status: http.StatusCreated, endpoint: handle(h.bind)},
		{method: http.MethodDelete, pattern: bindings + "/{binding_id}", id: "unbindPolicy", summary: "Take a policy from an identity",
			group: groupPolicies, scope: writes, rate: ratePolicy, action: policies.ActionUnbind, status: http.StatusNoContent, endpoint: handle(h.unbind)},
	}
}

type policyListInput struct {
	Scope           string `query:"scope" enum:"tenant,partner"`
	Owner           string `query:"owner"`
	Path            string `query:"path" description:"[class:]path; with permission: only policies that grant it, each with the bindings that do"`
	Permission      string `query:"permission"`
	IncludeInactive bool   `query:"include_inactive"`
	Limit           int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor          string `query:"cursor"`
}

func (h policyHandlers) list(ctx context.Context, c *call, in policyListInput) (vaultapi.PolicyList, error) {
	return h.service.List(ctx, c.who, policies.Filter{
		Scope: in.Scope, Owner: in.Owner, Path: in.Path, Permission: in.Permission,
		IncludeInactive: in.IncludeInactive, Limit: in.Limit, Cursor: in.Cursor,
	})
}

type policyInput struct {
	ID string `path:"id" description:"id or name"`
}

func (h policyHandlers) read(ctx context.Context, c *call, in policyInput) (vaultapi.Policy, error) {
	return h.service.Get(ctx, c.who, in.ID)
}

type policyCreateInput struct{ Body vaultapi.PolicyWrite }

func (h policyHandlers) create(ctx context.Context, c *call, in policyCreateInput) (vaultapi.Policy, error) {
	return h.service.Create(ctx, c.who, in.Body)
}

type policyReplaceInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.PolicyWrite
}

func (h policyHandlers) replace(ctx context.Context, c *call, in policyReplaceInput) (vaultapi.Policy, error) {
	return h.service.Replace(ctx, c.who, in.ID, in.Body)
}

type policyPatchInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.PolicyPatch
}

func (h policyHandlers) patch(ctx context.Context, c *call, in policyPatchInput) (vaultapi.Policy, error) {
	return h.service.Patch(ctx, c.who, in.ID, in.Body)
}

type policyDeleteInput struct {
	ID    string `path:"id" description:"id or name"`
	Force bool   `query:"force" description:"with its bindings"`
	Owner string `query:"owner" description:"who asks, where the policy is owned"`
}

func (h policyHandlers) delete(ctx context.Context, c *call, in policyDeleteInput) (nothing, error) {
	return nothing{}, h.service.Delete(ctx, c.who, in.ID, policies.DeleteOptions{Force: in.Force, Owner: in.Owner})
}

type policyTestInput struct{ Body vaultapi.PolicyTest }

func (h policyHandlers) test(ctx context.Context, c *call, in policyTestInput) (vaultapi.PolicyTestResult, error) {
	return h.service.Test(ctx, c.who, in.Body)
}

func (h policyHandlers) bindings(ctx context.Context, c *call, in policyInput) (vaultapi.BindingList, error) {
	return h.service.Bindings(ctx, c.who, in.ID)
}

type bindInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.BindingWrite
}

func (h policyHandlers) bind(ctx context.Context, c *call, in bindInput) (vaultapi.Binding, error) {
	return h.service.Bind(ctx, c.who, in.ID, in.Body)
}

type unbindInput struct {
	ID        string `path:"id" description:"id or name"`
	BindingID string `path:"binding_id"`
	Owner     string `query:"owner" description:"who asks, where the binding is owned"`
}

func (h policyHandlers) unbind(ctx context.Context, c *call, in unbindInput) (nothing, error) {
	return nothing{}, h.service.Unbind(ctx, c.who, in.ID, in.BindingID, in.Owner)
}
