package seal

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// newTenantKey draws a tenant key and wraps it with the partner's.
func newTenantKey(aead cipher.AEAD, tenant string, partner keyID, version int64) keyRow {
	key := randomKey()
	id := keyID{tenant, version}
	return keyRow{
		kind: kindTenant, id: id, parent: partner.version, partner: partner.owner, state: stateActive,
		wrapped: lock(aead, key[:], tenantBound(id, partner)),
	}
}

func tenantBound(id, partner keyID) []byte {
	return bind("tenant key", partner.owner, strconv.FormatInt(partner.version, 10), id.owner, strconv.FormatInt(id.version, 10))
}

// unwrapTenant opens a tenant's key with a partner key that is at hand.
func (k *Keyring) unwrapTenant(r keyRow) (cipher.AEAD, error) {
	partner := keyID{r.partner, r.parent}
	k.mu.RLock()
	parent := k.partners[partner]
	k.mu.RUnlock()
	if parent == nil {
		return nil, fault.Unavailable(fmt.Errorf("key %d of partner %s is not open", partner.version, partner.owner), "keys are changing; repeat the call")
	}
	key, err := unlock(parent, r.wrapped, tenantBound(r.id, partner))
	if err != nil {
		return nil, fmt.Errorf("key %d of tenant %s: %w", r.id.version, r.id.owner, err)
	}
	return newAEAD(key)
}

func (k *Keyring) knownTenantKey(id keyID) cipher.AEAD {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.tenants[id]
}

// tenantKey returns one version of a tenant's key, from memory if it was used before.
func (k *Keyring) tenantKey(ctx context.Context, id keyID) (cipher.AEAD, error) {
	if aead := k.knownTenantKey(id); aead != nil {
		return aead, nil
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	if aead := k.knownTenantKey(id); aead != nil {
		return aead, nil
	}
	row, err := scanKey(k.db.QueryRow(ctx, queryKey, kindTenant, id.owner, id.version))
	if errors.Is(err, sql.ErrNoRows) || err == nil && row.state == stateDestroyed {
		return nil, fmt.Errorf("key %d of tenant %s does not exist: %w", id.version, id.owner, ErrTampered)
	}
	if err != nil {
		return nil, fmt.Errorf("key %d of tenant %s: %w", id.version, id.owner, err)
	}
	return k.admit(ctx, row)
}

// admit unwraps a tenant's key, with its partner's key if need be, and keeps it.
func (k *Keyring) admit(ctx context.Context, row keyRow) (cipher.AEAD, error) {
	if err := k.openPartner(ctx, keyID{row.partner, row.parent}); err != nil {
		return nil, err
	}
	aead, err := k.unwrapTenant(row)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tenants[row.id] = aead
	return aead, nil
}

func (k *Keyring) openPartner(ctx context.Context, id keyID) error {
	k.mu.RLock()
	known := k.partners[id] != nil
	k.mu.RUnlock()
	if known {
		return nil
	}
	row, err := scanKey(k.db.QueryRow(ctx, queryKey, kindPartner, id.owner, id.version))
	if err != nil {
		return fmt.Errorf("key %d of partner %s: %w", id.version, id.owner, err)
	}
	_, err = k.unwrapPartner(ctx, row)
	return err
}

func (k *Keyring) knownActive(tenant string) *activeKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.active[tenant]
}

// activeKey returns the key that wraps for a tenant. A tenant's first key is made here.
func (k *Keyring) activeKey(ctx context.Context, tenant string) (*activeKey, error) {
	if a := k.knownActive(tenant); a != nil {
		return a, nil
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	if a := k.knownActive(tenant); a != nil {
		return a, nil
	}
	return k.loadActive(ctx, tenant)
}

func (k *Keyring) loadActive(ctx context.Context, tenant string) (*activeKey, error) {
	row, err := scanKey(k.db.QueryRow(ctx, queryActive, kindTenant, tenant))
	if errors.Is(err, sql.ErrNoRows) {
		if err := k.makeTenantKey(ctx, tenant); err != nil {
			return nil, err
		}
		row, err = scanKey(k.db.QueryRow(ctx, queryActive, kindTenant, tenant))
	}
	if err != nil {
		return nil, fmt.Errorf("active key of tenant %s: %w", tenant, err)
	}
	aead, err := k.admit(ctx, row)
	if err != nil {
		return nil, err
	}
	a := &activeKey{keyID: row.id, aead: aead}
	k.install(a, row.created)
	return a, nil
}

// install makes a the key that wraps for its tenant, unless a newer one does.
func (k *Keyring) install(a *activeKey, created int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tenants[a.keyID] = a.aead
	if old := k.active[a.owner]; old != nil && old.version >= a.version {
		return
	}
	k.active[a.owner] = a
	if a.owner == guard.DefaultTenant {
		k.rotated = time.UnixMicro(created).UTC()
	}
}

// makeTenantKey makes a tenant's first key.
func (k *Keyring) makeTenantKey(ctx context.Context, tenant string) error {
	partner, aead, err := k.partnerFor(ctx, tenant)
	if err != nil {
		return err
	}
	return k.db.Update(ctx, func(tx *store.Tx) error {
		_, err := insertKey(tx, newTenantKey(aead, tenant, partner, 1))
		return err
	})
}

// partnerFor opens the key that wraps new keys of a tenant.
func (k *Keyring) partnerFor(ctx context.Context, tenant string) (keyID, cipher.AEAD, error) {
	owner, err := partnerOf(ctx, k.db, tenant)
	if err != nil {
		return keyID{}, nil, err
	}
	if owner == "" {
		return keyID{}, nil, fault.NotFound(fault.CodeTenantNotFound, "tenant %s does not exist", tenant)
	}
	row, err := scanKey(k.db.QueryRow(ctx, queryActive, kindPartner, owner))
	if err != nil {
		return keyID{}, nil, fmt.Errorf("active key of partner %s: %w", owner, err)
	}
	if err := k.openPartner(ctx, row.id); err != nil {
		return keyID{}, nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return row.id, k.partners[row.id], nil
}
