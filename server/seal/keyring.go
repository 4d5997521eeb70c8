package seal

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// A tenant key is rolled before it has wrapped this many data keys: random nonces allow 2^32, and a crash
// or a repeated transaction may leave some uncounted. Wraps are counted ahead in chunks.
const (
	wrapLimit = 1 << 30
	wrapChunk = 1 << 16
)

// keyID names one version of a partner's or a tenant's key.
type keyID struct {
	owner   string
	version int64
}

// partnerKey is an unwrapped partner key; secret is kept to derive from.
type partnerKey struct {
	cipher.AEAD
	secret []byte
}

// activeKey is the tenant key that wraps now. budget is what may still be wrapped before more is counted;
// retired is set when a transaction that is not yet committed rolled the key.
type activeKey struct {
	keyID
	aead    cipher.AEAD
	budget  atomic.Int64
	retired atomic.Bool
}

// Keyring is the key chain, opened by a root key. Unwrapped partner and tenant keys stay in memory, so
// that neither a key service nor the database is asked on the way to a value.
type Keyring struct {
	db     *store.DB
	root   Root
	closed error // why it opens nothing
	limit  int64
	chunk  int64
	origin *partnerKey // oldest key of the default partner: what Derive starts from

	changing sync.Mutex // held while keys are loaded or made; never taken inside a transaction
	mu       sync.RWMutex
	partners map[keyID]*partnerKey
	tenants  map[keyID]cipher.AEAD
	active   map[string]*activeKey
	rotated  time.Time // when the default tenant's active key was made
}

// Open opens the key chain. On an empty database it makes the first keys, whoever of several replicas comes
// first. Otherwise it only reads: with a root key that is nil or not the one of this database it fails with
// ErrWrongRootKey. The Keyring is never nil; after an error it opens nothing and Ready says why.
func Open(ctx context.Context, db *store.DB, root Root) (*Keyring, error) {
	k := &Keyring{
		db: db, root: root, limit: wrapLimit, chunk: wrapChunk,
		partners: map[keyID]*partnerKey{}, tenants: map[keyID]cipher.AEAD{}, active: map[string]*activeKey{},
	}
	if err := k.open(ctx); err != nil {
		k.closed = err
		return k, err
	}
	return k, nil
}

func (k *Keyring) open(ctx context.Context) error {
	if k.root == nil {
		return fmt.Errorf("%w: none was given", ErrWrongRootKey)
	}
	empty, err := Empty(ctx, k.db)
	if err != nil {
		return err
	}
	if empty {
		if err := k.makeFirst(ctx); err != nil {
			return err
		}
	}
	if err := k.loadPartners(ctx); err != nil {
		return err
	}
	_, err = k.activeKey(ctx, guard.DefaultTenant)
	return err
}

// loadPartners unwraps every partner's keys, which proves the root key.
func (k *Keyring) loadPartners(ctx context.Context) error {
	rows, err := partnerRows(ctx, k.db)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.state == stateDestroyed {
			continue
		}
		key, err := k.unwrapPartner(ctx, r)
		if err != nil {
			return err
		}
		if r.id.owner == guard.DefaultPartner && k.origin == nil {
			k.origin = key
		}
	}
	if k.origin == nil {
		return errors.New("the database holds values but no key of the default partner: restore its keys from a backup")
	}
	return nil
}

func (k *Keyring) unwrapPartner(ctx context.Context, r keyRow) (*partnerKey, error) {
	secret, err := unwrapPartner(ctx, k.root, r.id, r.wrapped)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(secret)
	if err != nil {
		return nil, err
	}
	key := &partnerKey{AEAD: aead, secret: secret}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.partners[r.id] = key
	return key, nil
}

// Ready is nil once values can be opened, and says why not otherwise.
func (k *Keyring) Ready() error { return k.closed }

// usable is Ready as an answer to a caller.
func (k *Keyring) usable() error {
	if k.closed == nil {
		return nil
	}
	return fault.Unavailable(k.closed, "the server has no root key that opens this database")
}

// Health is the keyring for `GET /v1/health/detailed` (contract section 16.1).
type Health struct {
	Status       string    // ok | error
	KeyStatus    string    // active | wrong_root_key | unavailable
	LastRotation time.Time // when the default tenant's active key was made; zero if none is open
}

// HealthCheck tells the state of the keys without touching them.
func (k *Keyring) HealthCheck() Health {
	switch {
	case k.closed == nil:
		k.mu.RLock()
		defer k.mu.RUnlock()
		return Health{Status: "ok", KeyStatus: "active", LastRotation: k.rotated}
	case errors.Is(k.closed, ErrWrongRootKey):
		return Health{Status: "error", KeyStatus: "wrong_root_key"}
	default:
		return Health{Status: "error", KeyStatus: "unavailable"}
	}
}

// Derive gives a key of 32 bytes for a purpose such as sealing cursors: the same in every replica, and
// lasting as long as the installation.
func (k *Keyring) Derive(purpose string) ([]byte, error) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, k.origin.secret, nil, "scaivault "+purpose, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive key for %s: %w", purpose, err)
	}
	return key, nil
}
