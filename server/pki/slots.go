package pki

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
)

// Audit actions of slots (contract section 25).
const (
	ActionSlotPrepare  = "pki_ca_slot_prepare"
	ActionSlotActivate = "pki_ca_slot_activate"
	ActionSlotRetire   = "pki_ca_slot_retire"
	ActionSlotList     = "pki_ca_slot_list"
	ActionBundle       = "pki_ca_bundle_read"
)

const maxSlots = 100 // of an authority, with those that are retired

// Slots returns all slots of an authority, the oldest first. Scope pki:admin or pki:issue. Error: ca_not_found.
func (s *Service) Slots(ctx context.Context, who guard.Caller, ref string) (vaultapi.AuthoritySlotList, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionSlotList, ref), func(*guard.Call) (vaultapi.AuthoritySlotList, error) {
		_, all, err := s.authoritySlots(ctx, who.Tenant, ref)
		l := vaultapi.AuthoritySlotList{Slots: []vaultapi.AuthoritySlot{}}
		for _, v := range all {
			l.Slots = append(l.Slots, v.wire())
		}
		l.Data = l.Slots
		return l, err
	})
}

func (s *Service) authoritySlots(ctx context.Context, tenant, ref string) (authority, []slot, error) {
	a, err := s.authority(ctx, tenant, ref)
	if err != nil {
		return a, nil, err
	}
	all, err := s.slotsNow(ctx, tenant, a)
	return a, all, err
}

// Bundle returns what those who trust an authority trust: the certificates of its slots that are neither retired nor
// expired, the active one first; of a revoked authority none. Scope pki:admin or pki:issue. Error: ca_not_found.
func (s *Service) Bundle(ctx context.Context, who guard.Caller, ref string) (vaultapi.AuthorityBundle, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionBundle, ref), func(c *guard.Call) (vaultapi.AuthorityBundle, error) {
		a, all, err := s.authoritySlots(ctx, who.Tenant, ref)
		b := vaultapi.AuthorityBundle{CAID: a.ID, Certificates: []string{}}
		if err != nil || a.Revoked != nil {
			return b, err
		}
		slices.SortStableFunc(all, func(x, y slot) int { return rank(x) - rank(y) })
		for _, v := range all {
			if v.State != slotRetired && v.NotAfter > c.Now().UnixMicro() {
				text := certs.EncodeCertificates(v.Cert.Raw)
				b.Certificates, b.BundlePEM = append(b.Certificates, text), b.BundlePEM+text
			}
		}
		return b, nil
	})
}

// rank puts the active slot first.
func rank(v slot) int {
	if v.State == slotActive {
		return 0
	}
	return 1
}

// PrepareSlot makes the next key of an authority and its certificate, which is published but signs nothing yet. Scope
// pki:admin. Errors: ca_not_found, ca_inactive, ca_external, slot_exists, validation_error.
func (s *Service) PrepareSlot(ctx context.Context, who guard.Caller, ref string, w vaultapi.AuthoritySlotWrite) (vaultapi.AuthoritySlot, error) {
	access := admin(ActionSlotPrepare, ref)
	a, p, err := s.prepareSlot(ctx, who, access, ref, w)
	if err != nil {
		return refused[vaultapi.AuthoritySlot](ctx, s, who, access, err)
	}
	return guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (vaultapi.AuthoritySlot, error) {
		if err := s.parentUnchanged(c, p); err != nil { // first: whoever revokes a tree begins above, too
			return vaultapi.AuthoritySlot{}, err
		}
		r, err := s.rotating(c, a.ID)
		if err != nil {
			return vaultapi.AuthoritySlot{}, err
		}
		v := slot{UID: p.uid, CA: a.ID, Created: c.Now().UnixMicro(), Sealed: seal.Sealed{Value: p.sealed.value}}
		if v.Cert, err = x509.ParseCertificate(p.der); err != nil {
			return vaultapi.AuthoritySlot{}, fault.Internal(err, "slot of authority %s", a.Name)
		}
		if v.Sealed.KeyVersion, v.Sealed.Wrapped, err = s.keys.Wrap(c.Tx, p.sealed.ref, p.sealed.key); err != nil {
			return vaultapi.AuthoritySlot{}, sealing(err, a.ID)
		}
		return r.add(v)
	})
}

// prepareSlot does what takes time before the transaction.
func (s *Service) prepareSlot(ctx context.Context, who guard.Caller, access guard.Access, ref string, w vaultapi.AuthoritySlotWrite) (a authority, p plan, err error) {
	if _, err := s.guard.Check(ctx, who, access, 0); err != nil {
		return a, p, err
	}
	if a, err = s.authority(ctx, who.Tenant, ref); err != nil {
		return a, p, err
	}
	if a.external() {
		return a, p, fault.Conflict(fault.CodeCAExternal,
			"authority %s was signed outside: POST /v1/pki/ca-requests with ca_id makes the request for its next certificate", a.Name).With("ca_id", a.ID)
	}
	if p, err = s.planned(ctx, who.Tenant, a.again(w, s.guard.Now())); err != nil {
		return a, p, err
	}
	p.id = a.ID
	return a, p, s.complete(ctx, who.Tenant, &p)
}

