package secretpolicies

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Create makes a policy. Scope admin. Errors: validation_error, secret_policy_exists.
func (s *Service) Create(ctx context.Context, who guard.Caller, w vaultapi.SecretPolicyWrite) (vaultapi.SecretPolicy, error) {
	a, id := access(ActionCreate, ""), newID()
	w.Fields = tidy(w.Fields)
	d, err := s.sealed(ctx, who, a, id, &w.Fields)
	if err != nil {
		return refused[vaultapi.SecretPolicy](ctx, s, who, a, err)
	}
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretPolicy, error) {
		r := record{ID: id, Created: c.Now().UnixMicro(), Updated: c.Now().UnixMicro()}
		r.alter(whole(w))
		c.Note("secret_policy_id", r.ID)
		c.Note("secret_policy_name", r.Name)
		if err := s.accept(c, &r, record{}, d); err != nil {
			return vaultapi.SecretPolicy{}, err
		}
		return r.wire(w.Fields), insert(c.Tx, who.Tenant, r)
	})
}

// Replace replaces all of a policy. Scope admin. Errors: those of Create, secret_policy_not_found.
func (s *Service) Replace(ctx context.Context, who guard.Caller, ref string, w vaultapi.SecretPolicyWrite) (vaultapi.SecretPolicy, error) {
	return s.edit(ctx, who, ref, whole(w))
}

// Patch changes what is given. Scope admin. Errors: those of Create, secret_policy_not_found.
func (s *Service) Patch(ctx context.Context, who guard.Caller, ref string, p vaultapi.SecretPolicyPatch) (vaultapi.SecretPolicy, error) {
	return s.edit(ctx, who, ref, p)
}

// whole is a patch that changes everything.
func whole(w vaultapi.SecretPolicyWrite) vaultapi.SecretPolicyPatch {
	active := w.IsActive == nil || *w.IsActive
	if w.PolicyType == "" {
		w.PolicyType = defaultType
	}
	return vaultapi.SecretPolicyPatch{Name: &w.Name, Description: &w.Description, PolicyType: &w.PolicyType, Fields: &w.Fields, IsActive: &active}
}

// alter changes all but the recipe.
func (r *record) alter(p vaultapi.SecretPolicyPatch) {
	set(&r.Name, p.Name)
	set(&r.Description, p.Description)
	set(&r.Type, p.PolicyType)
	set(&r.Active, p.IsActive)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// edit finds a policy, changes it and stores what came of it.
func (s *Service) edit(ctx context.Context, who guard.Caller, ref string, p vaultapi.SecretPolicyPatch) (vaultapi.SecretPolicy, error) {
	a := access(ActionUpdate, ref)
	if p.Fields != nil {
		fields := tidy(*p.Fields)
		p.Fields = &fields
	}
	id, d, err := s.sealedEdit(ctx, who, a, ref, p)
	if err != nil {
		return refused[vaultapi.SecretPolicy](ctx, s, who, a, err)
	}
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretPolicy, error) {
		have, err := s.locked(c, id)
		if err != nil {
			return vaultapi.SecretPolicy{}, err
		}
		want := have
		want.alter(p)
		want.Updated = c.Now().UnixMicro()
		if err := s.accept(c, &want, have, d); err != nil {
			return vaultapi.SecretPolicy{}, err
		}
		if err := update(c.Tx, who.Tenant, want); err != nil {
			return vaultapi.SecretPolicy{}, err
		}
		fields, err := s.open(ctx, who.Tenant, want)
		return want.wire(fields), err
	})
}

// sealedEdit finds whose recipe it is and seals the new one, if there is one: what is sealed is bound to the id.
func (s *Service) sealedEdit(ctx context.Context, who guard.Caller, a guard.Access, ref string, p vaultapi.SecretPolicyPatch) (string, draft, error) {
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil {
		return "", draft{}, err
	}
	have, err := s.found(ctx, who.Tenant, ref)
	if err != nil {
		return "", draft{}, unread(err)
	}
	d, err := s.sealed(ctx, who, a, have.ID, p.Fields)
	return have.ID, d, err
}

// locked finds a policy in a change and keeps it from changing otherwise.
func (s *Service) locked(c *guard.Call, ref string) (record, error) {
	r, err := find(c.Tx.QueryRow, c.Who.Tenant, ref, s.db.ForUpdate())
	if err == nil {
		c.Note("secret_policy_id", r.ID)
		c.Note("secret_policy_name", r.Name)
	}
	return r, err
}

// accept checks a policy as it is to be, and puts in the recipe.
func (s *Service) accept(c *guard.Call, want *record, have record, d draft) error {
	if err := want.check(); err != nil {
		return err
	}
	if want.Name != have.Name {
		if err := nameFree(c, want.Name); err != nil {
			return err
		}
	}
	return s.put(c, want, d)
}

// nameFree refuses a name that another policy of the tenant has.
func nameFree(c *guard.Call, name string) error {
	known, err := find(c.Tx.QueryRow, c.Who.Tenant, name, "")
	switch {
	case fault.Is(err, fault.CodeSecretPolicyNotFound):
		return nil
	case err != nil:
		return err
	}
	return exists(known)
}

// refused records a call that was found impossible before its transaction. Where the caller may not make the call at
// all, he learns only that.
func refused[T any](ctx context.Context, s *Service, who guard.Caller, a guard.Access, err error) (T, error) {
	return guard.Do(ctx, s.guard, who, a, func(*guard.Call) (zero T, _ error) { return zero, err })
}

// tidy writes a config that is null as one that is absent.
func tidy(fields []vaultapi.SecretPolicyField) []vaultapi.SecretPolicyField {
	tidied := slices.Clone(fields)
	for i, f := range tidied {
		if string(f.Config) == "null" {
			tidied[i].Config = nil
		}
	}
	return tidied
}

// encode writes a recipe as it is sealed.
func encode(fields []vaultapi.SecretPolicyField) ([]byte, error) {
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fault.Invalid(fault.CodeInvalidRequest, "fields are not JSON") // the cause would quote a value
	}
	return raw, nil
}
