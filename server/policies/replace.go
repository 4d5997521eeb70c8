package policies

import (
	"context"
	"reflect"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Replace replaces all of a policy but its bindings. Scope policies:write. A body equal to what is
// there changes nothing. Errors: those of Create, policy_not_found, managed_resource, forbidden
// where the caller would change his own access.
func (s *Service) Replace(ctx context.Context, who guard.Caller, ref string, w vaultapi.PolicyWrite) (vaultapi.Policy, error) {
	want, invalid := newRecord(w)
	return s.edit(ctx, who, ref, w.Owner, func(r record) (record, error) {
		if invalid != nil {
			return record{}, invalid
		}
		r.Name, r.Description, r.Rules, r.Active = want.Name, want.Description, want.Rules, want.Active
		return r, nil
	})
}

// Patch changes the fields given. Scope policies:write. Errors as of Replace.
func (s *Service) Patch(ctx context.Context, who guard.Caller, ref string, w vaultapi.PolicyPatch) (vaultapi.Policy, error) {
	return s.edit(ctx, who, ref, w.Owner, func(r record) (record, error) { return patched(r, w) })
}

func patched(r record, w vaultapi.PolicyPatch) (record, error) {
	set(&r.Name, w.Name)
	set(&r.Description, w.Description)
	set(&r.Active, w.IsActive)
	if err := checkText(r.Name, r.Description, r.Scope); err != nil {
		return record{}, err
	}
	if w.Rules != nil {
		r.Rules = *w.Rules
		return r, checkRules(r.Rules)
	}
	return r, nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// edit finds a policy, has it altered, and stores what came of it.
func (s *Service) edit(ctx context.Context, who guard.Caller, ref, owner string, alter func(record) (record, error)) (vaultapi.Policy, error) {
	return guard.Change(ctx, s.guard, who, access(ActionUpdate, ScopeWrite, ref), func(c *guard.Call) (vaultapi.Policy, error) {
		have, revision, err := s.locked(c, ref)
		if err != nil {
			return vaultapi.Policy{}, err
		}
		if err := mayEdit(who, have, owner); err != nil {
			return vaultapi.Policy{}, err
		}
		want, err := alter(have)
		if err != nil {
			return vaultapi.Policy{}, err
		}
		now, err := withBindings(c.Tx.Query, who.Tenant, have)
		if err != nil || reflect.DeepEqual(have, want) {
			return now, err
		}
		if err := checkEdit(c, have, want, now.Bindings); err != nil {
			return vaultapi.Policy{}, err
		}
		return s.update(c, want, now.Bindings, revision)
	})
}

// checkEdit refuses a taken name, and an edit by which the caller widens his own access.
func checkEdit(c *guard.Call, have, want record, bindings []vaultapi.Binding) error {
	if want.Name != have.Name {
		if err := nameFree(c, want.Name); err != nil {
			return err
		}
	}
	if reflect.DeepEqual(have.Rules, want.Rules) && (have.Active || !want.Active) {
		return nil
	}
	for _, b := range bindings {
		if err := notForSelf(c.Who, b.IdentityType, b.IdentityID); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) update(c *guard.Call, r record, bindings []vaultapi.Binding, revision int64) (vaultapi.Policy, error) {
	fresh, err := compiledPolicy(r)
	if err != nil {
		return vaultapi.Policy{}, fault.Internal(err, "policy %s", r.ID)
	}
	r.Updated = c.Now().UnixMicro()
	if err := updatePolicy(c.Tx, c.Who.Tenant, r); err != nil {
		return vaultapi.Policy{}, err
	}
	err = s.raise(c, revision, func(set *policy.Set) (*policy.Set, error) {
		known, found := set.Policy(r.ID)
		if !found {
			return nil, errNotInSet
		}
		fresh.Bindings = known.Bindings
		return set.With(fresh)
	})
	if err != nil {
		return vaultapi.Policy{}, err
	}
	p := r.wire()
	p.Bindings = bindings
	return p, c.Emit(EventUpdated, "", changeOf(c, r))
}
