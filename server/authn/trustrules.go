package authn

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// ScopeTrust lets a token see and change trust rules, as scope admin does.
const ScopeTrust = "trust:manage"

// Audit actions of trust rules.
const (
	ActionTrustCreate = "trust_rule_create"
	ActionTrustList   = "trust_rule_list"
	ActionTrustRead   = "trust_rule_read"
	ActionTrustUpdate = "trust_rule_update"
	ActionTrustDelete = "trust_rule_delete"
)

const (
	defaultTrustPage = 100
	maxTrustPage     = 1000
)

// trustAccess describes a call about one rule. What cannot be an id or a name is not repeated in the audit trail.
func trustAccess(action, ref string) guard.Access {
	a := guard.Access{Action: action, Scope: ScopeTrust, AltScopes: []string{scopeAdmin}}
	if validRuleRef(ref) {
		a.Target = ref
	}
	return a
}

// CreateTrustRule stores a rule in who's tenant; its defaults are filled in. Scope trust:manage. Errors:
// validation_error, invalid_duration, trust_rule_exists when name or alias are taken or workloads belong to another
// tenant; insufficient_scope and forbidden for what only a super_admin may give.
func (s *Service) CreateTrustRule(ctx context.Context, who guard.Caller, w vaultapi.TrustRuleWrite) (vaultapi.TrustRule, error) {
	fresh := TrustRule{Tenant: who.Tenant, ID: newID(trustPrefix)}
	return guard.Change(ctx, s.guard, who, trustAccess(ActionTrustCreate, fresh.ID), func(c *guard.Call) (vaultapi.TrustRule, error) {
		r, err := fresh.written(w)
		if err != nil {
			return vaultapi.TrustRule{}, err
		}
		others, err := s.lockTrust(c.Tx)
		if err != nil {
			return vaultapi.TrustRule{}, err
		}
		if err := mayGive(who, others, r); err != nil {
			return vaultapi.TrustRule{}, err
		}
		if err := free(others, r); err != nil {
			return vaultapi.TrustRule{}, err
		}
		r.CreatedAt = c.Now()
		noteTrust(c, r)
		return r.wire(), insertTrustRule(c.Tx, r)
	})
}

// TrustFilter selects rules.
type TrustFilter struct {
	Cluster string // "": of every cluster
	Limit   int    // 0: 100; at most 1000
	Cursor  string // as a page before gave it
}

// TrustRules lists the rules of who's tenant by name. Scope trust:manage. Errors: invalid_cursor, invalid_request.
func (s *Service) TrustRules(ctx context.Context, who guard.Caller, f TrustFilter) (vaultapi.TrustRuleList, error) {
	return guard.Do(ctx, s.guard, who, trustAccess(ActionTrustList, ""), func(*guard.Call) (vaultapi.TrustRuleList, error) {
		if f.Limit == 0 {
			f.Limit = defaultTrustPage
		}
		if f.Limit < 1 || f.Limit > maxTrustPage {
			return vaultapi.TrustRuleList{}, fault.Invalid(fault.CodeInvalidRequest, "limit must be 1 to %d", maxTrustPage).With("parameter", "limit")
		}
		rules, err := trustRulesOf(ctx, s.db, who.Tenant)
		if err != nil {
			return vaultapi.TrustRuleList{}, fault.Unavailable(err, "trust rules cannot be read now")
		}
		return f.page(rules)
	})
}

// page cuts a page out of all rules of a tenant; its cursor is the last rule's id.
func (f TrustFilter) page(rules []TrustRule) (vaultapi.TrustRuleList, error) {
	if f.Cursor != "" {
		at := slices.IndexFunc(rules, func(r TrustRule) bool { return r.ID == f.Cursor })
		if at < 0 {
			return vaultapi.TrustRuleList{}, fault.Invalid(fault.CodeInvalidCursor, "the cursor does not belong to this list: begin again without one")
		}
		rules = rules[at+1:]
	}
	wire := []vaultapi.TrustRule{}
	for _, r := range rules {
		if f.Cluster == "" || f.Cluster == r.Cluster {
			wire = append(wire, r.wire())
		}
	}
	list := vaultapi.TrustRuleList{HasMore: len(wire) > f.Limit}
	if list.HasMore {
		wire = wire[:f.Limit]
		list.Cursor = &wire[f.Limit-1].ID
	}
	list.TrustRules, list.Data = wire, wire
	return list, nil
}

