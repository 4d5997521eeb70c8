package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"

	"github.com/scailabs/scaivault/server/fault"
)

// A cursor is sealed, because the position it stands for may be a path that its holder must not learn of.
// It opens only for the tenant and the query it was made for (contract OC-1).
const (
	cursorPurpose   = "secret list cursor"
	maxCursorLength = 2 * maxPathLength
)

func (s *Service) cursorKey() (cipher.AEAD, error) {
	key, err := s.keys.Derive(cursorPurpose)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cursor key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// cursor seals a position in the list of a query.
func (s *Service) cursor(tenant string, q ListQuery, position string) (string, error) {
	key, err := s.cursorKey()
	if err != nil {
		return "", err
	}
	sealed := key.Seal(nil, nil, []byte(position), q.bound(tenant)) //nolint:gosec // the AEAD draws the nonce itself and takes none
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// position opens the cursor of a query; "" is the start.
func (s *Service) position(tenant string, q ListQuery) (string, error) {
	if q.Cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(q.Cursor) > maxCursorLength {
		return "", invalidCursor()
	}
	key, err := s.cursorKey()
	if err != nil {
		return "", err
	}
	position, err := key.Open(nil, nil, raw, q.bound(tenant))
	if err != nil {
		return "", invalidCursor()
	}
	return string(position), nil
}

// bound is what a cursor belongs to.
func (q ListQuery) bound(tenant string) []byte {
	return fmt.Appendf(nil, "%q %q %d", tenant, q.Prefix, q.ExpiringWithin)
}

func invalidCursor() error {
	return fault.Invalid(fault.CodeInvalidCursor, "the cursor does not belong to this list: start again without it")
}
