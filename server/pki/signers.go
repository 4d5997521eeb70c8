package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/seal"
)

// maxSigners is how many opened keys of authorities stay in memory.
const maxSigners = 256

// signers keeps opened keys by what their rows are sealed under, which is new whenever a key is.
type signers struct {
	mu    sync.Mutex
	known map[seal.Ref]crypto.Signer
}

func newSigners() *signers { return &signers{known: map[seal.Ref]crypto.Signer{}} }

func (k *signers) get(ref seal.Ref) crypto.Signer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known[ref]
}

func (k *signers) put(ref seal.Ref, key crypto.Signer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= maxSigners {
		clear(k.known)
	}
	k.known[ref] = key
}

// keyReference is what a sealed private key is bound to. No secret has such a path.
func keyReference(tenant, id, uid string) seal.Ref {
	return seal.Ref{Tenant: tenant, Path: "pki:" + id, UID: uid, Version: 1}
}

// signer opens the private key of an authority.
func (s *Service) signer(ctx context.Context, tenant string, a authority) (crypto.Signer, error) {
	ref := keyReference(tenant, a.ID, a.UID)
	if key := s.signers.get(ref); key != nil {
		return key, nil
	}
	plain, err := s.keys.OpenValue(ctx, ref, a.Sealed)
	if err != nil {
		return nil, sealing(err, a.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain.Reveal())
	key, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil, fault.Internal(errors.New("the key of an authority cannot be read"), "authority %s", a.ID)
	}
	s.signers.put(ref, key)
	return key, nil
}

// sealedKey is a private key between sealing and wrapping.
type sealedKey struct {
	ref   seal.Ref
	key   seal.DataKey
	value []byte
}

// sealKey seals a private key for a row that is about to be written.
func (s *Service) sealKey(ctx context.Context, ref seal.Ref, key crypto.Signer) (sealedKey, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return sealedKey{}, fmt.Errorf("encode a private key: %w", err)
	}
	k := sealedKey{ref: ref}
	k.key, k.value, err = s.keys.Seal(ctx, ref, der)
	return k, sealing(err, ref.Path)
}

// sealing gives a failure of the key chain its kind; faults stand as they are.
func sealing(err error, what string) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.Internal(err, "key of %s", what)
}