// TrustRule returns the rule of an id or a name. Scope trust:manage. Error: trust_rule_not_found.
func (s *Service) TrustRule(ctx context.Context, who guard.Caller, ref string) (vaultapi.TrustRule, error) {
	return guard.Do(ctx, s.guard, who, trustAccess(ActionTrustRead, ref), func(*guard.Call) (vaultapi.TrustRule, error) {
		rules, err := trustRulesOf(ctx, s.db, who.Tenant)
		if err != nil {
			return vaultapi.TrustRule{}, fault.Unavailable(err, "trust rules cannot be read now")
		}
		r, _, err := pick(rules, who.Tenant, ref)
		return r.wire(), err
	})
}

// ReplaceTrustRule replaces all of a rule but its id. Scope trust:manage. Errors as of CreateTrustRule, and
// trust_rule_not_found, managed_resource for a rule that start-up flags keep.
func (s *Service) ReplaceTrustRule(ctx context.Context, who guard.Caller, ref string, w vaultapi.TrustRuleWrite) (vaultapi.TrustRule, error) {
	return s.editTrust(ctx, who, ref, func(r TrustRule) (TrustRule, error) { return r.written(w) })
}

// PatchTrustRule changes the fields given. Scope trust:manage. Errors as of ReplaceTrustRule.
func (s *Service) PatchTrustRule(ctx context.Context, who guard.Caller, ref string, p vaultapi.TrustRulePatch) (vaultapi.TrustRule, error) {
	return s.editTrust(ctx, who, ref, func(r TrustRule) (TrustRule, error) { return r.patched(p) })
}

func (s *Service) editTrust(ctx context.Context, who guard.Caller, ref string, alter func(TrustRule) (TrustRule, error)) (vaultapi.TrustRule, error) {
	return guard.Change(ctx, s.guard, who, trustAccess(ActionTrustUpdate, ref), func(c *guard.Call) (vaultapi.TrustRule, error) {
		rules, err := s.lockTrust(c.Tx)
		if err != nil {
			return vaultapi.TrustRule{}, err
		}
		have, others, err := pick(rules, who.Tenant, ref)
		if err != nil {
			return vaultapi.TrustRule{}, err
		}
		if have.Owner != "" {
			return vaultapi.TrustRule{}, managed(have)
		}
		want, err := alter(have)
		if err != nil || reflect.DeepEqual(have, want) {
			return want.wire(), err
		}
		if err := mayAlter(who, others, have, want); err != nil {
			return vaultapi.TrustRule{}, err
		}
		noteTrust(c, want)
		return want.wire(), replaceTrustRule(c.Tx, want)
	})
}

func mayAlter(who guard.Caller, others []TrustRule, have, want TrustRule) error {
	if !have.sameWorkloads(want) {
		if err := mayLift(who, others, have); err != nil {
			return err
		}
	}
	if err := mayGive(who, others, want); err != nil {
		return err
	}
	return free(others, want)
}

func managed(r TrustRule) error {
	return fault.Conflict(fault.CodeManagedResource,
		"trust rule %s is kept by the server's start-up flags: remove it and add one of your own of that name, which the flags leave alone", r.Name).
		With("owner", r.Owner)
}

// DeleteTrustRule removes a rule; tokens it gave live on until they expire. One that start-up flags keep comes
// back at the next start, unless there is another of its name. Scope trust:manage. Errors: trust_rule_not_found,
// insufficient_scope and forbidden where only a super_admin may.
func (s *Service) DeleteTrustRule(ctx context.Context, who guard.Caller, ref string) error {
	_, err := guard.Change(ctx, s.guard, who, trustAccess(ActionTrustDelete, ref), func(c *guard.Call) (struct{}, error) {
		rules, err := s.lockTrust(c.Tx)
		if err != nil {
			return struct{}{}, err
		}
		r, others, err := pick(rules, who.Tenant, ref)
		if err != nil {
			return struct{}{}, err
		}
		if err := mayLift(who, others, r); err != nil {
			return struct{}{}, err
		}
		noteTrust(c, r)
		return struct{}{}, deleteTrustRule(c.Tx, r.Tenant, r.ID)
	})
	return err
}

// pick takes the rule of a tenant with an id or a name out of rules.
func pick(rules []TrustRule, tenant, ref string) (r TrustRule, others []TrustRule, err error) {
	at := slices.IndexFunc(rules, func(r TrustRule) bool { return r.Tenant == tenant && (r.ID == ref || r.Name == ref) })
	if at < 0 {
		return TrustRule{}, nil, fault.NotFound(fault.CodeTrustRuleNotFound, "there is no trust rule %.64q", ref)
	}
	return rules[at], slices.Concat(rules[:at], rules[at+1:]), nil
}

func noteTrust(c *guard.Call, r TrustRule) {
	c.Note("rule_id", r.ID)
	c.Note("rule", r.Name)
	c.Note("identity", r.Identity)
	c.Note("scopes", strings.Join(r.Scopes, " "))
}
