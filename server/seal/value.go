package seal

import (
	"context"
	"fmt"
	"strconv"

	"github.com/scailabs/scaivault/server/store"
)

// Ref is what a sealed value is bound to: it opens nowhere else. UID is random per version.
type Ref struct {
	Tenant, Path, UID string
	Version           int64
}

// Sealed is a value as a row keeps it.
type Sealed struct {
	KeyVersion int64  // of the tenant key that wraps the data key
	Wrapped    []byte // the data key
	Value      []byte
}

// DataKey is the key of one version between Seal and Wrap. It does not print, like Plaintext.
type DataKey struct{ key Plaintext }

// Seal seals a value with a new data key, bound to tenant, path and uid; the version is not known yet. It
// is called before the transaction; Wrap belongs inside it.
func (k *Keyring) Seal(ctx context.Context, ref Ref, plaintext []byte) (DataKey, []byte, error) {
	if err := k.usable(); err != nil {
		return DataKey{}, nil, err
	}
	if _, err := k.topUp(ctx, ref.Tenant); err != nil {
		return DataKey{}, nil, err
	}
	key := randomKey()
	aead, err := newAEAD(key[:])
	if err != nil {
		return DataKey{}, nil, err
	}
	return DataKey{key: NewPlaintext(key[:])}, lock(aead, plaintext, valueBound(ref)), nil
}

func valueBound(ref Ref) []byte { return bind("value", ref.Tenant, ref.Path, ref.UID) }

func dataKeyBound(ref Ref) []byte {
	return bind("data key", ref.Tenant, ref.Path, strconv.FormatInt(ref.Version, 10), ref.UID)
}

// Wrap wraps a data key with the tenant's active key, bound to ref, and returns that key's version. It
// does no work outside tx; a data key may be wrapped again when a transaction is repeated.
func (k *Keyring) Wrap(tx *store.Tx, ref Ref, dk DataKey) (int64, []byte, error) {
	a, err := k.current(tx, ref.Tenant)
	if err != nil {
		return 0, nil, err
	}
	a.budget.Add(-1)
	return a.version, lock(a.aead, dk.key.Reveal(), dataKeyBound(ref)), nil
}

// current returns the key that is active in tx. Where this process is the only writer, what it knows is so.
// Elsewhere the row is held against destruction, not against rolling, until tx ends.
func (k *Keyring) current(tx *store.Tx, tenant string) (*activeKey, error) {
	a := k.knownActive(tenant)
	if k.db.Exclusive() && a != nil && !a.retired.Load() {
		return a, nil
	}
	query := queryActive
	if !k.db.Exclusive() {
		query += ` FOR KEY SHARE OF k`
	}
	row, err := scanKey(tx.QueryRow(query, kindTenant, tenant))
	if err != nil {
		return nil, fmt.Errorf("active key of tenant %s: %w", tenant, err)
	}
	if a != nil && a.version == row.id.version {
		return a, nil
	}
	aead, err := k.unwrapTenant(row)
	if err != nil {
		return nil, err
	}
	a = &activeKey{keyID: row.id, aead: aead}
	tx.AfterCommit(func() { k.install(a, row.created) })
	return a, nil
}

// OpenValue opens a value from its row. It fails with ErrTampered in its chain if anything of the row was
// changed or the row was moved.
func (k *Keyring) OpenValue(ctx context.Context, ref Ref, s Sealed) (Plaintext, error) {
	if err := k.usable(); err != nil {
		return Plaintext{}, err
	}
	tenantKey, err := k.tenantKey(ctx, keyID{ref.Tenant, s.KeyVersion})
	if err != nil {
		return Plaintext{}, err
	}
	key, err := unlock(tenantKey, s.Wrapped, dataKeyBound(ref))
	if err != nil {
		return Plaintext{}, fmt.Errorf("data key: %w", err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return Plaintext{}, err
	}
	value, err := unlock(aead, s.Value, valueBound(ref))
	if err != nil {
		return Plaintext{}, fmt.Errorf("value: %w", err)
	}
	return NewPlaintext(value), nil
}
