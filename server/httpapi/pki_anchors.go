package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/pki"
)

// anchorRoutes are about certificates of others: which authorities are trusted, and whether a certificate is good.
func anchorRoutes(h pkiHandlers) []route {
	const (
		all = "/v1/pki/trust-anchors"
		one = "/v1/pki/trust-anchors/{id}"

		admin = pki.ScopeAdmin
		issue = pki.ScopeIssue
	)
	return []route{
		{method: http.MethodGet, pattern: all, id: "listTrustAnchors", summary: "List the authorities outside of the vault that are trusted",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionAnchorList, endpoint: handle(h.anchors)},
		{method: http.MethodPost, pattern: all, id: "createTrustAnchor", summary: "Trust the certificate of an authority outside of the vault",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionAnchorCreate, status: http.StatusCreated, endpoint: handle(h.createAnchor)},
		{method: http.MethodGet, pattern: one, id: "readTrustAnchor", summary: "Read a trust anchor",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionAnchorRead, endpoint: handle(h.anchor)},
		{method: http.MethodPatch, pattern: one, id: "patchTrustAnchor", summary: "Rename or describe a trust anchor",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionAnchorUpdate, endpoint: handle(h.patchAnchor)},
		{method: http.MethodDelete, pattern: one, id: "deleteTrustAnchor", summary: "End the trust in an authority outside of the vault",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionAnchorDelete, status: http.StatusNoContent, endpoint: handle(h.deleteAnchor)},
		{method: http.MethodPost, pattern: "/v1/pki/certificates/validate", id: "validateCertificate", summary: "Judge a certificate: dates, chain, names, revocation",
			group: groupPKI, scope: scopeAny, rate: ratePKI, action: pki.ActionValidate, endpoint: handle(h.validate).withRawBreaks()},
	}
}

func (h pkiHandlers) anchors(ctx context.Context, c *call, in pkiPageInput) (vaultapi.TrustAnchorList, error) {
	return h.service.Anchors(ctx, c.who, in.Limit, in.Cursor)
}

type anchorCreateInput struct{ Body vaultapi.TrustAnchorWrite }

func (h pkiHandlers) createAnchor(ctx context.Context, c *call, in anchorCreateInput) (vaultapi.TrustAnchor, error) {
	return h.service.CreateAnchor(ctx, c.who, in.Body)
}

type anchorInput struct {
	ID string `path:"id" description:"id or name"`
}

func (h pkiHandlers) anchor(ctx context.Context, c *call, in anchorInput) (vaultapi.TrustAnchor, error) {
	return h.service.Anchor(ctx, c.who, in.ID)
}

type anchorPatchInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.TrustAnchorPatch
}

func (h pkiHandlers) patchAnchor(ctx context.Context, c *call, in anchorPatchInput) (vaultapi.TrustAnchor, error) {
	return h.service.PatchAnchor(ctx, c.who, in.ID, in.Body)
}

func (h pkiHandlers) deleteAnchor(ctx context.Context, c *call, in anchorInput) (nothing, error) {
	return nothing{}, h.service.DeleteAnchor(ctx, c.who, in.ID)
}

type validateInput struct{ Body vaultapi.CertificateValidate }

func (h pkiHandlers) validate(ctx context.Context, c *call, in validateInput) (vaultapi.CertificateValidation, error) {
	return h.service.Validate(ctx, c.who, in.Body)
}
