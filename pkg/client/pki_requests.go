package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const pkiCSR = "/pki/csr"

// CertificateRequestFilter selects certificate requests.
type CertificateRequestFilter struct {
	Status string // pending | approved | rejected | signed | expired; "": all
	Limit  int
	Cursor string
}

// CertificateRequests returns one page of certificate requests, the oldest first.
func (p *PKI) CertificateRequests(ctx context.Context, f CertificateRequestFilter) (*vaultapi.CertificateRequestList, error) {
	q := query{}
	q.text("status", f.Status)
	q.page(f.Limit, f.Cursor)
	get := request{method: http.MethodGet, path: pkiCSR, query: url.Values(q), repeat: true}
	return on[vaultapi.CertificateRequestList](ctx, p.c, get)
}

// SubmitRequest hands in a certificate request for somebody else's approval.
func (p *PKI) SubmitRequest(ctx context.Context, w vaultapi.CertificateRequestSubmit) (*vaultapi.CertificateRequest, error) {
	return on[vaultapi.CertificateRequest](ctx, p.c, request{method: http.MethodPost, path: pkiCSR, body: w})
}

// CertificateRequest returns a certificate request.
func (p *PKI) CertificateRequest(ctx context.Context, id string) (*vaultapi.CertificateRequest, error) {
	return onID[vaultapi.CertificateRequest](ctx, p.c, pkiCSR, id, "", request{method: http.MethodGet, repeat: true})
}

// ApproveRequest allows a certificate request of somebody else to be signed.
func (p *PKI) ApproveRequest(ctx context.Context, id string, d vaultapi.CertificateRequestDecision) (*vaultapi.CertificateRequest, error) {
	return onID[vaultapi.CertificateRequest](ctx, p.c, pkiCSR, id, "/approve", request{method: http.MethodPost, body: d})
}

// RejectRequest refuses a certificate request.
func (p *PKI) RejectRequest(ctx context.Context, id string, d vaultapi.CertificateRequestDecision) (*vaultapi.CertificateRequest, error) {
	return onID[vaultapi.CertificateRequest](ctx, p.c, pkiCSR, id, "/reject", request{method: http.MethodPost, body: d})
}

// SignRequest makes the certificate of a request that is approved.
func (p *PKI) SignRequest(ctx context.Context, id string) (*vaultapi.IssuedCertificate, error) {
	return onID[vaultapi.IssuedCertificate](ctx, p.c, pkiCSR, id, "/sign", request{method: http.MethodPost})
}
