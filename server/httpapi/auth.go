package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/authn"
)

type authHandlers struct{ service *authn.Service }

func authRoutes(h authHandlers) []route {
	return []route{
		{method: http.MethodGet, pattern: "/v1/auth/whoami", id: "whoami", summary: "Tell who the caller is",
			group: groupAuth, scope: scopeAny, rate: rateIdentity, action: "auth_whoami", endpoint: handle(h.whoami)},
		{method: http.MethodPost, pattern: "/v1/auth/introspect", id: "introspect", summary: "Tell what a token is",
			group: groupAuth, scope: "admin", rate: rateIdentity, action: "auth_introspect", endpoint: handle(h.introspect)},
		{method: http.MethodPost, pattern: "/v1/auth/exchange", id: "exchangeToken", summary: "Give a workload a bearer token for its own token",
			group: groupAuth, scope: scopeNone, rate: rateExchange, action: "auth_exchange", endpoint: handle(h.exchange)},
	}
}

func (h authHandlers) whoami(ctx context.Context, c *call, _ noInput) (vaultapi.Whoami, error) {
	return h.service.Whoami(ctx, c.who)
}

type introspectInput struct{ Body vaultapi.IntrospectRequest }

func (h authHandlers) introspect(ctx context.Context, c *call, in introspectInput) (vaultapi.Introspection, error) {
	return h.service.Introspect(ctx, c.who, in.Body)
}

type exchangeInput struct{ Body vaultapi.ExchangeRequest }

// exchange authenticates by the subject token; authn counts and records its failures.
func (h authHandlers) exchange(ctx context.Context, c *call, in exchangeInput) (vaultapi.ExchangeResponse, error) {
	from := authn.Source{IP: c.x.source, UserAgent: userAgent(c.x.r), RequestID: c.x.requestID}
	return h.service.Exchange(ctx, in.Body, from)
}
