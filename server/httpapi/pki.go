package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/pki"
)

type pkiHandlers struct{ service *pki.Service }

func pkiRoutes(h pkiHandlers) []route {
	const (
		all  = "/v1/pki/ca"
		one  = "/v1/pki/ca/{id}"
		list = "/v1/pki/roles"
		role = "/v1/pki/roles/{name}"

		admin = pki.ScopeAdmin
		issue = pki.ScopeIssue
	)
	return append([]route{
		{method: http.MethodGet, pattern: all, id: "listAuthorities", summary: "List certificate authorities",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionAuthorityList, endpoint: handle(h.authorities)},
		{method: http.MethodPost, pattern: all, id: "createAuthority", summary: "Make a certificate authority: a root, or an intermediate below another",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionAuthorityCreate, status: http.StatusCreated, endpoint: handle(h.createAuthority)},
		{method: http.MethodGet, pattern: one, id: "readAuthority", summary: "Read a certificate authority",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionAuthorityRead, endpoint: handle(h.authority)},
		{method: http.MethodGet, pattern: one + "/certificate", id: "readAuthorityCertificate", summary: "Read an authority's certificate and those above it",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionAuthorityRead,
			endpoint: handle(h.authorityCertificate).withVariant(appendAuthorityPEM, mediaPEM, mediaText)},
		{method: http.MethodPost, pattern: one + "/revoke", id: "revokeAuthority", summary: "Revoke a certificate authority and everything below it",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionAuthorityRevoke, endpoint: handle(h.revokeAuthority)},
		{method: http.MethodGet, pattern: list, id: "listRoles", summary: "List roles: what may be issued",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionRoleList, endpoint: handle(h.roles)},
		{method: http.MethodPost, pattern: list, id: "createRole", summary: "Make a role",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionRoleCreate, status: http.StatusCreated, endpoint: handle(h.createRole)},
		{method: http.MethodGet, pattern: role, id: "readRole", summary: "Read a role",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionRoleRead, endpoint: handle(h.role)},
		{method: http.MethodPatch, pattern: role, id: "patchRole", summary: "Change the given fields of a role",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionRoleUpdate, endpoint: handle(h.patchRole)},
		{method: http.MethodDelete, pattern: role, id: "deleteRole", summary: "Delete a role; what was issued by it stays",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionRoleDelete, status: http.StatusNoContent, endpoint: handle(h.deleteRole)},
	}, slices.Concat(certificateRoutes(h), slotRoutes(h), anchorRoutes(h), requestRoutes(h))...)
}

type pkiPageInput struct {
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor"`
}

func (h pkiHandlers) authorities(ctx context.Context, c *call, in pkiPageInput) (vaultapi.AuthorityList, error) {
	return h.service.Authorities(ctx, c.who, in.Limit, in.Cursor)
}

type authorityInput struct {
	ID string `path:"id" description:"id or name"`
}

func (h pkiHandlers) authority(ctx context.Context, c *call, in authorityInput) (vaultapi.Authority, error) {
	return h.service.Authority(ctx, c.who, in.ID)
}

func (h pkiHandlers) authorityCertificate(ctx context.Context, c *call, in authorityInput) (vaultapi.AuthorityCertificate, error) {
	return h.service.AuthorityCertificate(ctx, c.who, in.ID)
}

// appendAuthorityPEM is the authority's own certificate (contract OC-35).
func appendAuthorityPEM(b []byte, a vaultapi.AuthorityCertificate) []byte {
	return append(b, a.CertificatePEM...)
}

type authorityCreateInput struct{ Body vaultapi.AuthorityWrite }

func (h pkiHandlers) createAuthority(ctx context.Context, c *call, in authorityCreateInput) (vaultapi.Authority, error) {
	return h.service.CreateAuthority(ctx, c.who, in.Body)
}

type authorityRevokeInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.AuthorityRevoke
}

func (h pkiHandlers) revokeAuthority(ctx context.Context, c *call, in authorityRevokeInput) (vaultapi.Authority, error) {
	return h.service.RevokeAuthority(ctx, c.who, in.ID, in.Body)
}

func (h pkiHandlers) roles(ctx context.Context, c *call, in pkiPageInput) (vaultapi.PKIRoleList, error) {
	return h.service.Roles(ctx, c.who, in.Limit, in.Cursor)
}

type roleInput struct {
	Name string `path:"name"`
}

func (h pkiHandlers) role(ctx context.Context, c *call, in roleInput) (vaultapi.PKIRole, error) {
	return h.service.Role(ctx, c.who, in.Name)
}

type roleCreateInput struct{ Body vaultapi.PKIRoleWrite }

func (h pkiHandlers) createRole(ctx context.Context, c *call, in roleCreateInput) (vaultapi.PKIRole, error) {
	return h.service.CreateRole(ctx, c.who, in.Body)
}

type rolePatchInput struct {
	Name string `path:"name"`
	Body vaultapi.PKIRolePatch
}

func (h pkiHandlers) patchRole(ctx context.Context, c *call, in rolePatchInput) (vaultapi.PKIRole, error) {
	return h.service.PatchRole(ctx, c.who, in.Name, in.Body)
}

func (h pkiHandlers) deleteRole(ctx context.Context, c *call, in roleInput) (nothing, error) {
	return nothing{}, h.service.DeleteRole(ctx, c.who, in.Name)
}
