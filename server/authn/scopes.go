package authn

import "slices"

// The administrative roles (contract section 15.4); guard.RoleSuperAdmin is the third.
const (
	RolePartnerAdmin = "partner_admin"
	RoleTenantAdmin  = "tenant_admin"
)

const scopeAdmin = "admin"

// Scopes lists every scope a token may carry (contract sections 15.2 and 25).
func Scopes() []string {
	return []string{
		"secrets:read", "secrets:write", "secrets:delete", "secrets:list", "secrets:rotate",
		"policies:read", "policies:write", "audit:read", "audit:export", "pki:issue", "pki:admin",
		"dynamic:read", "dynamic:manage", "dynamic:generate", "subscriptions:read", "subscriptions:write",
		"federation:read", "federation:write", "identity:read", "identity:admin",
		"rotation:manage", "owned:release", ScopeTrust, "metrics:read", scopeAdmin,
	}
}

// workloadScopes are what a trust rule gives unless it says otherwise (architecture section 6).
func workloadScopes() []string {
	return []string{"secrets:read", "secrets:list", "secrets:rotate", "pki:issue", "dynamic:generate"}
}

func knownScope(scope string) bool { return slices.Contains(Scopes(), scope) }
