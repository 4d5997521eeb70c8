package authn

import (
	"slices"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// scopeBind is needed for an alias by whoever is no super_admin: whatever is bound to the name goes with it.
const scopeBind = "policies:write"

// free says why a rule cannot stand beside the others of all tenants, if it cannot: one name or alias is one rule
// of a tenant, and the same workloads do not belong to two tenants.
func free(others []TrustRule, r TrustRule) error {
	for _, o := range others {
		mine := o.Tenant == r.Tenant
		switch {
		case mine && o.Name == r.Name:
			return fault.Conflict(fault.CodeTrustRuleExists, "there is a trust rule %.64q already: change or remove it", r.Name)
		case mine && r.alias() && o.Identity == r.Identity && !o.sameWorkloads(r):
			return fault.Conflict(fault.CodeTrustRuleExists, "identity %s is another workload's, by trust rule %.64q: only one workload has an alias", r.Identity, o.Name)
		case !mine && o.sameWorkloads(r):
			return foreignWorkloads()
		}
	}
	return nil
}

func foreignWorkloads() error {
	return fault.Conflict(fault.CodeTrustRuleExists, "these workloads, or some of them, belong to another tenant already: only a super_admin may divide them")
}

// mayGive says why who may not make a rule, if he may not: nobody but a super_admin gives scopes that he lacks,
// takes workloads of another tenant, hands over what an alias holds, or decides about himself (architecture
// sections 5 and 6).
func mayGive(who guard.Caller, others []TrustRule, r TrustRule) error {
	if unboundBy(who) {
		return nil
	}
	if err := notOwnNamespace(who, r); err != nil {
		return err
	}
	if err := holds(who, r.Scopes); err != nil {
		return err
	}
	if r.alias() {
		if err := holds(who, []string{scopeBind}); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(others, func(o TrustRule) bool { return o.Tenant != r.Tenant && o.overlaps(r) }) {
		return foreignWorkloads()
	}
	return nil
}

// mayLift says why who may not take a rule from its workloads, if he may not: the less specific rules that decide
// then may not give what he lacks.
func mayLift(who guard.Caller, others []TrustRule, r TrustRule) error {
	if unboundBy(who) {
		return nil
	}
	if r.Owner != "" {
		return fault.Forbidden(fault.CodeForbidden, "trust rule %.64q is kept by the server's start-up flags: only a super_admin may remove it", r.Name)
	}
	if err := notOwnNamespace(who, r); err != nil {
		return err
	}
	for _, o := range others {
		if o.overlaps(r) && o.specificity() < r.specificity() {
			if err := holds(who, o.Scopes); err != nil {
				return err
			}
		}
	}
	return nil
}

// unboundBy tells whether who may give and take what he does not hold.
func unboundBy(who guard.Caller) bool {
	return who.Type == guard.TypeSystem || who.HasRole(guard.RoleSuperAdmin)
}

// holds refuses a scope that who does not hold himself.
func holds(who guard.Caller, scopes []string) error {
	for _, scope := range scopes {
		if !who.HasScope(scope) {
			return fault.Forbidden(fault.CodeInsufficientScope, "you do not hold scope %s yourself, and only a super_admin gives what he does not hold", scope).
				With("required_scope", scope)
		}
	}
	return nil
}

// notOwnNamespace keeps a workload from deciding what it becomes itself, or what its neighbours do in its place.
func notOwnNamespace(who guard.Caller, r TrustRule) error {
	if who.Cluster == "" || who.Cluster != r.Cluster || r.Namespace != "" && r.Namespace != who.Namespace {
		return nil
	}
	return fault.Forbidden(fault.CodeForbidden, "the rule speaks of your own namespace %s: only a super_admin may change what you become", who.Namespace)
}
