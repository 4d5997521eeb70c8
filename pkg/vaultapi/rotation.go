package vaultapi

// RotationPolicy says how often the secrets that are assigned to it get a new version, and how (contract
// section 6). A duration is echoed as it was written, and in seconds.
type RotationPolicy struct {
	ID          string `json:"id"` // rot_
	Name        string `json:"name"`
	Description string `json:"description"`

	Interval        string `json:"interval,omitempty"` // of each secret, from its last rotation; exclusive with cron
	IntervalSeconds int64  `json:"interval_seconds,omitempty"`
	Cron            string `json:"cron,omitempty"`      // five fields, in time_zone
	TimeZone        string `json:"time_zone,omitempty"` // IANA name; of cron
	Window          string `json:"window,omitempty"`    // how long after a slot of cron a rotation may still begin
	WindowSeconds   int64  `json:"window_seconds,omitempty"`
	Spread          string `json:"spread,omitempty"` // over which the secrets of one policy are spread
	SpreadSeconds   int64  `json:"spread_seconds,omitempty"`

	GracePeriod        string     `json:"grace_period"` // how long the previous version stays readable
	GracePeriodSeconds int64      `json:"grace_period_seconds"`
	GraceHold          string     `json:"grace_hold,omitempty"` // it stays readable this long, unless PUT …/grace ends it
	GraceHoldSeconds   int64      `json:"grace_hold_seconds,omitempty"`
	WarnBefore         Thresholds `json:"warn_before"` // 7d,1d

	AutoGenerate   bool            `json:"auto_generate"` // false: at due time somebody has to write
	SecretPolicyID *string         `json:"secret_policy_id"`
	Generate       *RotationRecipe `json:"generate,omitempty"` // exclusive with secret_policy_id
	WebhookIDs     []string        `json:"webhook_ids"`        // receive the policy's events whatever their filters
	Owner          string          `json:"owner,omitempty"`

	IsActive     bool  `json:"is_active"`
	SecretsCount int64 `json:"secrets_count"`
	FailedCount  int64 `json:"failed_count"` // of them in state failed
	CreatedAt    Time  `json:"created_at"`
	UpdatedAt    Time  `json:"updated_at"`
}

// RotationRecipe is an inline recipe of generated values.
type RotationRecipe struct {
	Fields []SecretPolicyField `json:"fields"`
}

// RotationPolicyWrite is the body of POST /v1/rotation/policies. Exactly one of Interval and Cron is given.
type RotationPolicyWrite struct {
	Name           string          `json:"name"`
	Description    string          `json:"description,omitempty"`
	Interval       string          `json:"interval,omitempty"`
	Cron           string          `json:"cron,omitempty"`
	TimeZone       string          `json:"time_zone,omitempty"` // default UTC
	Window         string          `json:"window,omitempty"`
	Spread         string          `json:"spread,omitempty"`       // default of cron: 1h, or the window if it is shorter
	GracePeriod    string          `json:"grace_period,omitempty"` // default 48h
	GraceHold      string          `json:"grace_hold,omitempty"`
	WarnBefore     Thresholds      `json:"warn_before,omitempty"`
	AutoGenerate   bool            `json:"auto_generate,omitempty"`
	SecretPolicyID string          `json:"secret_policy_id,omitempty"` // or its name
	Generate       *RotationRecipe `json:"generate,omitempty"`
	WebhookIDs     []string        `json:"webhook_ids,omitempty"`
	IsActive       *bool           `json:"is_active,omitempty"` // default true
	Owner          string          `json:"owner,omitempty"`
}

// RotationPolicyPatch is the body of PATCH /v1/rotation/policies/{id}: only the fields given change. An empty
// string takes a field away; giving one of interval and cron takes the other away.
type RotationPolicyPatch struct {
	Name           *string         `json:"name,omitempty"`
	Description    *string         `json:"description,omitempty"`
	Interval       *string         `json:"interval,omitempty"`
	Cron           *string         `json:"cron,omitempty"`
	TimeZone       *string         `json:"time_zone,omitempty"`
	Window         *string         `json:"window,omitempty"`
	Spread         *string         `json:"spread,omitempty"`
	GracePeriod    *string         `json:"grace_period,omitempty"`
	GraceHold      *string         `json:"grace_hold,omitempty"`
	WarnBefore     *Thresholds     `json:"warn_before,omitempty"`
	AutoGenerate   *bool           `json:"auto_generate,omitempty"`
	SecretPolicyID *string         `json:"secret_policy_id,omitempty"`
	Generate       *RotationRecipe `json:"generate,omitempty"` // without fields: takes the recipe away
	WebhookIDs     *[]string       `json:"webhook_ids,omitempty"`
	Owner          string          `json:"owner,omitempty"` // who asks: must equal the policy's owner
}

// RotationPolicyList is GET /v1/rotation/policies.
type RotationPolicyList struct {
	Policies []RotationPolicy `json:"policies"`
	Data     []RotationPolicy `json:"data"`
	Cursor   *string          `json:"cursor"`
	HasMore  bool             `json:"has_more"`
}

// RotationAttach is the body of POST /v1/rotation/policies/{id}/secrets.
type RotationAttach struct {
	SecretPath string `json:"secret_path"`
}

// States of an assignment.
const (
	RotationScheduled = "scheduled" // waits for its time
	RotationOpen      = "open"      // event-driven: a write now is the rotation
	RotationOverdue   = "overdue"   // due time and grace passed without a new version, or a window was missed
	RotationRetrying  = "retrying"  // the last attempt failed; the next one is near
	RotationFailed    = "failed"    // five attempts in a row failed; tried again daily
	RotationPaused    = "paused"    // the policy is disabled
	RotationSuspended = "suspended" // the secret is deleted and can still be restored, or has expired
)

