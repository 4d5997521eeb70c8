package policies

import (
	"slices"
	"strings"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// checkOwner checks the owner of a new policy, which may be empty.
func checkOwner(who guard.Caller, owner string) error {
	if owner == "" {
		return nil
	}
	if !isOwner(owner) {
		return invalidFields(map[string]string{"owner": "must be k8s:<cluster>/<kind>/<namespace>/<name>/<uid>"})
	}
	return mayOwn(who, owner)
}

// isOwner reports whether s names a Kubernetes object; the namespace of a cluster-scoped one is empty.
func isOwner(s string) bool {
	rest, found := strings.CutPrefix(s, "k8s:")
	parts := strings.Split(rest, "/")
	if !found || len(parts) != 5 || len(s) > maxOwner || !identityPattern.MatchString(s) {
		return false
	}
	for i, part := range parts {
		if part == "" && i != 2 {
			return false
		}
	}
	return true
}

// mayOwn reports whether who may speak for an owner: a workload of the owner's own cluster, or a
// super administrator.
func mayOwn(who guard.Caller, owner string) error {
	if privileged(who) || who.Cluster != "" && strings.HasPrefix(owner, "k8s:"+who.Cluster+"/") {
		return nil
	}
	return fault.Forbidden(fault.CodeForbidden, "%s may not act for %s: only its own cluster may", who.ID, owner).With("owner", owner)
}

// mayEdit reports whether a call that names an owner, or none, may change a policy: 409
// managed_resource unless it is the policy's own (contract section 25).
func mayEdit(who guard.Caller, r record, stated string) error {
	switch {
	case r.Owner == stated && stated == "":
		return nil
	case r.Owner == stated:
		return mayOwn(who, stated)
	case r.Owner == "":
		return fault.Conflict(fault.CodeManagedResource, "policy %s has no owner: it was not made by %s", r.Name, stated).With("policy_id", r.ID)
	default:
		return fault.Conflict(fault.CodeManagedResource, "policy %s is managed by %s: change it there", r.Name, r.Owner).
			With("policy_id", r.ID).With("owner", r.Owner)
	}
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
