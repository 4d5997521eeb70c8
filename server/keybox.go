package server

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/seal"
)

// keyBox wraps the audit trail's signing key by a key of the chain, so that the database alone does not give it
// away. Until the chain is open it wraps nothing.
type keyBox struct {
	mu   sync.Mutex
	keys *seal.Keyring
}

func (b *keyBox) open(keys *seal.Keyring) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = keys
}

func (b *keyBox) aead() (cipher.AEAD, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys == nil {
		return nil, fault.Unavailable(errors.New("no root key"), "the key chain is not open")
	}
	key, err := b.keys.Derive("audit signing key")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("audit key box: %w", err)
	}
	return cipher.NewGCM(block)
}

// Seal implements audit.KeyBox.
func (b *keyBox) Seal(_ context.Context, plain []byte) ([]byte, error) {
	aead, err := b.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	return aead.Seal(nonce, nonce, plain, nil), nil
}

// Open implements audit.KeyBox.
func (b *keyBox) Open(_ context.Context, sealed []byte) ([]byte, error) {
	aead, err := b.aead()
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("the sealed audit signing key is too short")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil {
		return nil, fmt.Errorf("unwrap audit signing key: %w", err)
	}
	return plain, nil
}
