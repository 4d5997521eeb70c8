package rotation

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// CreatePolicy makes a policy without secrets. Scope admin or rotation:manage. Errors: validation_error,
// invalid_duration, policy_exists, secret_policy_not_found, forbidden for another cluster's owner.
func (s *Service) CreatePolicy(ctx context.Context, who guard.Caller, w vaultapi.RotationPolicyWrite) (vaultapi.RotationPolicy, error) {
	p := policy{id: newID(policyPrefix), name: w.Name, owner: w.Owner, active: w.IsActive == nil || *w.IsActive}
	w.Name, w.Owner, w.IsActive = "", "", nil
	p.settings = w
	return guard.Change(ctx, s.guard, who, managing(ActionPolicyCreate, ""), func(c *guard.Call) (vaultapi.RotationPolicy, error) {
		if err := checkSettings(p.name, p.settings, c.Now()); err != nil {
			return vaultapi.RotationPolicy{}, err
		}
		if err := guard.CheckOwner(who, p.owner); err != nil {
			return vaultapi.RotationPolicy{}, err
		}
		known, err := s.book.policyOf(c.Tx.QueryRow, who.Tenant, p.name)
		if !fault.Is(err, fault.CodeRotationPolicyNotFound) {
			if err == nil {
				err = policyExists(known.name, known.id, known.owner)
			}
			return vaultapi.RotationPolicy{}, err
		}
		if err := s.linked(c, &p, nil); err != nil {
			return vaultapi.RotationPolicy{}, err
		}
		p.created, p.updated = c.Now().UnixMicro(), c.Now().UnixMicro()
		noted(c, p)
		if err := s.insert(c.Tx, who.Tenant, p); err != nil {
			return vaultapi.RotationPolicy{}, err
		}
		return s.shown(who.Tenant, p)
	})
}

// linked names a policy's secret policy by its id, and refuses webhooks that are not there. Those the policy had
// already may have been deleted since: nothing is sent to them.
func (s *Service) linked(c *guard.Call, p *policy, had []string) (err error) {
	if p.settings.SecretPolicyID != "" {
		if p.settings.SecretPolicyID, err = s.recipes.Find(c, p.settings.SecretPolicyID); err != nil {
			return err
		}
	}
	added := slices.DeleteFunc(slices.Clone(p.settings.WebhookIDs), func(id string) bool { return slices.Contains(had, id) })
	missing, err := s.receivers.Missing(c, added)
	if err != nil || len(missing) == 0 {
		return err
	}
	return fault.Validation(map[string]string{
		"webhook_ids": "there is no webhook " + strings.Join(missing, ", ") + ": list them with GET /v1/webhooks",
	})
}

func noted(c *guard.Call, p policy) {
	c.Note("rotation_policy_id", p.id)
	c.Note("rotation_policy_name", p.name)
}

func (s *Service) insert(tx *store.Tx, tenant string, p policy) error {
	text, err := p.text()
	if err != nil {
		return err
	}
	_, err = tx.Exec(insertPolicy, tenant, p.id, p.name, text, p.settings.SecretPolicyID, p.owner, number(p.active), p.created, p.updated)
	return nameTaken(err, p.name)
}

// nameTaken is of two who take one name at once.
func nameTaken(err error, name string) error {
	switch {
	case err == nil:
		return nil
	case store.IsUnique(err):
		return policyExists(name, "", "")
	}
	return fmt.Errorf("store rotation policy %s: %w", name, err)
}

func (s *Service) shown(tenant string, p policy) (vaultapi.RotationPolicy, error) {
	plan, err := s.book.plans.of(tenant, p)
	return p.wire(plan), err
}

