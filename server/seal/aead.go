package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// keySize of every key of the chain: AES-256.
const keySize = 32

// format is the first byte of whatever this package seals; it is bound as well, through bind.
const format = 1

// ErrTampered says that what was read is not what was sealed under this name.
var ErrTampered = errors.New("sealed bytes were changed, or moved from another place")

// randomKey draws a key. The reader of crypto/rand never fails: it ends the process rather.
func randomKey() (key [keySize]byte) {
	_, _ = rand.Read(key[:])
	return key
}

// newAEAD makes AES-256-GCM that draws its nonce from crypto/rand and puts it before the ciphertext.
func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("a key has %d bytes, not %d", keySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("aes: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("gcm: %w", err)
	}
	return aead, nil
}

// lock seals plaintext under what bind gave.
func lock(aead cipher.AEAD, plaintext, bound []byte) []byte {
	out := make([]byte, 1, 1+len(plaintext)+aead.Overhead())
	out[0] = format
	return aead.Seal(out, nil, plaintext, bound) //nolint:gosec // the AEAD draws the nonce itself and takes none
}

// unlock is the reverse of lock; every failure is ErrTampered.
func unlock(aead cipher.AEAD, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < 1+aead.Overhead() || sealed[0] != format {
		return nil, ErrTampered
	}
	plaintext, err := aead.Open(nil, nil, sealed[1:], bound)
	if err != nil {
		return nil, ErrTampered
	}
	return plaintext, nil
}

// bind encodes the format, a purpose and parts so that no two lists of parts give the same bytes.
func bind(purpose string, parts ...string) []byte {
	n := 2 + len(purpose)
	for _, p := range parts {
		n += binary.MaxVarintLen32 + len(p)
	}
	b := make([]byte, 0, n)
	b = append(b, format)
	b = appendPart(b, purpose)
	for _, p := range parts {
		b = appendPart(b, p)
	}
	return b
}

func appendPart(b []byte, part string) []byte {
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}
