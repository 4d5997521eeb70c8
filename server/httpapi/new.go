package httpapi

import (
	"github.com/scailabs/scaivault/server/audit"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/events/webhooks"
	"github.com/scailabs/scaivault/server/pki"
	"github.com/scailabs/scaivault/server/pki/revocation"
	"github.com/scailabs/scaivault/server/policies"
	"github.com/scailabs/scaivault/server/rotation"
	"github.com/scailabs/scaivault/server/secretpolicies"
	"github.com/scailabs/scaivault/server/secrets"
)

// Services is what the edge answers from. All of it is needed to serve; the OpenAPI document needs none.
type Services struct {
	Secrets        *secrets.Service
	Policies       *policies.Service
	SecretPolicies *secretpolicies.Service
	Rotation       *rotation.Service
	PKI            *pki.Service
	Revocation     *revocation.Service
	Audit          *audit.Service
	Events         *events.Service
	Authn          *authn.Service
	Edge           Edge
	System         System
	Webhooks       *webhooks.Service
}

// New puts the domain services behind HTTP. Errors: a rate limit profile or override that does not exist.
func New(c Config, services Services) (*Server, error) {
	return newServer(c, services.Authn, services.Edge, services.System, func(s *Server) []route { return table(s, services) })
}