// Policy reads a policy. Scope admin or rotation:manage. Errors: rotation_policy_not_found.
func (s *Service) Policy(ctx context.Context, who guard.Caller, ref string) (vaultapi.RotationPolicy, error) {
	return guard.Do(ctx, s.guard, who, managing(ActionPolicyRead, ref), func(*guard.Call) (vaultapi.RotationPolicy, error) {
		p, err := counted(s.row(ctx), who.Tenant, ref)
		if err != nil {
			return vaultapi.RotationPolicy{}, unread(err)
		}
		return s.shown(who.Tenant, p)
	})
}

// counted finds a policy with the number of its secrets.
func counted(query queryRow, tenant, ref string) (policy, error) {
	if !isName(ref) {
		return policy{}, policyNotFound(ref)
	}
	return maybePolicy(query(findPolicy, tenant, ref), ref)
}

func (s *Service) row(ctx context.Context) queryRow {
	return func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }
}

// PolicyQuery selects policies.
type PolicyQuery struct {
	ActiveOnly bool
	Owner      string // all of it, or leading parts such as k8s:home
	Limit      int
	Cursor     string
}

// Policies lists policies by name. Scope admin or rotation:manage. Errors: invalid_cursor.
func (s *Service) Policies(ctx context.Context, who guard.Caller, q PolicyQuery) (vaultapi.RotationPolicyList, error) {
	return guard.Do(ctx, s.guard, who, managing(ActionPolicyList, ""), func(*guard.Call) (vaultapi.RotationPolicyList, error) {
		list, err := s.policyPage(ctx, who.Tenant, q)
		return list, unread(err)
	})
}

func (s *Service) policyPage(ctx context.Context, tenant string, q PolicyQuery) (vaultapi.RotationPolicyList, error) {
	var list vaultapi.RotationPolicyList
	query := fmt.Sprintf("policies %v %s", q.ActiveOnly, q.Owner)
	after, err := s.cursors.Read(tenant, query, q.Cursor)
	if err != nil {
		return list, err
	}
	rows, err := s.db.Query(ctx, listPolicies, tenant, after, q.Owner, number(q.ActiveOnly), q.Limit+1)
	if err != nil {
		return list, fmt.Errorf("list rotation policies: %w", err)
	}
	found, err := collect(rows, scanPolicy)
	if err != nil {
		return list, fmt.Errorf("list rotation policies: %w", err)
	}
	wire := []vaultapi.RotationPolicy{}
	for _, p := range found[:min(len(found), q.Limit)] {
		one, err := s.shown(tenant, p)
		if err != nil {
			return list, err
		}
		wire = append(wire, one)
	}
	list.Policies, list.Data, list.HasMore = wire, wire, len(found) > q.Limit
	if list.HasMore {
		next := s.cursors.Write(tenant, query, wire[len(wire)-1].Name)
		list.Cursor = &next
	}
	return list, nil
}

// PatchPolicy changes the fields given, and when the policy's secrets are due. Scope admin or rotation:manage. Errors:
// those of CreatePolicy, rotation_policy_not_found, managed_resource.
func (s *Service) PatchPolicy(ctx context.Context, who guard.Caller, ref string, w vaultapi.RotationPolicyPatch) (vaultapi.RotationPolicy, error) {
	return s.edit(ctx, who, ref, editing{owner: w.Owner, action: ActionPolicyUpdate, alter: func(p policy) policy { return patched(p, w) }})
}

// SetActive pauses a policy, or ends the pause. Assignments stay. Scope and errors as of PatchPolicy.
func (s *Service) SetActive(ctx context.Context, who guard.Caller, ref, owner string, active bool) (vaultapi.RotationPolicy, error) {
	return s.edit(ctx, who, ref, editing{owner: owner, action: ActionPolicyUpdate, alter: func(p policy) policy {
		p.active = active
		return p
	}})
}

// editing is a change of a policy.
type editing struct {
	owner  string // who asks, where the policy is owned
	action string
	alter  func(policy) policy
}

