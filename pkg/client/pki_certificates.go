package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const pkiCertificates = "/pki/certificates"

// CertificateFilter selects certificates.
type CertificateFilter struct {
	CAID           string // id or name of the authority
	ExpiringWithin string // a duration such as 30d: those that end before it is over
	IncludeRevoked bool
	Owner          string // all of an owner, or its leading parts such as k8s:home: only what is theirs
	Limit          int
	Cursor         string
}

// Issue makes a key and a certificate by a role. The key is in the answer and, unless the role has it stored, nowhere
// else.
func (p *PKI) Issue(ctx context.Context, role string, w vaultapi.CertificateIssue) (*vaultapi.IssuedCertificate, error) {
	return onID[vaultapi.IssuedCertificate](ctx, p.c, "/pki/issue", role, "", request{method: http.MethodPost, body: w})
}

// Sign makes a certificate by a role for the key of a certificate request.
func (p *PKI) Sign(ctx context.Context, role string, w vaultapi.CertificateSign) (*vaultapi.IssuedCertificate, error) {
	return onID[vaultapi.IssuedCertificate](ctx, p.c, "/pki/sign", role, "", request{method: http.MethodPost, body: w})
}

// Certificates returns one page of certificates, the earliest end first.
func (p *PKI) Certificates(ctx context.Context, f CertificateFilter) (*vaultapi.CertificateList, error) {
	q := query{}
	q.text("ca_id", f.CAID)
	q.text("expiring_within", f.ExpiringWithin)
	q.flag("include_revoked", f.IncludeRevoked)
	q.text("owner", f.Owner)
	q.page(f.Limit, f.Cursor)
	get := request{method: http.MethodGet, path: pkiCertificates, query: url.Values(q), repeat: true}
	return on[vaultapi.CertificateList](ctx, p.c, get)
}

// Certificate returns what is kept of a certificate.
func (p *PKI) Certificate(ctx context.Context, id string) (*vaultapi.Certificate, error) {
	return onID[vaultapi.Certificate](ctx, p.c, pkiCertificates, id, "", request{method: http.MethodGet, repeat: true})
}

// CertificatePEM returns a certificate itself.
func (p *PKI) CertificatePEM(ctx context.Context, id string) (string, error) {
	get := request{method: http.MethodGet, media: mediaPEM, repeat: true}
	text, err := onID[[]byte](ctx, p.c, pkiCertificates, id, "/pem", get)
	if err != nil {
		return "", err
	}
	return string(*text), nil
}

// CertificateKey returns the private key of a certificate whose role keeps the keys that the server makes.
func (p *PKI) CertificateKey(ctx context.Context, id string) (vaultapi.KeyText, error) {
	text, err := onID[[]byte](ctx, p.c, pkiCertificates, id, "/key", request{method: http.MethodGet, media: mediaPEM, repeat: true})
	if err != nil {
		return vaultapi.KeyText{}, err
	}
	return vaultapi.NewKeyText(string(*text)), nil
}

// Renew makes a certificate with the names and the life of an old one and a new key. The old one stays valid.
func (p *PKI) Renew(ctx context.Context, id string) (*vaultapi.IssuedCertificate, error) {
	return onID[vaultapi.IssuedCertificate](ctx, p.c, pkiCertificates, id, "/renew", request{method: http.MethodPost})
}

// Revoke revokes a certificate. One that is revoked stays as it was revoked first.
func (p *PKI) Revoke(ctx context.Context, w vaultapi.CertificateRevoke) (*vaultapi.Certificate, error) {
	return on[vaultapi.Certificate](ctx, p.c, request{method: http.MethodPost, path: "/pki/revoke", body: w, repeat: true})
}

// Validate judges a certificate and the chain that came with it. That it is not valid is no error.
func (p *PKI) Validate(ctx context.Context, w vaultapi.CertificateValidate) (*vaultapi.CertificateValidation, error) {
	post := request{method: http.MethodPost, path: pkiCertificates + "/validate", body: w, repeat: true}
	return on[vaultapi.CertificateValidation](ctx, p.c, post)
}
