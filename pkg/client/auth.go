package client

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Auth are the calls under /v1/auth.
type Auth struct{ c *Client }

// Whoami says who the token is.
func (a *Auth) Whoami(ctx context.Context) (*vaultapi.Whoami, error) {
	return on[vaultapi.Whoami](ctx, a.c, request{method: http.MethodGet, path: "/auth/whoami", repeat: true})
}

// Introspect says what another token is; it needs scope admin.
func (a *Auth) Introspect(ctx context.Context, token string) (*vaultapi.Introspection, error) {
	r := request{method: http.MethodPost, path: "/auth/introspect", body: vaultapi.IntrospectRequest{Token: token}, repeat: true}
	return on[vaultapi.Introspection](ctx, a.c, r)
}

// Exchange gives a bearer token for a workload's token. The client's own token is not sent.
func (a *Auth) Exchange(ctx context.Context, e vaultapi.ExchangeRequest) (*vaultapi.ExchangeResponse, error) {
	r := request{method: http.MethodPost, path: "/auth/exchange", body: e, repeat: true, anonymous: true}
	return on[vaultapi.ExchangeResponse](ctx, a.c, r)
}
