package client

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const pkiAnchors = "/pki/trust-anchors"

// TrustAnchors returns one page of trust anchors, by name.
func (p *PKI) TrustAnchors(ctx context.Context, limit int, cursor string) (*vaultapi.TrustAnchorList, error) {
	return pkiPage[vaultapi.TrustAnchorList](ctx, p.c, pkiAnchors, limit, cursor)
}

// CreateTrustAnchor has validation trust an authority outside of the vault.
func (p *PKI) CreateTrustAnchor(ctx context.Context, w vaultapi.TrustAnchorWrite) (*vaultapi.TrustAnchor, error) {
	return on[vaultapi.TrustAnchor](ctx, p.c, request{method: http.MethodPost, path: pkiAnchors, body: w})
}

// TrustAnchor returns a trust anchor by its id or its name.
func (p *PKI) TrustAnchor(ctx context.Context, id string) (*vaultapi.TrustAnchor, error) {
	return onID[vaultapi.TrustAnchor](ctx, p.c, pkiAnchors, id, "", request{method: http.MethodGet, repeat: true})
}

// PatchTrustAnchor changes what is given of a trust anchor.
func (p *PKI) PatchTrustAnchor(ctx context.Context, id string, w vaultapi.TrustAnchorPatch) (*vaultapi.TrustAnchor, error) {
	return onID[vaultapi.TrustAnchor](ctx, p.c, pkiAnchors, id, "", request{method: http.MethodPatch, body: w, repeat: true})
}

// DeleteTrustAnchor has validation trust an authority no longer.
func (p *PKI) DeleteTrustAnchor(ctx context.Context, id string) error {
	return sendID(ctx, p.c, pkiAnchors, id, "", request{method: http.MethodDelete})
}
