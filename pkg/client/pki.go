package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// PKI are the calls under /v1/pki (contract section 8). The id of an authority may be its name; a role is named by its
// name. What makes a certificate is never repeated: each call makes another one.
type PKI struct{ c *Client }

const (
	pkiAuthorities = "/pki/ca"
	pkiRoles       = "/pki/roles"
)

// Authorities returns one page of authorities, by name.
func (p *PKI) Authorities(ctx context.Context, limit int, cursor string) (*vaultapi.AuthorityList, error) {
	return pkiPage[vaultapi.AuthorityList](ctx, p.c, pkiAuthorities, limit, cursor)
}

// pkiPage asks for one page of a collection that has no filters.
func pkiPage[T any](ctx context.Context, c *Client, path string, limit int, cursor string) (*T, error) {
	q := query{}
	q.page(limit, cursor)
	return on[T](ctx, c, request{method: http.MethodGet, path: path, query: url.Values(q), repeat: true})
}

// CreateAuthority makes a root, or an intermediate below an authority of the vault.
func (p *PKI) CreateAuthority(ctx context.Context, w vaultapi.AuthorityWrite) (*vaultapi.Authority, error) {
	return on[vaultapi.Authority](ctx, p.c, request{method: http.MethodPost, path: pkiAuthorities, body: w})
}

// Authority returns an authority.
func (p *PKI) Authority(ctx context.Context, id string) (*vaultapi.Authority, error) {
	return onID[vaultapi.Authority](ctx, p.c, pkiAuthorities, id, "", request{method: http.MethodGet, repeat: true})
}

// AuthorityCertificate returns an authority's certificate and those above it.
func (p *PKI) AuthorityCertificate(ctx context.Context, id string) (*vaultapi.AuthorityCertificate, error) {
	return onID[vaultapi.AuthorityCertificate](ctx, p.c, pkiAuthorities, id, "/certificate", request{method: http.MethodGet, repeat: true})
}

// RevokeAuthority revokes an authority with everything below it.
func (p *PKI) RevokeAuthority(ctx context.Context, id string, w vaultapi.AuthorityRevoke) (*vaultapi.Authority, error) {
	return onID[vaultapi.Authority](ctx, p.c, pkiAuthorities, id, "/revoke", request{method: http.MethodPost, body: w, repeat: true})
}

// Roles returns one page of roles, by name.
func (p *PKI) Roles(ctx context.Context, limit int, cursor string) (*vaultapi.PKIRoleList, error) {
	return pkiPage[vaultapi.PKIRoleList](ctx, p.c, pkiRoles, limit, cursor)
}

// CreateRole makes a role.
func (p *PKI) CreateRole(ctx context.Context, w vaultapi.PKIRoleWrite) (*vaultapi.PKIRole, error) {
	return on[vaultapi.PKIRole](ctx, p.c, request{method: http.MethodPost, path: pkiRoles, body: w})
}

// Role returns a role.
func (p *PKI) Role(ctx context.Context, name string) (*vaultapi.PKIRole, error) {
	return onID[vaultapi.PKIRole](ctx, p.c, pkiRoles, name, "", request{method: http.MethodGet, repeat: true})
}

// PatchRole changes what is given of a role.
func (p *PKI) PatchRole(ctx context.Context, name string, w vaultapi.PKIRolePatch) (*vaultapi.PKIRole, error) {
	return onID[vaultapi.PKIRole](ctx, p.c, pkiRoles, name, "", request{method: http.MethodPatch, body: w, repeat: true})
}

// DeleteRole removes a role; what was issued by it stays.
func (p *PKI) DeleteRole(ctx context.Context, name string) error {
	return sendID(ctx, p.c, pkiRoles, name, "", request{method: http.MethodDelete})
}
