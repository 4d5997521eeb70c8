package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/pki"
)

// requestRoutes are certificates that one asks for and another allows.
func requestRoutes(h pkiHandlers) []route {
	const (
		all = "/v1/pki/csr"
		one = "/v1/pki/csr/{id}"

		admin = pki.ScopeAdmin
		issue = pki.ScopeIssue
	)
	return []route{
		{method: http.MethodGet, pattern: all, id: "listCertificateRequests", summary: "List certificate requests, the oldest first",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionCSRList, endpoint: handle(h.requests)},
		{method: http.MethodPost, pattern: all, id: "submitCertificateRequest", summary: "Hand in a certificate request for somebody else's approval",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionCSRSubmit, status: http.StatusCreated, endpoint: handle(h.submitRequest)},
		{method: http.MethodGet, pattern: one, id: "readCertificateRequest", summary: "Read a certificate request",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionCSRRead, endpoint: handle(h.request)},
		{method: http.MethodPost, pattern: one + "/approve", id: "approveCertificateRequest", summary: "Allow a certificate request of somebody else to be signed",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionCSRApprove, endpoint: handle(h.approveRequest)},
		{method: http.MethodPost, pattern: one + "/reject", id: "rejectCertificateRequest", summary: "Refuse a certificate request",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionCSRReject, endpoint: handle(h.rejectRequest)},
		{method: http.MethodPost, pattern: one + "/sign", id: "signCertificateRequest", summary: "Make the certificate of a request that is approved",
			group: groupPKI, scope: issue, rate: rateIssue, action: pki.ActionCSRSign, status: http.StatusCreated,
			endpoint: handle(h.signRequest).withEncoding(appendIssued)},
	}
}

type requestListInput struct {
	Status string `query:"status" description:"pending, approved, rejected, signed or expired; default: all"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor"`
}

func (h pkiHandlers) requests(ctx context.Context, c *call, in requestListInput) (vaultapi.CertificateRequestList, error) {
	return h.service.Requests(ctx, c.who, pki.RequestQuery{Status: in.Status, Limit: in.Limit, Cursor: in.Cursor})
}

type requestSubmitInput struct {
	Body vaultapi.CertificateRequestSubmit
}

func (h pkiHandlers) submitRequest(ctx context.Context, c *call, in requestSubmitInput) (vaultapi.CertificateRequest, error) {
	return h.service.SubmitRequest(ctx, c.who, in.Body)
}

type requestInput struct {
	ID string `path:"id"`
}

func (h pkiHandlers) request(ctx context.Context, c *call, in requestInput) (vaultapi.CertificateRequest, error) {
	return h.service.Request(ctx, c.who, in.ID)
}

func (h pkiHandlers) signRequest(ctx context.Context, c *call, in requestInput) (vaultapi.IssuedCertificate, error) {
	return h.service.SignRequest(ctx, c.who, in.ID)
}

type requestDecisionInput struct {
	ID   string `path:"id"`
	Body vaultapi.CertificateRequestDecision
}

func (h pkiHandlers) approveRequest(ctx context.Context, c *call, in requestDecisionInput) (vaultapi.CertificateRequest, error) {
	return h.service.ApproveRequest(ctx, c.who, in.ID, in.Body)
}

func (h pkiHandlers) rejectRequest(ctx context.Context, c *call, in requestDecisionInput) (vaultapi.CertificateRequest, error) {
	return h.service.RejectRequest(ctx, c.who, in.ID, in.Body)
}
