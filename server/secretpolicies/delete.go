package secretpolicies

import (
	"context"
	"fmt"

	"github.com/scailabs/scaivault/server/guard"
)

// Delete removes a policy. Scope admin. With force the secrets that were generated from it are detached first; a
// rotation policy that names it keeps it in any case. Errors: secret_policy_not_found, policy_in_use.
func (s *Service) Delete(ctx context.Context, who guard.Caller, ref string, force bool) error {
	_, err := guard.Change(ctx, s.guard, who, access(ActionDelete, ref), func(c *guard.Call) (struct{}, error) {
		r, err := s.locked(c, ref)
		if err != nil {
			return struct{}{}, err
		}
		if err := s.release(c, r, force); err != nil {
			return struct{}{}, err
		}
		if _, err := c.Tx.Exec(deleteQuery, who.Tenant, r.ID); err != nil {
			return struct{}{}, fmt.Errorf("delete secret policy %s: %w", r.ID, err)
		}
		return struct{}{}, nil
	})
	return err
}

// release takes the policy from what uses it, or refuses. What a user does not count, such as a deleted secret that
// can still be restored, it gives up without force.
func (s *Service) release(c *guard.Call, r record, force bool) error {
	uses, err := s.uses(c, r.ID)
	if err != nil {
		return err
	}
	if uses > 0 && !force {
		return inUse(r, uses)
	}
	for _, user := range s.users {
		if err := user.DropSecretPolicy(c, r.ID); err != nil {
			return err
		}
	}
	if uses, err = s.uses(c, r.ID); err != nil {
		return err
	}
	if uses > 0 {
		return inUse(r, uses)
	}
	return nil
}

func (s *Service) uses(c *guard.Call, id string) (int64, error) {
	total := int64(0)
	for _, user := range s.users {
		n, err := user.SecretPolicyUses(c, id)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
