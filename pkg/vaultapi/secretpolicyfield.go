package vaultapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// SecretPolicyField is one generated field of a recipe (contract section 7). Its config does not print: a static
// value may be in it.
type SecretPolicyField struct {
	Name      string          `json:"name"`
	Generator string          `json:"generator"` // random | hex | uuid | template | rsa_keypair | ec_keypair | ssh_keypair | bcrypt_hash | static
	Config    json.RawMessage `json:"config,omitempty"`
}

// String is the field without its config.
func (f SecretPolicyField) String() string { return f.Generator + " " + f.Name }

// GoString is String.
func (f SecretPolicyField) GoString() string { return f.String() }

// Format is String, whatever the verb.
func (f SecretPolicyField) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(f.String())) }

// LogValue is String.
func (f SecretPolicyField) LogValue() slog.Value { return slog.StringValue(f.String()) }
