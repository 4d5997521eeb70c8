package policies

import (
	"cmp"
	"context"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Create makes a policy without bindings. Scope policies:write. Errors: validation_error,
// invalid_policy, invalid_glob, policy_exists, forbidden for another cluster's owner.
func (s *Service) Create(ctx context.Context, who guard.Caller, w vaultapi.PolicyWrite) (vaultapi.Policy, error) {
	r, invalid := newRecord(w)
	return guard.Change(ctx, s.guard, who, access(ActionCreate, ScopeWrite, ""), func(c *guard.Call) (vaultapi.Policy, error) {
		if err := cmp.Or(invalid, guard.CheckOwner(who, w.Owner)); err != nil {
			return vaultapi.Policy{}, err
		}
		revision, err := s.lock(c)
		if err != nil {
			return vaultapi.Policy{}, err
		}
		if err := nameFree(c, r.Name); err != nil {
			return vaultapi.Policy{}, err
		}
		r.ID = newID(policyPrefix)
		r.Created, r.Updated = c.Now().UnixMicro(), c.Now().UnixMicro()
		return s.insert(c, r, revision)
	})
}

func (s *Service) insert(c *guard.Call, r record, revision int64) (vaultapi.Policy, error) {
	compiled, err := compiledPolicy(r)
	if err != nil {
		return vaultapi.Policy{}, err
	}
	if err := insertPolicy(c.Tx, c.Who.Tenant, r); err != nil {
		return vaultapi.Policy{}, err
	}
	c.Note("policy_id", r.ID)
	c.Note("policy_name", r.Name)
	if err := s.raise(c, revision, func(set *policy.Set) (*policy.Set, error) { return set.With(compiled) }); err != nil {
		return vaultapi.Policy{}, err
	}
	made := r.wire()
	made.Bindings = []vaultapi.Binding{}
	return made, c.Emit(EventCreated, "", changeOf(c, r))
}

// newRecord checks a body.
func newRecord(w vaultapi.PolicyWrite) (record, error) {
	r := record{Name: w.Name, Description: w.Description, Scope: w.Scope, Rules: w.Rules, Owner: w.Owner, Active: true}
	if r.Scope == "" {
		r.Scope = scopeTenant
	}
	if w.IsActive != nil {
		r.Active = *w.IsActive
	}
	if err := checkText(r.Name, r.Description, r.Scope); err != nil {
		return record{}, err
	}
	return r, checkRules(r.Rules)
}

// nameFree refuses a name that another policy of the tenant has.
func nameFree(c *guard.Call, name string) error {
	known, err := findPolicy(c.Tx.QueryRow, c.Who.Tenant, name)
	switch {
	case fault.Is(err, fault.CodePolicyNotFound):
		return nil
	case err != nil:
		return err
	}
	return policyExists(known)
}

// change is the data of policy.created, policy.updated and policy.deleted.
type change struct {
	PolicyID  string `json:"policy_id"`
	Name      string `json:"name"`
	IsActive  bool   `json:"is_active"`
	RuleCount int    `json:"rule_count"`
	ChangedBy string `json:"changed_by"`
	Owner     string `json:"owner,omitempty"`
}

func changeOf(c *guard.Call, r record) change {
	return change{PolicyID: r.ID, Name: r.Name, IsActive: r.Active, RuleCount: len(r.Rules), ChangedBy: c.Who.ID, Owner: r.Owner}
}
