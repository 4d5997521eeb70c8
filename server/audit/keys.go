package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/scailabs/scaivault/server/store"
)

// metaKey names the row of table meta that holds the sealed seed of the signing key.
const metaKey = "audit_signing_key"

// signingKey signs checkpoints and, by a key derived from it, cursors.
type signingKey struct {
	id      string
	private ed25519.PrivateKey
	public  ed25519.PublicKey
	cursor  []byte
}

// keyring loads the installation's signing key when it is first needed, and makes it when there is none.
type keyring struct {
	db  *store.DB
	box KeyBox

	mu  sync.Mutex
	key *signingKey
}

func (k *keyring) load(ctx context.Context) (*signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key != nil {
		return k.key, nil
	}
	sealed, err := k.stored(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		if err := k.make(ctx); err != nil {
			return nil, fmt.Errorf("make audit signing key: %w", err)
		}
		sealed, err = k.stored(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read audit signing key: %w", err)
	}
	seed, err := k.box.Open(ctx, sealed)
	if err != nil {
		return nil, fmt.Errorf("unwrap audit signing key: %w", err)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("audit signing key has the wrong size")
	}
	k.key = newSigningKey(seed)
	return k.key, nil
}

func newSigningKey(seed []byte) *signingKey {
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(public)
	mac := hmac.New(sha256.New, seed)
	mac.Write([]byte("scaivault audit cursor v1"))
	return &signingKey{id: hex.EncodeToString(sum[:8]), private: private, public: public, cursor: mac.Sum(nil)}
}

func (k *keyring) stored(ctx context.Context) ([]byte, error) {
	var text string
	if err := k.db.QueryRow(ctx, `SELECT value FROM meta WHERE name = $1`, metaKey).Scan(&text); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// make stores a new key unless another replica was quicker.
func (k *keyring) make(ctx context.Context) error {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	sealed, err := k.box.Seal(ctx, seed)
	if err != nil {
		return err
	}
	return k.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`,
			metaKey, base64.StdEncoding.EncodeToString(sealed))
		return err
	})
}
