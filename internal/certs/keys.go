package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"io"
)

// Kinds of keys.
const (
	RSA     = "rsa"
	EC      = "ec"
	Ed25519 = "ed25519"
)

// KeySpec is a kind of key and its size in bits.
type KeySpec struct {
	Type string
	Bits int
}

// Known fills in the usual size and reports whether there is such a kind: rsa 2048 (usual), 3072 or 4096; ec 256
// (usual), 384; ed25519.
func (k KeySpec) Known() (KeySpec, bool) {
	usual := map[string][]int{RSA: {2048, 3072, 4096}, EC: {256, 384}, Ed25519: {256}}[k.Type]
	if len(usual) > 0 && k.Bits == 0 {
		k.Bits = usual[0]
	}
	for _, bits := range usual {
		if bits == k.Bits {
			return k, true
		}
	}
	return k, false
}

// Generate makes a key.
func (k KeySpec) Generate(random io.Reader) (crypto.Signer, error) {
	switch k.Type {
	case RSA:
		return rsa.GenerateKey(random, k.Bits)
	case EC:
		curve := elliptic.P256()
		if k.Bits == 384 {
			curve = elliptic.P384()
		}
		return ecdsa.GenerateKey(curve, random)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(random)
		return key, err
	}
	return nil, fmt.Errorf("no key of kind %q", k.Type)
}

// SpecOf says what kind of key a public key is.
func SpecOf(public crypto.PublicKey) KeySpec {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return KeySpec{RSA, key.N.BitLen()}
	case *ecdsa.PublicKey:
		return KeySpec{EC, key.Curve.Params().BitSize}
	case ed25519.PublicKey:
		return KeySpec{Ed25519, 256}
	}
	return KeySpec{}
}

// CheckPublicKey says what is wrong with a key that somebody brought: it must be of the role's kind and at least as
// large as the role's keys; other kinds, small RSA keys and unusual exponents are refused. "": nothing.
func CheckPublicKey(public crypto.PublicKey, want KeySpec) string {
	have := SpecOf(public)
	if have.Type != want.Type || have.Bits < want.Bits {
		return fmt.Sprintf("the key must be %s with at least %d bits, as the role says", want.Type, want.Bits)
	}
	if key, ok := public.(*rsa.PublicKey); ok && (have.Bits > 4096 || have.Bits%8 != 0 || key.N.Bit(0) == 0 || key.E != 65537) {
		return "an RSA key must have at most 4096 bits, in whole bytes, an odd modulus and the exponent 65537"
	}
	if _, ok := (KeySpec{have.Type, have.Bits}).Known(); have.Type == EC && !ok {
		return "an EC key must be on P-256 or P-384"
	}
	return ""
}
