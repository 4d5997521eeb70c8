package policies

import (
	"context"
	"slices"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Bindings lists who holds a policy, those whose time is over too. Scope policies:read. Error:
// policy_not_found.
func (s *Service) Bindings(ctx context.Context, who guard.Caller, ref string) (vaultapi.BindingList, error) {
	return guard.Do(ctx, s.guard, who, access(ActionBindingList, ScopeRead, ref), func(*guard.Call) (vaultapi.BindingList, error) {
		r, err := s.found(ctx, who, ref)
		if err != nil {
			return vaultapi.BindingList{}, unread(err)
		}
		all, err := listBindings(s.rows(ctx), who.Tenant, r.ID)
		if err != nil {
			return vaultapi.BindingList{}, unread(err)
		}
		wire := wireBindings(all)
		return vaultapi.BindingList{Bindings: wire, Data: wire}, nil
	})
}

// Bind gives a policy to an identity, which need not exist yet. Scope policies:write. An equal
// binding is returned as it is, one whose time is over is replaced. Errors: policy_not_found,
// validation_error, managed_resource, forbidden for the caller himself, binding_exists where the
// identity holds the policy until another time.
func (s *Service) Bind(ctx context.Context, who guard.Caller, ref string, w vaultapi.BindingWrite) (vaultapi.Binding, error) {
	return guard.Change(ctx, s.guard, who, access(ActionBind, ScopeWrite, ref), func(c *guard.Call) (vaultapi.Binding, error) {
		want, err := newBinding(c, w)
		if err != nil {
			return vaultapi.Binding{}, err
		}
		r, revision, err := s.locked(c, ref)
		if err != nil {
			return vaultapi.Binding{}, err
		}
		want.PolicyID = r.ID
		if err := mayBind(who, r, want); err != nil {
			return vaultapi.Binding{}, err
		}
		return s.bind(c, r, want, revision)
	})
}

func mayBind(who guard.Caller, r record, want held) error {
	if err := mayEdit(who, r, want.Owner); err != nil {
		return err
	}
	return notForSelf(who, want.Type, want.Identity)
}

// newBinding checks a body.
func newBinding(c *guard.Call, w vaultapi.BindingWrite) (held, error) {
	kind, err := checkIdentity(w.IdentityType, w.IdentityID)
	if err != nil {
		return held{}, err
	}
	h := held{ID: newID(bindingPrefix), Type: kind, Identity: w.IdentityID, Owner: w.Owner, Created: c.Now().UnixMicro()}
	if w.ExpiresAt == "" {
		return h, nil
	}
	end, err := vaultapi.ParseTime(w.ExpiresAt)
	if err != nil || end.Year() > 9999 {
		return held{}, invalidFields(map[string]string{"expires_at": "must be an RFC 3339 time or a date such as 2026-12-31"})
	}
	if !end.After(c.Now()) {
		return held{}, invalidFields(map[string]string{"expires_at": "must be in the future"})
	}
	micros := end.Truncate(time.Microsecond).UnixMicro()
	h.Expires = &micros
	return h, nil
}

func (s *Service) bind(c *guard.Call, r record, want held, revision int64) (vaultapi.Binding, error) {
	known, found, err := maybeBinding(c.Tx.QueryRow(heldBindingQuery, c.Who.Tenant, r.ID, want.Type, want.Identity))
	if err != nil {
		return vaultapi.Binding{}, err
	}
	switch {
	case found && sameEnd(known.Expires, want.Expires):
		return known.wire(), nil
	case found && !over(known, c.Now()):
		return vaultapi.Binding{}, fault.Conflict(fault.CodeBindingExists, "%s holds policy %s already, until another time: remove that binding first", known.Identity, r.Name).
			With("binding_id", known.ID)
	case found:
		if err := s.unbind(c, r, known); err != nil {
			return vaultapi.Binding{}, err
		}
	}
	if err := insertBinding(c.Tx, c.Who.Tenant, want); err != nil {
		return vaultapi.Binding{}, err
	}
	c.Note("binding_id", want.ID)
	c.Note("bound_identity", want.Identity)
	if err := s.raise(c, revision, exchange(r.ID, known.ID, &want)); err != nil {
		return vaultapi.Binding{}, err
	}
	return want.wire(), c.Emit(EventBindingCreated, "", bindingChangeOf(c, r, want))
}

func sameEnd(a, b *int64) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func over(h held, now time.Time) bool { return h.Expires != nil && *h.Expires <= now.UnixMicro() }

// Unbind takes a policy from an identity. owner says who asks, where the policy is owned. Scope as
// of Delete. Errors: policy_not_found, binding_not_found, managed_resource.
func (s *Service) Unbind(ctx context.Context, who guard.Caller, ref, bindingID, owner string) error {
	a := access(ActionUnbind, ScopeWrite, ref)
	a.AltScopes = []string{ScopeRelease}
	_, err := guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (struct{}, error) {
		r, revision, err := s.locked(c, ref)
		if err != nil {
			return struct{}{}, err
		}
		if err := mayRelease(who, r); err != nil {
			return struct{}{}, err
		}
		if err := mayEdit(who, r, owner); err != nil {
			return struct{}{}, err
		}
		h, err := findBinding(c, r, bindingID)
		if err != nil {
			return struct{}{}, err
		}
		c.Note("binding_id", h.ID)
		if err := s.unbind(c, r, h); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.raise(c, revision, exchange(r.ID, h.ID, nil))
	})
	return err
}

