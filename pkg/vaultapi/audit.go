package vaultapi

// AuditEntry is one line of the audit trail (contract section 11).
type AuditEntry struct {
	ID           string         `json:"id"`
	Timestamp    MicroTime      `json:"timestamp"`
	Action       string         `json:"action"`
	IdentityType string         `json:"identity_type"`
	IdentityID   string         `json:"identity_id"`
	SecretPath   string         `json:"secret_path,omitempty"`
	SourceIP     string         `json:"source_ip"`
	UserAgent    string         `json:"user_agent"`
	Success      bool           `json:"success"`
	DurationMS   float64        `json:"duration_ms"`
	RequestID    string         `json:"request_id"`
	ExtraData    map[string]any `json:"extra_data"`
}

// AuditList is GET /v1/audit/logs, newest first.
type AuditList struct {
	Logs    []AuditEntry `json:"logs"`
	Data    []AuditEntry `json:"data"`
	Cursor  *string      `json:"cursor"`
	HasMore bool         `json:"has_more"`
}

// SecretTrail is GET /v1/audit/secrets/{path}.
type SecretTrail struct {
	AuditList
	Summary SecretTrailSummary `json:"summary"`
}

// SecretTrailSummary is the last 30 days of one secret (contract OC-19).
type SecretTrailSummary struct {
	Reads30d              int64      `json:"reads_30d"`
	Writes30d             int64      `json:"writes_30d"`
	DistinctIdentities30d int64      `json:"distinct_identities_30d"`
	LastReadAt            *MicroTime `json:"last_read_at"`
}

// SecretConsumers is GET /v1/audit/consumers/{path}: who read a secret over the API in the last 90 days. Those that have
// not since the newest version was made come first.
type SecretConsumers struct {
	Path             string           `json:"path"`
	Version          int64            `json:"version"` // the newest
	VersionCreatedAt MicroTime        `json:"version_created_at"`
	Consumers        []SecretConsumer `json:"consumers"`
	Data             []SecretConsumer `json:"data"`
	Cursor           *string          `json:"cursor"` // always null: all are in one answer
	HasMore          bool             `json:"has_more"`
}

// SecretConsumer is an identity that read a secret.
type SecretConsumer struct {
	IdentityID      string    `json:"identity_id"`
	LastReadAt      MicroTime `json:"last_read_at"`
	Reads           int64     `json:"reads_90d"`
	HoldsOldVersion bool      `json:"holds_old_version"` // last read before the newest version was made
}

// IdentityTrail is GET /v1/audit/identities/{identity_id}.
type IdentityTrail struct {
	AuditList
	Summary IdentityTrailSummary `json:"summary"`
}

// IdentityTrailSummary is what an identity did in the asked time (contract OC-19).
type IdentityTrailSummary struct {
	TotalEvents       int64            `json:"total_events"`
	ByAction          map[string]int64 `json:"by_action"`
	ResourcesAccessed []string         `json:"resources_accessed"` // distinct secret paths: rotate these
	FirstEventAt      *MicroTime       `json:"first_event_at"`
	LastEventAt       *MicroTime       `json:"last_event_at"`
}

// AuditSummary is GET /v1/audit/summary.
type AuditSummary struct {
	From             MicroTime        `json:"from"`
	To               MicroTime        `json:"to"`
	TotalEvents      int64            `json:"total_events"`
	SuccessfulEvents int64            `json:"successful_events"`
	FailedEvents     int64            `json:"failed_events"`
	ByAction         map[string]int64 `json:"by_action"`
	DistinctPaths    int64            `json:"distinct_paths"`
	DistinctIDs      int64            `json:"distinct_identities"`
}

// AuditVerification is GET /v1/audit/verify: whether every chain of the tenant is whole.
type AuditVerification struct {
	Valid      bool       `json:"valid"`
	Entries    int64      `json:"entries"`
	Chains     int        `json:"chains"`
	Checkpoint *MicroTime `json:"last_checkpoint_at"`
	Unsigned   int64      `json:"unsigned_entries"` // after the last checkpoint: the window in which a tail could have been cut
	PublicKey  string     `json:"public_key"`       // Ed25519, base64
	Problems   []string   `json:"problems"`
}