// edit changes a policy, and begins to plan its secrets anew where that concerns them.
func (s *Service) edit(ctx context.Context, who guard.Caller, ref string, e editing) (vaultapi.RotationPolicy, error) {
	return guard.Change(ctx, s.guard, who, managing(e.action, ref), func(c *guard.Call) (vaultapi.RotationPolicy, error) {
		var zero vaultapi.RotationPolicy
		if !isName(ref) {
			return zero, policyNotFound(ref)
		}
		have, err := maybePolicy(c.Tx.QueryRow(lockPolicy+s.db.ForUpdate(), who.Tenant, ref), ref)
		if err != nil {
			return zero, err
		}
		noted(c, have)
		if err := have.owned().MayEdit(who, e.owner); err != nil {
			return zero, err
		}
		next := e.alter(have)
		if err := checkSettings(next.name, next.settings, c.Now()); err != nil {
			return zero, err
		}
		if err := s.linked(c, &next, have.settings.WebhookIDs); err != nil {
			return zero, err
		}
		if reflect.DeepEqual(have, next) {
			return s.counted(c, next)
		}
		next.updated = max(c.Now().UnixMicro(), have.updated+1)
		if err := s.store(c, have, next); err != nil {
			return zero, err
		}
		return s.counted(c, next)
	})
}

func (s *Service) store(c *guard.Call, have, next policy) error {
	text, err := next.text()
	if err != nil {
		return err
	}
	_, err = c.Tx.Exec(updatePolicy, c.Who.Tenant, next.id, next.name, text, next.settings.SecretPolicyID, number(next.active), next.updated)
	if err := nameTaken(err, next.name); err != nil {
		return err
	}
	if have.active == next.active && scheduleText(have.settings, c.Now()).Same(scheduleText(next.settings, c.Now())) &&
		have.settings.AutoGenerate == next.settings.AutoGenerate {
		return nil
	}
	return s.replan(c, next, "")
}

func (s *Service) counted(c *guard.Call, p policy) (vaultapi.RotationPolicy, error) {
	p, err := counted(c.Tx.QueryRow, c.Who.Tenant, p.id)
	if err != nil {
		return vaultapi.RotationPolicy{}, err
	}
	return s.shown(c.Who.Tenant, p)
}

// DeletePolicy removes a policy and detaches its secrets, whose old versions keep their grace. Scope admin or
// rotation:manage; owned:release suffices for what the caller's own cluster owns. Errors: rotation_policy_not_found,
// managed_resource.
func (s *Service) DeletePolicy(ctx context.Context, who guard.Caller, ref, owner string) error {
	a := managing(ActionPolicyDelete, ref)
	a.AltScopes = append(a.AltScopes, ScopeRelease)
	_, err := guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (struct{}, error) {
		if !isName(ref) {
			return struct{}{}, policyNotFound(ref)
		}
		p, err := maybePolicy(c.Tx.QueryRow(lockPolicy+s.db.ForUpdate(), who.Tenant, ref), ref)
		if err != nil {
			return struct{}{}, err
		}
		noted(c, p)
		if err := mayRelease(who, p); err != nil {
			return struct{}{}, err
		}
		if err := p.owned().MayEdit(who, owner); err != nil {
			return struct{}{}, err
		}
		if _, err := c.Tx.Exec(hidePolicy, who.Tenant, p.id, c.Now().UnixMicro()); err != nil {
			return struct{}{}, fmt.Errorf("delete rotation policy %s: %w", p.id, err)
		}
		return struct{}{}, s.empty(c, p.id)
	})
	return err
}

// mayRelease lets a token that only releases remove only what is owned.
func mayRelease(who guard.Caller, p policy) error {
	if who.Type == guard.TypeSystem || who.HasScope(ScopeAdmin) || who.HasScope(ScopeManage) || p.owner != "" {
		return nil
	}
	return fault.Forbidden(fault.CodeInsufficientScope, "rotation policy %s has no owner: removing it needs scope %s", p.name, ScopeAdmin).
		With("required_scope", ScopeAdmin)
}