func findBinding(c *guard.Call, r record, id string) (held, error) {
	if !isName(id) {
		return held{}, bindingNotFound(id, r.Name)
	}
	h, found, err := maybeBinding(c.Tx.QueryRow(findBindingQuery, c.Who.Tenant, r.ID, id))
	if err == nil && !found {
		err = bindingNotFound(id, r.Name)
	}
	return h, err
}

// unbind removes a binding and says so; the caller raises the revision.
func (s *Service) unbind(c *guard.Call, r record, h held) error {
	if err := deleteBinding(c.Tx, c.Who.Tenant, h.ID); err != nil {
		return err
	}
	c.Note("unbound_identity", h.Identity)
	return c.Emit(EventBindingDeleted, "", bindingChangeOf(c, r, h))
}

// exchange takes the binding gone, if there is one, out of a policy and puts fresh, unless nil, in.
func exchange(policyID, gone string, fresh *held) func(*policy.Set) (*policy.Set, error) {
	return func(set *policy.Set) (*policy.Set, error) {
		p, found := set.Policy(policyID)
		if !found {
			return nil, errNotInSet
		}
		p.Bindings = slices.DeleteFunc(slices.Clone(p.Bindings), func(b policy.Binding) bool { return b.ID == gone })
		if fresh != nil {
			p.Bindings = append(p.Bindings, compiledBinding(*fresh))
		}
		return set.With(p)
	}
}

// bindingChange is the data of policy.binding.created and policy.binding.deleted.
type bindingChange struct {
	BindingID    string         `json:"binding_id"`
	PolicyID     string         `json:"policy_id"`
	PolicyName   string         `json:"policy_name"`
	IdentityType string         `json:"identity_type"`
	IdentityID   string         `json:"identity_id"`
	ExpiresAt    *vaultapi.Time `json:"expires_at"`
	ChangedBy    string         `json:"changed_by"`
}

func bindingChangeOf(c *guard.Call, r record, h held) bindingChange {
	return bindingChange{
		BindingID: h.ID, PolicyID: r.ID, PolicyName: r.Name, IdentityType: h.Type, IdentityID: h.Identity,
		ExpiresAt: vaultapi.MaybeAt(h.Expires), ChangedBy: c.Who.ID,
	}
}
