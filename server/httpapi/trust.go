package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/authn"
)

type trustHandlers struct{ service *authn.Service }

func trustRoutes(h trustHandlers) []route {
	const (
		all = "/v1/auth/trust-rules"
		one = "/v1/auth/trust-rules/{id}"
	)
	return []route{
		{method: http.MethodGet, pattern: all, id: "listTrustRules", summary: "List what the workloads of clusters become",
			group: groupAuth, scope: authn.ScopeTrust, rate: rateIdentity, action: authn.ActionTrustList, endpoint: handle(h.list)},
		{method: http.MethodPost, pattern: all, id: "createTrustRule", summary: "Let workloads of a cluster exchange their tokens",
			group: groupAuth, scope: authn.ScopeTrust, rate: rateIdentity, action: authn.ActionTrustCreate, status: http.StatusCreated, endpoint: handle(h.create)},
		{method: http.MethodGet, pattern: one, id: "readTrustRule", summary: "Read a trust rule",
			group: groupAuth, scope: authn.ScopeTrust, rate: rateIdentity, action: authn.ActionTrustRead, endpoint: handle(h.read)},
		{method: http.MethodPut, pattern: one, id: "replaceTrustRule", summary: "Replace a trust rule",
			group: groupAuth, scope: authn.ScopeTrust, rate: rateIdentity, action: authn.ActionTrustUpdate, endpoint: handle(h.replace)},
		{method: http.MethodPatch, pattern: one, id: "patchTrustRule", summary: "Change the given fields of a trust rule",
			group: groupAuth, scope: authn.ScopeTrust, rate: rateIdentity, action: authn.ActionTrustUpdate, endpoint: handle(h.patch)},
		{method: http.MethodDelete, pattern: one, id: "deleteTrustRule", summary: "Delete a trust rule; tokens it gave live on until they expire",
			group: groupAuth, scope: authn.ScopeTrust, rate: rateIdentity, action: authn.ActionTrustDelete, status: http.StatusNoContent, endpoint: handle(h.delete)},
	}
}

type trustListInput struct {
	Cluster string `query:"cluster" description:"only rules of this cluster"`
	Limit   int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor  string `query:"cursor"`
}

func (h trustHandlers) list(ctx context.Context, c *call, in trustListInput) (vaultapi.TrustRuleList, error) {
	return h.service.TrustRules(ctx, c.who, authn.TrustFilter{Cluster: in.Cluster, Limit: in.Limit, Cursor: in.Cursor})
}

type trustInput struct {
	ID string `path:"id" description:"id or name"`
}

func (h trustHandlers) read(ctx context.Context, c *call, in trustInput) (vaultapi.TrustRule, error) {
	return h.service.TrustRule(ctx, c.who, in.ID)
}

type trustCreateInput struct{ Body vaultapi.TrustRuleWrite }

func (h trustHandlers) create(ctx context.Context, c *call, in trustCreateInput) (vaultapi.TrustRule, error) {
	return h.service.CreateTrustRule(ctx, c.who, in.Body)
}

type trustReplaceInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.TrustRuleWrite
}

func (h trustHandlers) replace(ctx context.Context, c *call, in trustReplaceInput) (vaultapi.TrustRule, error) {
	return h.service.ReplaceTrustRule(ctx, c.who, in.ID, in.Body)
}

type trustPatchInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.TrustRulePatch
}

func (h trustHandlers) patch(ctx context.Context, c *call, in trustPatchInput) (vaultapi.TrustRule, error) {
	return h.service.PatchTrustRule(ctx, c.who, in.ID, in.Body)
}

func (h trustHandlers) delete(ctx context.Context, c *call, in trustInput) (nothing, error) {
	return nothing{}, h.service.DeleteTrustRule(ctx, c.who, in.ID)
}
