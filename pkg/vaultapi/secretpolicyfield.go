package vaultapi

import "encoding/json"

// SecretPolicyField is one generated field of a recipe (contract section 7).
type SecretPolicyField struct {
	Name      string          `json:"name"`
	Generator string          `json:"generator"`
	Config    json.RawMessage `json:"config,omitempty"`
}
