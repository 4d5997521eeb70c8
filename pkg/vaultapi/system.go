package vaultapi

// Health is GET /v1/health.
type Health struct {
	Status    string `json:"status"` // healthy
	Timestamp Time   `json:"timestamp"`
}

// Readiness is GET /v1/health/ready: 200 ready, or 503 not_ready with the failing check and why.
type Readiness struct {
	Status        string            `json:"status"` // ready | not_ready
	Checks        map[string]string `json:"checks"` // database, encryption: ok | error
	Errors        map[string]string `json:"errors,omitempty"`
	DatabaseEmpty bool              `json:"database_empty,omitempty"` // no keys yet: a root key may be made
}

// DetailedHealth is GET /v1/health/detailed.
type DetailedHealth struct {
	Status        string           `json:"status"`
	Version       string           `json:"version"`
	UptimeSeconds int64            `json:"uptime_seconds"`
	Checks        map[string]Check `json:"checks"`
}

// Check is one component of DetailedHealth; fields that do not fit the component are absent.
type Check struct {
	Status        string   `json:"status"` // ok | error | disabled
	LatencyMS     *float64 `json:"latency_ms,omitempty"`
	PoolSize      *int     `json:"pool_size,omitempty"`
	PoolAvailable *int     `json:"pool_available,omitempty"`
	KeyStatus     string   `json:"key_status,omitempty"`
	LastRotation  *Time    `json:"last_rotation,omitempty"`
}

// Version is GET /v1/version.
type Version struct {
	Version      string `json:"version"`
	Commit       string `json:"commit,omitempty"`
	GoVersion    string `json:"go_version"`
	InstanceID   string `json:"instance_id"`
	RestoreEpoch int64  `json:"restore_epoch"`
}
