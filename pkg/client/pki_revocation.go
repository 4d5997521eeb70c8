package client

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// CRL returns an authority's current list of revoked certificates as PEM. It is public and asked for without a token, so
// the authority is named by its id.
func (p *PKI) CRL(ctx context.Context, id string) (string, error) {
	get := request{method: http.MethodGet, media: mediaPEM, repeat: true, anonymous: true}
	text, err := onID[[]byte](ctx, p.c, pkiAuthorities, id, "/crl", get)
	if err != nil {
		return "", err
	}
	return string(*text), nil
}

// RegenerateCRL makes the list of an authority anew.
func (p *PKI) RegenerateCRL(ctx context.Context, id string) (*vaultapi.RevocationList, error) {
	return onID[vaultapi.RevocationList](ctx, p.c, pkiAuthorities, id, "/crl", request{method: http.MethodPost})
}
