package seal

import (
	"context"
	"fmt"

	"github.com/scailabs/scaivault/server/store"
)

// topUp returns the active key of a tenant with wraps counted ahead. Wrap itself does not count in the
// database, so that a write costs no extra statement; at worst the wraps of one chunk are never made.
func (k *Keyring) topUp(ctx context.Context, tenant string) (*activeKey, error) {
	a, err := k.activeKey(ctx, tenant)
	if err != nil || k.plenty(a) {
		return a, err
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	for range maxReservations {
		if a = k.knownActive(tenant); k.plenty(a) {
			return a, nil
		}
		if err := k.reserve(ctx, a); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("tenant %s: no active key stays active", tenant)
}

// maxReservations in a row are enough to find that another replica rolled the key, to roll it again, and to
// pay for what was wrapped meanwhile.
const maxReservations = 8

// plenty leaves room for writes that are under way when the last chunk ends.
func (k *Keyring) plenty(a *activeKey) bool { return a.budget.Load() > k.chunk/4 }

// reserve counts a chunk of wraps for a, or rolls the tenant's key where a is worn out or no longer active.
func (k *Keyring) reserve(ctx context.Context, a *activeKey) error {
	partner, aead, err := k.partnerFor(ctx, a.owner)
	if err != nil {
		return err
	}
	var stale bool
	err = k.db.Update(ctx, func(tx *store.Tx) error {
		wraps, active, err := reserveWraps(tx, a.keyID, k.chunk)
		if stale = err == nil && !active; err != nil || stale {
			return err
		}
		if wraps <= k.limit {
			tx.AfterCommit(func() { a.budget.Add(k.chunk) })
			return nil
		}
		newest, err := newestVersion(tx, a.owner)
		if err != nil {
			return err
		}
		return k.roll(tx, a, newTenantKey(aead, a.owner, partner, newest+1))
	})
	if err != nil {
		return fmt.Errorf("count wraps of tenant %s: %w", a.owner, err)
	}
	if stale {
		_, err = k.loadActive(ctx, a.owner)
	}
	return err
}

// roll retires a and makes next the active key.
func (k *Keyring) roll(tx *store.Tx, a *activeKey, next keyRow) error {
	if err := retireKey(tx, a.keyID); err != nil {
		return err
	}
	if _, err := insertKey(tx, next); err != nil {
		return err
	}
	successor, err := k.unwrapTenant(next)
	if err != nil {
		return err
	}
	a.retired.Store(true)
	created := tx.Now().UnixMicro()
	tx.AfterCommit(func() { k.install(&activeKey{keyID: next.id, aead: successor}, created) })
	return nil
}
