package seal

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
)

// ErrWrongRootKey says that the root key at hand is missing or did not wrap the keys of this database.
var ErrWrongRootKey = errors.New("the root key does not open this database")

// Root wraps partner keys. Key services take no associated data, so what is given to Wrap names its owner
// itself and is checked after Unwrap.
type Root interface {
	Wrap(ctx context.Context, plaintext []byte) ([]byte, error)
	// Unwrap fails with ErrWrongRootKey where wrapped is not this root's; any other error means that the
	// root does not answer now.
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

// wrapPartner has root wrap a partner's key together with the partner and the key's version.
func wrapPartner(ctx context.Context, root Root, id keyID, key []byte) ([]byte, error) {
	wrapped, err := root.Wrap(ctx, append(partnerLabel(id), key...))
	if err != nil {
		return nil, fmt.Errorf("wrap key %d of partner %s: %w", id.version, id.owner, err)
	}
	return wrapped, nil
}

// unwrapPartner returns the key of that partner and version, or ErrWrongRootKey.
func unwrapPartner(ctx context.Context, root Root, id keyID, wrapped []byte) ([]byte, error) {
	plain, err := root.Unwrap(ctx, wrapped)
	if err != nil {
		return nil, fmt.Errorf("unwrap key %d of partner %s: %w", id.version, id.owner, err)
	}
	label := partnerLabel(id)
	if len(plain) != len(label)+keySize || subtle.ConstantTimeCompare(plain[:len(label)], label) != 1 {
		return nil, fmt.Errorf("key %d of partner %s is another's: %w", id.version, id.owner, ErrWrongRootKey)
	}
	return plain[len(label):], nil
}

func partnerLabel(id keyID) []byte {
	return bind("partner key", id.owner, strconv.FormatInt(id.version, 10))
}
