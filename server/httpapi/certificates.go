package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/pki"
)

func certificateRoutes(h pkiHandlers) []route {
	const (
		all = "/v1/pki/certificates"
		one = "/v1/pki/certificates/{id}"

		admin = pki.ScopeAdmin
		issue = pki.ScopeIssue
	)
	return []route{
		{method: http.MethodPost, pattern: "/v1/pki/issue/{role}", id: "issueCertificate", summary: "Make a key and a certificate; the key is shown this once",
			group: groupPKI, scope: issue, rate: rateIssue, action: pki.ActionIssue, status: http.StatusCreated,
			endpoint: handle(h.issue).withEncoding(appendIssued)},
		{method: http.MethodPost, pattern: "/v1/pki/sign/{role}", id: "signCertificate", summary: "Make a certificate for the key of a certificate request",
			group: groupPKI, scope: issue, rate: rateIssue, action: pki.ActionSign, status: http.StatusCreated,
			endpoint: handle(h.sign).withEncoding(appendIssued)},
		{method: http.MethodGet, pattern: all, id: "listCertificates", summary: "List certificates, the earliest end first",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionCertificateList, endpoint: handle(h.certificates)},
		{method: http.MethodGet, pattern: one, id: "readCertificate", summary: "Read what is kept of a certificate",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionCertificateRead, endpoint: handle(h.certificate)},
		{method: http.MethodGet, pattern: one + "/pem", id: "readCertificatePem", summary: "Read a certificate itself",
			group: groupPKI, scope: issue, rate: ratePKI, action: pki.ActionCertificateRead,
			endpoint: handle(h.certificatePEM).withEncoding(appendPEM).withMedia(mediaPEM)},
		{method: http.MethodGet, pattern: one + "/key", id: "readCertificateKey", summary: "Read a certificate's private key, where its role kept it",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionKeyRead,
			endpoint: handle(h.certificateKey).withEncoding(appendPrivateKey).withMedia(mediaPEM)},
		{method: http.MethodPost, pattern: one + "/renew", id: "renewCertificate", summary: "Make a certificate with the names of an old one and a new key",
			group: groupPKI, scope: issue, rate: rateIssue, action: pki.ActionRenew, status: http.StatusCreated,
			endpoint: handle(h.renew).withEncoding(appendIssued)},
		{method: http.MethodPost, pattern: "/v1/pki/revoke", id: "revokeCertificate", summary: "Revoke a certificate",
			group: groupPKI, scope: admin, rate: ratePKI, action: pki.ActionRevoke, endpoint: handle(h.revoke)},
	}
}

type issueInput struct {
	Role string `path:"role"`
	Body vaultapi.CertificateIssue
}

func (h pkiHandlers) issue(ctx context.Context, c *call, in issueInput) (vaultapi.IssuedCertificate, error) {
	return h.service.Issue(ctx, c.who, in.Role, in.Body)
}

type signInput struct {
	Role string `path:"role"`
	Body vaultapi.CertificateSign
}

func (h pkiHandlers) sign(ctx context.Context, c *call, in signInput) (vaultapi.IssuedCertificate, error) {
	return h.service.Sign(ctx, c.who, in.Role, in.Body)
}

type certificateListInput struct {
	CAID           string        `query:"ca_id" description:"id or name of the authority"`
	ExpiringWithin time.Duration `query:"expiring_within" description:"a duration such as 30d: only those that are valid and end before it is over"`
	IncludeRevoked bool          `query:"include_revoked"`
	Owner          string        `query:"owner" description:"all of an owner, or its leading parts such as k8s:home: only what is theirs, by owner"`
	Limit          int           `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor         string        `query:"cursor"`
}

func (h pkiHandlers) certificates(ctx context.Context, c *call, in certificateListInput) (vaultapi.CertificateList, error) {
	return h.service.Certificates(ctx, c.who, pki.CertificateQuery{
		CA: in.CAID, ExpiringWithin: in.ExpiringWithin, IncludeRevoked: in.IncludeRevoked, Owner: in.Owner,
		Limit: in.Limit, Cursor: in.Cursor,
	})
}

type certificateInput struct {
	ID string `path:"id"`
}

func (h pkiHandlers) certificate(ctx context.Context, c *call, in certificateInput) (vaultapi.Certificate, error) {
	return h.service.Certificate(ctx, c.who, in.ID)
}

func (h pkiHandlers) certificatePEM(ctx context.Context, c *call, in certificateInput) (string, error) {
	return h.service.CertificatePEM(ctx, c.who, in.ID)
}

func (h pkiHandlers) certificateKey(ctx context.Context, c *call, in certificateInput) (vaultapi.KeyText, error) {
	return h.service.CertificateKey(ctx, c.who, in.ID)
}

func appendPrivateKey(b []byte, key vaultapi.KeyText) []byte { return append(b, key.Reveal()...) }

func appendPEM(b []byte, pem string) []byte { return append(b, pem...) }

func (h pkiHandlers) renew(ctx context.Context, c *call, in certificateInput) (vaultapi.IssuedCertificate, error) {
	return h.service.Renew(ctx, c.who, in.ID)
}

type certificateRevokeInput struct{ Body vaultapi.CertificateRevoke }

func (h pkiHandlers) revoke(ctx context.Context, c *call, in certificateRevokeInput) (vaultapi.Certificate, error) {
	return h.service.Revoke(ctx, c.who, in.Body)
}
