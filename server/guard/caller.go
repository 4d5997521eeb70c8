package guard

import (
	"net/netip"
	"slices"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
)

// DefaultTenant and DefaultPartner own what a fresh installation holds.
const (
	DefaultTenant  = "tnt_default"
	DefaultPartner = "ptn_default"
)

// RoleSuperAdmin holds `admin` on every path of every class and may bind policies to itself.
const RoleSuperAdmin = "super_admin"

// Identity types (contract section 5.1; system is never mintable).
const (
	TypeUser           = "user"
	TypeServiceAccount = "service_account"
	TypeGroup          = "group"
	TypeSystem         = "system"
)

// Caller is who makes a call, as the authenticator established it. It is passed as an argument,
// never fished from a context. The zero Caller may do nothing.
type Caller struct {
	Tenant, Partner string
	Type            string   // user | service_account | system
	ID              string   // `user:<mail>`, `sa:<name>`, `system:<component>`
	DisplayName     string   // for people; the token's name where nothing better is known
	Groups, Roles   []string // `group:<name>`; super_admin | partner_admin | tenant_admin
	Scopes          []string // such as secrets:read
	Cluster         string   // Kubernetes cluster the identity comes from, "" for others
	Namespace       string   // the caller's own Kubernetes namespace: placeholder {namespace}
	SourceIP        netip.Addr
	UserAgent       string
	RequestID       string
	MFAVerifiedAt   time.Time
	TokenID         string
	TokenExpires    time.Time
}

// System is the caller of the server's own background work, such as system:rotation.
func System(component, tenant string) Caller {
	return Caller{Tenant: tenant, Type: TypeSystem, ID: "system:" + component}
}

// HasScope tells whether the caller's token carries scope.
func (c Caller) HasScope(scope string) bool { return slices.Contains(c.Scopes, scope) }

// HasRole tells whether the caller holds an administrative role.
func (c Caller) HasRole(role string) bool { return slices.Contains(c.Roles, role) }

// unbound callers are not judged by policies: the server itself and super administrators.
func (c Caller) unbound() bool { return c.Type == TypeSystem || c.HasRole(RoleSuperAdmin) }

// Subject is the caller as the policy evaluator sees it at a moment.
func (c Caller) Subject(now time.Time) policy.Subject {
	return policy.Subject{
		Type: c.Type, ID: c.ID, Groups: c.Groups, Namespace: c.Namespace,
		IP: c.SourceIP, MFA: !c.MFAVerifiedAt.IsZero(), Now: now,
	}
}
