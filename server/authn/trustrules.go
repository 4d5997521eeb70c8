package authn

import (
	"context"
	"fmt"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// AddTrustRule stores a rule in who's tenant; its defaults are filled in. Scope trust:manage and role super_admin:
// a rule decides for a whole cluster. Errors: validation_error, trust_rule_exists when the name is taken or the same
// workloads are mapped into another tenant.
func (s *Service) AddTrustRule(ctx context.Context, who guard.Caller, r TrustRule) (TrustRule, error) {
	r.Tenant, r.ID, r.Owner = who.Tenant, newID("trust_"), ""
	r = r.withDefaults()
	access := guard.Access{Action: "trust_rule_create", Scope: "trust:manage", AltScopes: []string{"admin"}, Target: r.ID}
	return guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (TrustRule, error) {
		if err := mayTrust(who); err != nil {
			return TrustRule{}, err
		}
		if err := r.validate(); err != nil {
			return TrustRule{}, err
		}
		if err := checkFree(c.Tx, r); err != nil {
			return TrustRule{}, err
		}
		r.CreatedAt = c.Now()
		c.Note("rule", r.Name)
		c.Note("identity", r.Identity)
		return r, insertTrustRule(c.Tx, r)
	})
}

// TrustRules lists the rules of who's tenant by name. Scope trust:manage.
func (s *Service) TrustRules(ctx context.Context, who guard.Caller) ([]TrustRule, error) {
	access := guard.Access{Action: "trust_rule_list", Scope: "trust:manage", AltScopes: []string{"admin"}}
	return guard.Do(ctx, s.guard, who, access, func(*guard.Call) ([]TrustRule, error) {
		rules, err := trustRulesOf(ctx, s.db, who.Tenant)
		if err != nil {
			return nil, fault.Unavailable(err, "trust rules cannot be read now")
		}
		return rules, nil
	})
}

// RemoveTrustRule removes the rule of that name or id; tokens it gave live on until they expire. Scope
// trust:manage and role super_admin. Error: trust_rule_not_found.
func (s *Service) RemoveTrustRule(ctx context.Context, who guard.Caller, name string) error {
	access := guard.Access{Action: "trust_rule_delete", Scope: "trust:manage", AltScopes: []string{"admin"}, Target: name}
	_, err := guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (struct{}, error) {
		if err := mayTrust(who); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, deleteTrustRule(c.Tx, who.Tenant, name)
	})
	return err
}

func mayTrust(who guard.Caller) error {
	if who.Type == guard.TypeSystem || who.HasRole(guard.RoleSuperAdmin) {
		return nil
	}
	return fault.Forbidden(fault.CodeForbidden, "only a super_admin may say which cluster's workloads are trusted")
}

// checkFree refuses a second rule of the same name, and one that would take another tenant's workloads.
func checkFree(tx *store.Tx, r TrustRule) error {
	var named, foreign int64
	err := tx.QueryRow(`SELECT COUNT(CASE WHEN tenant = $1 AND name = $2 THEN 1 END),
			COUNT(CASE WHEN tenant <> $1 AND cluster = $3 AND namespace = $4 AND service_account = $5 THEN 1 END)
		FROM trust_rules`, r.Tenant, r.Name, r.Cluster, r.Namespace, r.ServiceAccount).Scan(&named, &foreign)
	switch {
	case err != nil:
		return fmt.Errorf("look for trust rule %s: %w", r.Name, err)
	case named > 0:
		return fault.Conflict(codeTrustRuleExists, "there is a trust rule %.64q already: remove it first", r.Name)
	case foreign > 0:
		return fault.Conflict(codeTrustRuleExists, "these workloads belong to another tenant already")
	}
	return nil
}

// The codes of contract section 17's "list is longer".
const (
	codeTrustRuleExists   = "trust_rule_exists"
	codeTrustRuleNotFound = "trust_rule_not_found"
)

func deleteTrustRule(tx *store.Tx, tenant, name string) error {
	done, err := tx.Exec(`DELETE FROM trust_rules WHERE tenant = $1 AND (name = $2 OR id = $2)`, tenant, name)
	if err != nil {
		return fmt.Errorf("remove trust rule: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return fault.NotFound(codeTrustRuleNotFound, "there is no trust rule %.64q", name)
}
