package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

// actionNone marks the few routes that leave no audit entry; a test lists them.
const actionNone = "none"

// Scopes that are no scope: what the table says where a token's scopes do not matter.
const (
	scopeAny  = "any"  // any token
	scopeNone = "none" // no token at all
)

// Path categories, a label of metrics.
const (
	groupSecrets       = "secrets"
	groupPolicies      = "policies"
	groupRotation      = "rotation"
	groupPKI           = "pki"
	groupAudit         = "audit"
	groupSubscriptions = "subscriptions"
	groupWebhooks      = "webhooks"
	groupAuth          = "auth"
	groupSystem        = "system"
)

// route is one row of the table: all that is known of a route stands here, and nowhere else. Scope and action are
// enforced and written by the domain; the table says them for the OpenAPI document and the tests.
type route struct {
	method, pattern string
	id, summary     string
	group           string
	scope           string
	rate            category
	action          string // audit action of a call that succeeds
	status          int    // of success; 0: 200
	alsoStatus      []int  // other statuses of success
	endpoint        endpoint

	anonymous bool        // set from scope
	metrics   *rowMetrics // set when the server is made
}

func (r *route) successStatus() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// openAPIPath is the pattern as OpenAPI writes it. OpenAPI knows no parameter that spans segments; the
// description of {path} says that it does.
func (r *route) openAPIPath() string {
	return strings.ReplaceAll(r.pattern, secretWildcard, "{"+secretParam+"}")
}

// table is every route of /v1.
func table(s *Server, services Services) []route {
	rows := slices.Concat(
		secretRoutes(secretHandlers{service: services.Secrets}),
		rotationRoutes(rotationHandlers{service: services.Rotation}),
		policyRoutes(policyHandlers{service: services.Policies}),
		secretPolicyRoutes(secretPolicyHandlers{service: services.SecretPolicies}),
		pkiRoutes(pkiHandlers{service: services.PKI}),
		revocationRoutes(revocationHandlers{service: services.Revocation}),
		auditRoutes(auditHandlers{service: services.Audit}),
		subscriptionRoutes(subscriptionHandlers{service: services.Events}),
		webhookRoutes(webhookHandlers{service: services.Webhooks}),
		authRoutes(authHandlers{service: services.Authn}),
		trustRoutes(trustHandlers{service: services.Authn}),
		systemRoutes(systemHandlers{system: services.System, server: s}),
	)
	return rows
}

// finish sets what follows from the rows themselves.
func (s *Server) finish(rows []route) []route {
	for i := range rows {
		rows[i].anonymous = rows[i].scope == scopeNone
		rows[i].metrics = s.metrics.row(rows[i].method, rows[i].group)
	}
	return rows
}
