package policies

import (
	"slices"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// mayEdit reports whether a call that names an owner, or none, may change a policy.
func mayEdit(who guard.Caller, r record, stated string) error {
	return guard.Owned{What: "policy", Name: r.Name, ID: r.ID, Key: "policy_id", Owner: r.Owner}.MayEdit(who, stated)
}

// mayRelease lets a token without policies:write remove only what is owned.
func mayRelease(who guard.Caller, r record) error {
	if who.Type == guard.TypeSystem || who.HasScope(ScopeWrite) || r.Owner != "" {
		return nil
	}
	return fault.Forbidden(fault.CodeInsufficientScope, "policy %s has no owner: removing it needs scope %s", r.Name, ScopeWrite).
		With("required_scope", ScopeWrite)
}

// privileged callers may give themselves what they like.
func privileged(who guard.Caller) bool {
	return who.Type == guard.TypeSystem || who.HasRole(guard.RoleSuperAdmin)
}

// isSelf reports whether an identity is the caller or a group of his.
func isSelf(who guard.Caller, kind, id string) bool {
	return kind == who.Type && id == who.ID || kind == guard.TypeGroup && slices.Contains(who.Groups, id)
}

// notForSelf refuses to widen what the caller himself may do: nobody elevates himself (architecture
// section 5).
func notForSelf(who guard.Caller, kind, id string) error {
	if privileged(who) || !isSelf(who, kind, id) {
		return nil
	}
	return fault.Forbidden(fault.CodeForbidden, "%s is you or a group of yours: only a super_admin may change your own access", id).
		With("identity_id", id)
}