// RotationAssignment is a secret under a rotation policy. A path has at most one.
type RotationAssignment struct {
	Path            string      `json:"path"`
	SecretPath      string      `json:"secret_path"` // the same
	PolicyID        string      `json:"policy_id"`
	Owner           string      `json:"owner,omitempty"` // of the policy
	AttachedBy      string      `json:"attached_by"`     // identity whose rights are asked again when it fires, if owned
	State           string      `json:"state"`
	LastRotatedAt   *Time       `json:"last_rotated_at"` // null: not since it was attached
	NextRotationAt  *Time       `json:"next_rotation_at"`
	Failures        int64       `json:"failures"` // in a row
	LastError       *BatchError `json:"last_error,omitempty"`
	PreviousVersion int64       `json:"previous_version,omitempty"` // of the last rotation
	CurrentVersion  int64       `json:"current_version,omitempty"`
	GraceEnds       *Time       `json:"grace_period_ends"` // when previous_version stops being readable
	CreatedAt       Time        `json:"created_at"`
}

// RotationAssignmentList is GET /v1/rotation/policies/{id}/secrets, by path.
type RotationAssignmentList struct {
	Secrets []RotationAssignment `json:"secrets"`
	Data    []RotationAssignment `json:"data"`
	Cursor  *string              `json:"cursor"`
	HasMore bool                 `json:"has_more"`
}

// RotationDue is an item of GET /v1/rotation/due (contract OC-14).
type RotationDue struct {
	Path               string      `json:"path"`
	RotationPolicyID   string      `json:"rotation_policy_id"`
	RotationPolicyName string      `json:"rotation_policy_name"`
	Owner              string      `json:"owner,omitempty"`
	LastRotatedAt      *Time       `json:"last_rotated_at"`
	NextRotationAt     Time        `json:"next_rotation_at"`
	IsOverdue          bool        `json:"is_overdue"`      // due time has passed and there is no new version
	HoursUntilDue      int64       `json:"hours_until_due"` // negative: since
	State              string      `json:"state"`
	Failures           int64       `json:"failures"`
	LastError          *BatchError `json:"last_error,omitempty"`
}

// RotationDueList is GET /v1/rotation/due, the longest overdue first.
type RotationDueList struct {
	Secrets []RotationDue `json:"secrets"`
	Data    []RotationDue `json:"data"`
	Cursor  *string       `json:"cursor"`
	HasMore bool          `json:"has_more"`
}

// RotationHistoryItem is one rotation, tried or asked for.
type RotationHistoryItem struct {
	ID              string      `json:"id"` // hist_
	Path            string      `json:"path"`
	PolicyID        string      `json:"policy_id"`
	Status          string      `json:"status"`      // success | failed | pending: somebody has to write
	Reason          string      `json:"reason"`      // scheduled, or what the caller gave, such as compromise
	IdentityID      string      `json:"identity_id"` // who caused it
	OldVersion      int64       `json:"old_version,omitempty"`
	NewVersion      int64       `json:"new_version,omitempty"`
	GracePeriodEnds *Time       `json:"grace_period_ends"`
	Error           *BatchError `json:"error,omitempty"`
	Attempt         int64       `json:"attempt,omitempty"`
	RetryAt         *Time       `json:"retry_at,omitempty"`
	DueAt           *Time       `json:"due_at,omitempty"`
	Timestamp       Time        `json:"timestamp"`
}

// RotationHistory is GET /v1/rotation/policies/{id}/history, newest first.
type RotationHistory struct {
	History []RotationHistoryItem `json:"history"`
	Data    []RotationHistoryItem `json:"data"`
	Cursor  *string               `json:"cursor"`
	HasMore bool                  `json:"has_more"`
}

// PolicyRotation is the body of POST /v1/rotation/policies/{id}/rotate, whose answer is an array of
// RotationHistoryItem, one per path.
type PolicyRotation struct {
	SecretPaths []string `json:"secret_paths,omitzero"` // at most 1000; nil: all of the policy, if it has no more; empty: none
	Reason      string   `json:"reason,omitempty"`
}

// SecretRotation is the body of POST /v1/secrets/{path}/rotate.
type SecretRotation struct {
	Reason string `json:"reason,omitempty"` // compromise: the previous versions stop being readable at once
}

// SecretRotated is its answer (contract OC-12): 200 with status completed, or 202 with status pending where
// somebody has to write the new version.
type SecretRotated struct {
	Path            string `json:"path"`
	Status          string `json:"status"` // completed | pending
	OldVersion      int64  `json:"old_version,omitempty"`
	NewVersion      int64  `json:"new_version,omitempty"`
	GracePeriodEnds *Time  `json:"grace_period_ends,omitempty"`
	DueAt           *Time  `json:"due_at,omitempty"` // of status pending
	Reason          string `json:"reason"`
}

// RotationGrace is the body of PUT /v1/rotation/policies/{id}/secrets/{secret_path}/grace: it moves the time at
// which a previous version stops being readable. Exactly one of EndsAt and EndsIn is given.
type RotationGrace struct {
	Version int64  `json:"version"`           // the previous version
	EndsAt  string `json:"ends_at,omitempty"` // RFC 3339; within now and rotation + max(grace_period, grace_hold)
	EndsIn  string `json:"ends_in,omitempty"` // a duration, or 0s: now
}
