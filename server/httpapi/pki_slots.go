package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/pki"
)

// slotRoutes are how authorities get other keys, and how authorities outside sign them.
func slotRoutes(h pkiHandlers) []route {
	const (
		ca       = "/v1/pki/ca/{id}"
		slots    = ca + "/slots"
		slot     = ca + "/slots/{slot}"
		requests = "/v1/pki/ca-requests"
		request  = "/v1/pki/ca-requests/{id}"

		admin = pki.ScopeAdmin
		issue = pki.ScopeIssue
	)
	return []route{
		{method: http.MethodGet, pattern: ca + "/bundle", id: "readAuthorityBundle", summary: "Read the certificates of an authority that are to be trusted",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionBundle, endpoint: handle(h.bundle).withVariant(appendBundlePEM, mediaPEM, mediaText)},
		{method: http.MethodGet, pattern: slots, id: "listAuthoritySlots", summary: "List the slots of an authority: its keys and their certificates",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionSlotList, endpoint: handle(h.slots)},
		{method: http.MethodPost, pattern: slots, id: "prepareAuthoritySlot", summary: "Make the next key of an authority; it is published and signs nothing yet",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionSlotPrepare, status: http.StatusCreated, endpoint: handle(h.prepareSlot)},
		{method: http.MethodPost, pattern: slot + "/activate", id: "activateAuthoritySlot", summary: "Have a slot sign from now on",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionSlotActivate, endpoint: handle(h.activateSlot)},
		{method: http.MethodPost, pattern: slot + "/retire", id: "retireAuthoritySlot", summary: "End the trust in a slot that does not sign, and destroy its key",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionSlotRetire, endpoint: handle(h.retireSlot)},
		{method: http.MethodGet, pattern: requests, id: "listAuthorityRequests", summary: "List authorities that wait for a certificate from outside",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionCARequestList, endpoint: handle(h.authorityRequests)},
		{method: http.MethodPost, pattern: requests, id: "requestAuthority", summary: "Make the key of an authority that is signed outside, and the request for its certificate",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionCARequestCreate, status: http.StatusCreated, endpoint: handle(h.requestAuthority)},
		{method: http.MethodGet, pattern: request, id: "readAuthorityRequest", summary: "Read the request of an authority",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionCARequestRead, endpoint: handle(h.authorityRequest)},
		{method: http.MethodDelete, pattern: request, id: "deleteAuthorityRequest", summary: "Give the request of an authority up, and destroy its key",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionCARequestDelete, status: http.StatusNoContent, endpoint: handle(h.dropAuthorityRequest)},
		{method: http.MethodPost, pattern: request + "/certificate", id: "installAuthority", summary: "Take the certificate that was made of a request",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionCARequestInstall, status: http.StatusCreated, endpoint: handle(h.installAuthority)},
	}
}

func (h pkiHandlers) bundle(ctx context.Context, c *call, in authorityInput) (vaultapi.AuthorityBundle, error) {
	return h.service.Bundle(ctx, c.who, in.ID)
}

func appendBundlePEM(b []byte, a vaultapi.AuthorityBundle) []byte { return append(b, a.BundlePEM...) }

func (h pkiHandlers) slots(ctx context.Context, c *call, in authorityInput) (vaultapi.AuthoritySlotList, error) {
	return h.service.Slots(ctx, c.who, in.ID)
}

type slotPrepareInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.AuthoritySlotWrite
}

func (h pkiHandlers) prepareSlot(ctx context.Context, c *call, in slotPrepareInput) (vaultapi.AuthoritySlot, error) {
	return h.service.PrepareSlot(ctx, c.who, in.ID, in.Body)
}

type slotInput struct {
	ID   string `path:"id" description:"id or name"`
	Slot string `path:"slot"`
}

func (h pkiHandlers) activateSlot(ctx context.Context, c *call, in slotInput) (vaultapi.AuthoritySlot, error) {
	return h.service.ActivateSlot(ctx, c.who, in.ID, in.Slot)
}

type slotRetireInput struct {
	ID   string `path:"id" description:"id or name"`
	Slot string `path:"slot"`
	Body vaultapi.AuthoritySlotRetire
}

func (h pkiHandlers) retireSlot(ctx context.Context, c *call, in slotRetireInput) (vaultapi.AuthoritySlot, error) {
	return h.service.RetireSlot(ctx, c.who, in.ID, in.Slot, in.Body)
}

func (h pkiHandlers) authorityRequests(ctx context.Context, c *call, in pkiPageInput) (vaultapi.AuthorityRequestList, error) {
	return h.service.AuthorityRequests(ctx, c.who, in.Limit, in.Cursor)
}

type authorityRequestCreateInput struct {
	Body vaultapi.AuthorityRequestWrite
}

func (h pkiHandlers) requestAuthority(ctx context.Context, c *call, in authorityRequestCreateInput) (vaultapi.AuthorityRequest, error) {
	return h.service.RequestAuthority(ctx, c.who, in.Body)
}

type authorityRequestInput struct {
	ID string `path:"id"`
}

func (h pkiHandlers) authorityRequest(ctx context.Context, c *call, in authorityRequestInput) (vaultapi.AuthorityRequest, error) {
	return h.service.AuthorityRequest(ctx, c.who, in.ID)
}

func (h pkiHandlers) dropAuthorityRequest(ctx context.Context, c *call, in authorityRequestInput) (nothing, error) {
	return nothing{}, h.service.DropAuthorityRequest(ctx, c.who, in.ID)
}

type authorityInstallInput struct {
	ID   string `path:"id"`
	Body vaultapi.AuthorityInstall
}

func (h pkiHandlers) installAuthority(ctx context.Context, c *call, in authorityInstallInput) (vaultapi.Authority, error) {
	return h.service.InstallAuthority(ctx, c.who, in.ID, in.Body)
}
