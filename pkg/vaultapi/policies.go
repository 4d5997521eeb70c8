package vaultapi

// Policy grants permissions on paths to the identities bound to it (contract section 5).
type Policy struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Description  string    `json:"description"`
	Scope        string    `json:"scope"` // tenant | partner
	Rules        []Rule    `json:"rules"`
	Bindings     []Binding `json:"bindings,omitempty"` // only where one policy is read
	RuleCount    int       `json:"rule_count"`
	BindingCount int       `json:"binding_count"`
	IsActive     bool      `json:"is_active"`
	Owner        string    `json:"owner,omitempty"`
	CreatedAt    Time      `json:"created_at"`
	UpdatedAt    Time      `json:"updated_at"`
}

// Rule allows permissions on the paths that match a glob, while all its conditions hold.
type Rule struct {
	PathPattern string      `json:"path_pattern"` // [class:]glob
	Permissions []string    `json:"permissions"`
	Conditions  *Conditions `json:"conditions,omitempty"`
}

// Conditions all have to hold, otherwise the rule does not apply.
type Conditions struct {
	IPRanges   []string    `json:"ip_ranges,omitzero"` // CIDR; nil: every address; empty but given is refused
	RequireMFA bool        `json:"require_mfa,omitempty"`
	TimeWindow *TimeWindow `json:"time_window,omitempty"`
}

// TimeWindow is a daily window (contract OC-34); it may run over midnight.
type TimeWindow struct {
	Days     []string `json:"days,omitzero"` // mon … sun; nil: every day; empty but given is refused
	Start    string   `json:"start"`         // 08:00
	End      string   `json:"end"`
	Timezone string   `json:"timezone,omitempty"` // IANA name; empty: UTC
}

// Binding gives a policy to an identity.
type Binding struct {
	ID           string `json:"id"`
	PolicyID     string `json:"policy_id"`
	IdentityType string `json:"identity_type"` // user | service_account | group
	IdentityID   string `json:"identity_id"`
	ExpiresAt    *Time  `json:"expires_at"`
	Owner        string `json:"owner,omitempty"`
	CreatedAt    Time   `json:"created_at"`
}

// PolicyWrite is the body of POST and PUT /v1/policies.
type PolicyWrite struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Scope       string `json:"scope,omitempty"`
	Rules       []Rule `json:"rules"`
	IsActive    *bool  `json:"is_active,omitempty"` // default true
	Owner       string `json:"owner,omitempty"`
}

// PolicyPatch is the body of PATCH /v1/policies/{id}: only the fields given change.
type PolicyPatch struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
	Rules       *[]Rule `json:"rules,omitempty"`
	IsActive    *bool   `json:"is_active,omitempty"`
	Owner       string  `json:"owner,omitempty"` // who asks: must equal the policy's owner
}

// BindingWrite is the body of POST /v1/policies/{id}/bindings.
type BindingWrite struct {
	IdentityType string `json:"identity_type,omitempty"` // inferred from the prefix of identity_id when absent
	IdentityID   string `json:"identity_id"`
	ExpiresAt    string `json:"expires_at,omitempty"` // RFC 3339 or a date
	Owner        string `json:"owner,omitempty"`
}

// PolicyList is GET /v1/policies. With path and permission given, each policy's bindings say who holds it.
type PolicyList struct {
	Policies []Policy `json:"policies"`
	Data     []Policy `json:"data"`
	Cursor   *string  `json:"cursor"`
	HasMore  bool     `json:"has_more"`
}

// BindingList is GET /v1/policies/{id}/bindings.
type BindingList struct {
	Bindings []Binding `json:"bindings"`
	Data     []Binding `json:"data"`
	Cursor   *string   `json:"cursor"`
	HasMore  bool      `json:"has_more"`
}

// PolicyTest is the body of POST /v1/policies/test: a dry run that leaves no audit entry.
type PolicyTest struct {
	IdentityID   string             `json:"identity_id"`
	IdentityType string             `json:"identity_type,omitempty"`
	Path         string             `json:"path"` // [class:]path
	Permission   string             `json:"permission"`
	Context      *PolicyTestContext `json:"context,omitempty"`
}

// PolicyTestContext is the situation to judge; absent fields are now, no address and no MFA.
type PolicyTestContext struct {
	SourceIP    string `json:"source_ip,omitempty"`
	MFAVerified bool   `json:"mfa_verified,omitempty"`
	Timestamp   string `json:"timestamp,omitempty"`
	Namespace   string `json:"namespace,omitempty"` // for {namespace}; absent: taken from sa:<namespace>:<name>
}

// PolicyTestResult explains a decision: which rule allowed, or what came nearest and which condition failed.
type PolicyTestResult struct {
	Allowed           bool         `json:"allowed"`
	MatchedPolicyID   string       `json:"matched_policy_id,omitempty"`
	MatchedRule       *int         `json:"matched_rule,omitempty"`
	Reason            string       `json:"reason,omitempty"` // an error code, when denied
	FailedCondition   string       `json:"failed_condition,omitempty"`
	EvaluatedPolicies []string     `json:"evaluated_policies"`
	Nearest           *NearestRule `json:"nearest,omitempty"`
}

// NearestRule is the rule that came nearest to allowing.
type NearestRule struct {
	PolicyID    string `json:"policy_id"`
	Rule        int    `json:"rule"`
	PathPattern string `json:"path_pattern"`
	Why         string `json:"why"` // what kept it from allowing
}
