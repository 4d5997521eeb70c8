package client

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// System are the calls about the server itself. Only Detailed sends the token.
type System struct{ c *Client }

// Health succeeds while the server's process lives.
func (s *System) Health(ctx context.Context) (*vaultapi.Health, error) {
	return on[vaultapi.Health](ctx, s.c, request{method: http.MethodGet, path: "/health", anonymous: true, repeat: true})
}

// Ready says whether the server can work; a server that answers not_ready is an answer and not an error.
func (s *System) Ready(ctx context.Context) (*vaultapi.Readiness, error) {
	r := request{method: http.MethodGet, path: "/health/ready", anonymous: true, accept: http.StatusServiceUnavailable}
	ready, err := on[vaultapi.Readiness](ctx, s.c, r)
	if err == nil && ready.Status == "" {
		return nil, vaultapi.ParseError(http.StatusServiceUnavailable, http.Header{}, nil)
	}
	return ready, err
}

// Detailed says how each component is; it needs scope admin.
func (s *System) Detailed(ctx context.Context) (*vaultapi.DetailedHealth, error) {
	return on[vaultapi.DetailedHealth](ctx, s.c, request{method: http.MethodGet, path: "/health/detailed", repeat: true})
}

// Version says what the server is.
func (s *System) Version(ctx context.Context) (*vaultapi.Version, error) {
	return on[vaultapi.Version](ctx, s.c, request{method: http.MethodGet, path: "/version", anonymous: true, repeat: true})
}
