package vaultapi

import "encoding/json"

// Secret is one version of a secret with its values: GET /v1/secrets/{path}.
type Secret struct {
	SecretInfo
	Data Values `json:"data"`
}

// SecretInfo is a secret without its values: the answer to writes and metadata calls, and an item of lists.
type SecretInfo struct {
	Path             string         `json:"path"`
	SecretType       string         `json:"secret_type"` // kv | json | certificate | ssh_key | api_key: a hint
	Version          int64          `json:"version"`
	Etag             string         `json:"etag,omitempty"` // opaque; compare etags, never versions
	Metadata         map[string]any `json:"metadata,omitempty"`
	Tags             []string       `json:"tags"` // never null
	VersionCount     int64          `json:"version_count,omitempty"`
	MaxVersions      int64          `json:"max_versions,omitempty"`
	AccessCount30d   int64          `json:"access_count_30d"`
	LastAccessedAt   *Time          `json:"last_accessed_at,omitempty"`
	CreatedAt        Time           `json:"created_at"`
	UpdatedAt        Time           `json:"updated_at"`
	ExpiresAt        *Time          `json:"expires_at"`
	NotifyBefore     Thresholds     `json:"notify_before"` // when the expiry is announced, such as 30d,7d,1d; "": only when it has come
	RotationPolicyID *string        `json:"rotation_policy_id"`
	RotationStatus   string         `json:"rotation_status,omitempty"` // none | scheduled: whether it is under a rotation policy
	SecretPolicyID   *string        `json:"secret_policy_id"`          // the recipe that it was generated from
}

// WriteRequest is the body of PUT /v1/secrets/{path}.
type WriteRequest struct {
	Data       json.RawMessage `json:"data,omitempty"`        // a JSON object of at most 1 MiB; required without generate_from
	SecretType string          `json:"secret_type,omitempty"` // absent: kv at creation, unchanged afterwards
	Metadata   map[string]any  `json:"metadata,omitempty"`    // description, tags, owner, own keys; at most 16 KiB
	Options    WriteOptions    `json:"options,omitzero"`

	// GenerateFrom is the secret policy, by id or name, that makes the value: its fields replace those of their names
	// in the newest version. Then data must be absent.
	GenerateFrom string `json:"generate_from,omitempty"`
}

// WriteOptions change how a write is kept.
type WriteOptions struct {
	MaxVersions int64  `json:"max_versions,omitempty"` // versions to keep; default 10
	ExpiresIn   string `json:"expires_in,omitempty"`   // duration, such as 1h

	// NotifyBefore is when the expiry is announced by secret.expiring: durations as in "30d,7d,1d", or a list of
	// them; at most 16. Absent: unchanged, 30d,7d,1d at creation. Empty: not at all.
	NotifyBefore *Thresholds `json:"notify_before,omitempty"`
	CASVersion   *int64      `json:"cas_version,omitempty"` // write only if this is the current version; 0: must not exist

	RotationPolicyID string `json:"rotation_policy_id,omitempty"` // attaches the secret to a rotation policy, by id or name
}

// MetadataPatch is the body of PATCH /v1/secrets/{path}[/metadata]: a merge. A null removes a key; tags replace.
type MetadataPatch struct {
	Metadata map[string]any `json:"metadata"`
}

// SecretList is GET /v1/secrets: the same array as `secrets` and as `data` (contract OC-1).
type SecretList struct {
	Secrets []SecretInfo `json:"secrets"`
	Data    []SecretInfo `json:"data"`
	Cursor  *string      `json:"cursor"`
	HasMore bool         `json:"has_more"`
}

// SecretVersion is one entry of GET /v1/secrets/{path}/versions.
type SecretVersion struct {
	Version   int64  `json:"version"`
	Status    string `json:"status"` // current | previous | retired
	Etag      string `json:"etag"`
	CreatedAt Time   `json:"created_at"`
	CreatedBy string `json:"created_by"`

	ReadableUntil *Time `json:"readable_until"` // null: as long as it is kept
}

// VersionList is GET /v1/secrets/{path}/versions, newest first.
type VersionList struct {
	Path     string          `json:"path"`
	Versions []SecretVersion `json:"versions"`
	Data     []SecretVersion `json:"data"`
	Cursor   *string         `json:"cursor"`
	HasMore  bool            `json:"has_more"`
}

// DeleteResult is the answer to DELETE /v1/secrets/{path}.
type DeleteResult struct {
	Path             string `json:"path"`
	Deleted          bool   `json:"deleted"`
	Permanent        bool   `json:"permanent"`
	VersionCount     int64  `json:"version_count"`
	DeletedAt        Time   `json:"deleted_at"`
	RecoverableUntil *Time  `json:"recoverable_until"` // null when permanent
}

// BatchRequest is the body of POST /v1/secrets/batch and /v1/secrets/batch/metadata: at most 100 paths.
type BatchRequest struct {
	Paths           []string     `json:"paths"`
	Options         BatchOptions `json:"options,omitzero"`
	ExpandWildcards bool         `json:"expand_wildcards,omitempty"` // metadata only: paths may be globs
}

// BatchOptions change a batch read.
type BatchOptions struct {
	IncludeMetadata bool  `json:"include_metadata,omitempty"`
	FailFast        bool  `json:"fail_fast,omitempty"`
	Version         int64 `json:"version,omitempty"`
}

// BatchSecret is one path of a batch read.
type BatchSecret struct {
	Data       Values         `json:"data"`
	Version    int64          `json:"version"`
	Etag       string         `json:"etag"`
	SecretType string         `json:"secret_type"`
	ExpiresAt  *Time          `json:"expires_at"`
	Metadata   map[string]any `json:"metadata,omitempty"`
}

// BatchError is why one path of a batch has no answer.
type BatchError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// BatchResponse is the answer to a batch read; a partial success is 200.
type BatchResponse struct {
	Secrets map[string]BatchSecret `json:"secrets"`
	Errors  map[string]BatchError  `json:"errors"`
}

// BatchMetadataResponse is the answer to a batch metadata read.
type BatchMetadataResponse struct {
	Secrets map[string]SecretInfo `json:"secrets"`
	Errors  map[string]BatchError `json:"errors"`
}
