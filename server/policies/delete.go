package policies

import (
	"context"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// DeleteOptions say how a policy goes.
type DeleteOptions struct {
	Force bool   // with its bindings
	Owner string // who asks, where the policy is owned
}

// Delete removes a policy. Scope policies:write; owned:release suffices for what the caller's own
// cluster owns. Errors: policy_not_found, policy_in_use while there are bindings and Force is not
// set, managed_resource.
func (s *Service) Delete(ctx context.Context, who guard.Caller, ref string, o DeleteOptions) error {
	a := access(ActionDelete, ScopeWrite, ref)
	a.AltScopes = []string{ScopeRelease}
	_, err := guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (struct{}, error) {
		r, revision, err := s.locked(c, ref)
		if err != nil {
			return struct{}{}, err
		}
		if err := checkDelete(who, r, o); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.remove(c, r, revision)
	})
	return err
}

func checkDelete(who guard.Caller, r record, o DeleteOptions) error {
	if err := mayRelease(who, r); err != nil {
		return err
	}
	if err := mayEdit(who, r, o.Owner); err != nil {
		return err
	}
	if r.Bindings > 0 && !o.Force {
		return fault.Conflict(fault.CodePolicyInUse, "policy %s is bound to %d identities: remove the bindings first, or force", r.Name, r.Bindings).
			With("policy_id", r.ID).With("binding_count", r.Bindings)
	}
	return nil
}

func (s *Service) remove(c *guard.Call, r record, revision int64) error {
	gone, err := listBindings(c.Tx.Query, c.Who.Tenant, r.ID)
	if err != nil {
		return err
	}
	if err := deletePolicy(c.Tx, c.Who.Tenant, r.ID); err != nil {
		return err
	}
	err = s.raise(c, revision, func(set *policy.Set) (*policy.Set, error) { return set.Without(r.ID), nil })
	if err != nil {
		return err
	}
	for _, h := range gone {
		if err := c.Emit(EventBindingDeleted, "", bindingChangeOf(c, r, h)); err != nil {
			return err
		}
	}
	return c.Emit(EventDeleted, "", changeOf(c, r))
}
