package generate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/ssh"
)

// publicName is the field of the public half where the recipe names none: private_key and public_key,
// tls_private_key and tls_public_key, deploy and deploy_public.
func publicName(private string) string {
	if strings.Contains(private, "private") {
		return strings.Replace(private, "private", "public", 1)
	}
	return private + "_public"
}

// pairField makes two fields: the private half under name, the public half under config.public_field.
func (c *config) pairField(name string, slow bool, pair func(source) ([]any, error)) field {
	public := c.twin("public_field", publicName(name))
	return field{names: []string{name, public}, random: true, slow: slow, make: pair}
}

// rsaField makes a pair in PEM: PKCS #8 and PKIX.
func (c *config) rsaField(name string) field {
	bits := c.oneOfNumbers("bits", 2048, 4096)
	return c.pairField(name, true, func(s source) ([]any, error) {
		key, err := rsa.GenerateKey(s.random, bits)
		if err != nil {
			return nil, fmt.Errorf("RSA key: %w", err)
		}
		return pemPair(key, key.Public())
	})
}

// ecField makes a pair in PEM: PKCS #8 and PKIX.
func (c *config) ecField(name string) field {
	curve := elliptic.P256()
	if c.choice("curve", "P-256", "P-384") == "P-384" {
		curve = elliptic.P384()
	}
	return c.pairField(name, false, func(s source) ([]any, error) {
		key, err := ecdsa.GenerateKey(curve, s.random)
		if err != nil {
			return nil, fmt.Errorf("EC key: %w", err)
		}
		return pemPair(key, key.Public())
	})
}

func pemPair(private crypto.PrivateKey, public crypto.PublicKey) ([]any, error) {
	inner, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode the private key: %w", err)
	}
	outer, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	return []any{pemText("PRIVATE KEY", inner), pemText("PUBLIC KEY", outer)}, nil
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

const (
	maxComment = 256
	sshBits    = 4096 // of an RSA key for SSH
)

// sshField makes a pair as OpenSSH keeps it: its own PEM, and a line of authorized_keys.
func (c *config) sshField(name string) field {
	kind := c.choice("key_type", "ed25519", "rsa")
	comment := c.line("comment", maxComment)
	return c.pairField(name, kind == "rsa", func(s source) ([]any, error) {
		private, public, err := s.sshKey(kind)
		if err != nil {
			return nil, err
		}
		return sshPair(private, public, comment)
	})
}

func (s source) sshKey(kind string) (crypto.PrivateKey, crypto.PublicKey, error) {
	if kind == "rsa" {
		key, err := rsa.GenerateKey(s.random, sshBits)
		if err != nil {
			return nil, nil, fmt.Errorf("RSA key: %w", err)
		}
		return key, key.Public(), nil
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, fmt.Errorf("ed25519 key: %w", err)
	}
	return private, public, nil
}

func sshPair(private crypto.PrivateKey, public crypto.PublicKey, comment string) ([]any, error) {
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return nil, fmt.Errorf("encode the private key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")
	if comment != "" {
		line += " " + comment
	}
	return []any{string(pem.EncodeToMemory(block)), line + "\n"}, nil
}

// Bounds of bcrypt. It reads no more than 72 bytes of a password, so that more would add nothing.
const (
	MaxBcryptLength = 72
	MaxRounds       = 14 // about a second
)

// bcryptField makes two fields: an alphanumeric password under name, its hash under config.hash_field.
func (c *config) bcryptField(name string) field {
	length := c.number("length", span{1, MaxBcryptLength, DefaultLength})
	rounds := c.number("rounds", span{bcrypt.MinCost, MaxRounds, 12})
	names := []string{name, c.twin("hash_field", name+"_hash")}
	return field{names: names, random: true, slow: true, make: func(s source) ([]any, error) {
		password, err := s.draw(alphanumeric, length)
		if err != nil {
			return nil, err
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(password), rounds)
		if err != nil {
			return nil, fmt.Errorf("bcrypt: %w", err)
		}
		return []any{password, string(hash)}, nil
	}}
}