// again describes an authority as it is, for another key.
func (a authority) again(w vaultapi.AuthoritySlotWrite, now time.Time) vaultapi.AuthorityWrite {
	have := a.wire(now)
	if w.KeyType == "" {
		w.KeyType, w.KeySize = have.KeyType, have.KeySize
	}
	return vaultapi.AuthorityWrite{
		Name: a.Name, CommonName: have.CommonName, CAType: a.Type, ParentCAID: a.Parent, KeyType: w.KeyType, KeySize: w.KeySize,
		ValidityDays: w.ValidityDays, MaxPathLength: have.MaxPathLength, PermittedDNSDomains: have.PermittedDNSDomains,
		ExcludedDNSDomains: have.ExcludedDNSDomains, PermittedIPRanges: have.PermittedIPRanges, ExcludedIPRanges: have.ExcludedIPRanges,
	}
}

// rotation is an authority that is held in a transaction, with its slots.
type rotation struct {
	c      *guard.Call
	a      authority
	all    []slot
	stored bool // the rows of the slots are there
}

// rotating holds an authority that is not revoked.
func (s *Service) rotating(c *guard.Call, ref string) (rotation, error) {
	a, err := findAuthority(c.Tx.QueryRow, c.Who.Tenant, ref, s.db.ForUpdate())
	if err != nil {
		return rotation{}, err
	}
	if a.Revoked != nil {
		return rotation{}, fault.Conflict(fault.CodeCAInactive, "authority %s is revoked: make another", a.Name).With("ca_id", a.ID)
	}
	c.Note("ca_id", a.ID)
	r := rotation{c: c, a: a}
	r.all, r.stored, err = slots(c.Tx.Query, c.Who.Tenant, a)
	return r, err
}

// add stores a slot that is prepared, the only one.
func (r rotation) add(v slot) (vaultapi.AuthoritySlot, error) {
	for _, other := range r.all {
		if other.State == slotPrepared {
			return vaultapi.AuthoritySlot{}, fault.Conflict(fault.CodeSlotExists,
				"authority %s has a slot that is prepared: activate or retire it first", r.a.Name).With("slot_id", slotPrefix+other.UID)
		}
	}
	if len(r.all) >= maxSlots {
		return vaultapi.AuthoritySlot{}, fault.Conflict(fault.CodeSlotExists, "authority %s has had %d slots: make another authority", r.a.Name, maxSlots)
	}
	v.State, v.Serial, v.NotAfter = slotPrepared, certs.FormatSerial(v.Cert.SerialNumber), v.Cert.NotAfter.UnixMicro()
	r.c.Note("slot_id", slotPrefix+v.UID)
	r.c.Note("serial_number", v.Serial)
	if !r.stored {
		if err := insertSlot(r.c, r.a.activeSlot()); err != nil {
			return vaultapi.AuthoritySlot{}, err
		}
	}
	return v.wire(), insertSlot(r.c, v)
}

// find finds a slot by its id.
func (r rotation) find(id string) (slot, error) {
	for _, v := range r.all {
		if slotPrefix+v.UID == id {
			r.c.Note("slot_id", id)
			r.c.Note("serial_number", v.Serial)
			return v, nil
		}
	}
	return slot{}, fault.NotFound(fault.CodeSlotNotFound, "authority %s has no slot %.128q", r.a.Name, id)
}

// ActivateSlot has a slot sign from now on: one that is prepared, or one that is retiring, which takes a rotation back.
// The slot that was active stays published. Scope pki:admin. Errors: ca_not_found, ca_inactive, slot_not_found,
// slot_inactive.
func (s *Service) ActivateSlot(ctx context.Context, who guard.Caller, ref, id string) (vaultapi.AuthoritySlot, error) {
	return guard.Change(ctx, s.guard, who, admin(ActionSlotActivate, ref), func(c *guard.Call) (vaultapi.AuthoritySlot, error) {
		r, err := s.rotating(c, ref)
		if err != nil {
			return vaultapi.AuthoritySlot{}, err
		}
		v, err := r.find(id)
		if err != nil {
			return vaultapi.AuthoritySlot{}, err
		}
		if v.State == slotActive {
			return v.wire(), nil
		}
		if v.State == slotRetired || v.NotAfter <= c.Now().UnixMicro() {
			return vaultapi.AuthoritySlot{}, fault.Conflict(fault.CodeSlotInactive,
				"slot %s is retired or has expired: prepare another", id).With("slot_id", id)
		}
		return r.swap(v)
	})
}

// swap gives the key and certificate of a slot to the authority, and what that had to its own slot.
func (r rotation) swap(v slot) (vaultapi.AuthoritySlot, error) {
	now := r.c.Now().UnixMicro()
	old := r.all[slices.IndexFunc(r.all, func(v slot) bool { return v.State == slotActive })]
	old.State, old.Deactivated, old.Sealed = slotRetiring, &now, r.a.Sealed
	if err := updateSlot(r.c, old); err != nil {
		return vaultapi.AuthoritySlot{}, err
	}
	_, err := r.c.Tx.Exec(slotUse, r.c.Who.Tenant, r.a.ID, v.UID, v.Serial, v.Cert.Raw, v.NotAfter, v.Sealed.KeyVersion, v.Sealed.Wrapped, v.Sealed.Value)
	if err != nil {
		return vaultapi.AuthoritySlot{}, fmt.Errorf("activate slot %s: %w", v.UID, err)
	}
	v.State, v.Deactivated, v.Sealed = slotActive, nil, seal.Sealed{}
	if v.Activated == nil {
		v.Activated = &now
	}
	return v.wire(), updateSlot(r.c, v)
}
