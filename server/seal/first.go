package seal

import (
	"context"
	"fmt"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// makeFirst gives an empty database its default partner and tenant and their keys, in one transaction.
// Where another replica was first, its keys stay.
func (k *Keyring) makeFirst(ctx context.Context) error {
	partner := keyID{guard.DefaultPartner, 1}
	secret := randomKey()
	wrapped, err := wrapPartner(ctx, k.root, partner, secret[:])
	if err != nil {
		return err
	}
	aead, err := newAEAD(secret[:])
	if err != nil {
		return err
	}
	err = k.db.Update(ctx, func(tx *store.Tx) error {
		if err := insertDefaults(tx); err != nil {
			return err
		}
		first, err := insertKey(tx, keyRow{kind: kindPartner, id: partner, wrapped: wrapped})
		if err != nil || !first {
			return err
		}
		_, err = insertKey(tx, newTenantKey(aead, guard.DefaultTenant, partner, 1))
		return err
	})
	if err != nil {
		return fmt.Errorf("make the first keys: %w", err)
	}
	return nil
}
