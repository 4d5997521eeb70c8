package pki

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
)

// RetireSlot ends the trust in a slot that is not active, and destroys its key. Unless it is forced, nothing that the
// slot signed may be in use. Scope pki:admin. Errors: ca_not_found, ca_inactive, slot_not_found, slot_active, slot_in_use.
func (s *Service) RetireSlot(ctx context.Context, who guard.Caller, ref, id string, w vaultapi.AuthoritySlotRetire) (vaultapi.AuthoritySlot, error) {
	return guard.Change(ctx, s.guard, who, admin(ActionSlotRetire, ref), func(c *guard.Call) (vaultapi.AuthoritySlot, error) {
		r, err := s.rotating(c, ref)
		if err != nil {
			return vaultapi.AuthoritySlot{}, err
		}
		v, err := r.find(id)
		if err != nil {
			return vaultapi.AuthoritySlot{}, err
		}
		if v.State == slotRetired {
			return v.wire(), nil
		}
		if v.State == slotActive {
			return vaultapi.AuthoritySlot{}, fault.Conflict(fault.CodeSlotActive,
				"slot %s signs for authority %s: activate another first", id, r.a.Name).With("slot_id", id)
		}
		c.Note("force", w.Force)
		if !w.Force {
			if err := r.unused(v); err != nil {
				return vaultapi.AuthoritySlot{}, err
			}
		}
		now := c.Now().UnixMicro()
		if v.Deactivated == nil {
			v.Deactivated = &now
		}
		v.State, v.Sealed = slotRetired, seal.Sealed{}
		if _, err := c.Tx.Exec(authorityTouch, who.Tenant, r.a.ID); err != nil { // nothing more is answered by its key
			return vaultapi.AuthoritySlot{}, fmt.Errorf("retire slot %s: %w", id, err)
		}
		return v.wire(), updateSlot(c, v)
	})
}

// unused refuses while something that a slot signed is in use: certificates, or authorities below.
func (r rotation) unused(v slot) error {
	if v.Activated == nil {
		return nil
	}
	var count int64
	var last *int64
	err := r.c.Tx.QueryRow(slotIssued, r.c.Who.Tenant, r.a.ID, r.c.Now().UnixMicro(), *v.Activated, *v.Deactivated).Scan(&count, &last)
	if err != nil {
		return fmt.Errorf("certificates of slot %s: %w", v.UID, err)
	}
	below, err := r.below(v)
	if err != nil || count == 0 && len(below) == 0 {
		return err
	}
	f := fault.Conflict(fault.CodeSlotInUse, "slot %s has signed what is in use: %d certificates, %d authorities. "+
		"Renew them first, wait for their end, or retire it with force", slotPrefix+v.UID, count, len(below)).
		With("certificates", count).With("authorities", below)
	if last != nil {
		f = f.With("last_ends_at", vaultapi.AtMicros(*last))
	}
	return f
}

// below are the names of the authorities one of whose live certificates a slot signed.
func (r rotation) below(v slot) ([]string, error) {
	rows, err := r.c.Tx.Query(authorityColumns+`WHERE tenant = $1 AND parent_id = $2 AND revoked_at IS NULL`, r.c.Who.Tenant, r.a.ID)
	if err != nil {
		return nil, fmt.Errorf("authorities below %s: %w", r.a.ID, err)
	}
	children, err := collect(rows, scanAuthority)
	if err != nil {
		return nil, fmt.Errorf("authorities below %s: %w", r.a.ID, err)
	}
	names := []string{}
	for _, child := range children {
		all, _, err := slots(r.c.Tx.Query, r.c.Who.Tenant, child)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(own slot) bool {
			return own.State != slotRetired && own.NotAfter > r.c.Now().UnixMicro() && bytes.Equal(own.Cert.AuthorityKeyId, v.Cert.SubjectKeyId)
		}) {
			names = append(names, child.Name)
		}
	}
	return names, nil
}
