package vaultapi

// TrustRule says what the workloads of a cluster become when they exchange their tokens (contract section 25).
// The most specific rule that matches a workload decides alone.
type TrustRule struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`            // unique in the tenant
	Cluster        string   `json:"cluster"`         // home is the one that the server runs in
	Namespace      string   `json:"namespace"`       // "": every one
	ServiceAccount string   `json:"service_account"` // "": every one
	Identity       string   `json:"identity"`        // sa:{namespace}:{name}, sa:{cluster}:{namespace}:{name} or an alias sa:<name>
	Scopes         []string `json:"scopes"`
	Life           string   `json:"life"` // of the tokens it gives, such as 10m
	LifeSeconds    int64    `json:"life_seconds"`
	Owner          string   `json:"owner,omitempty"` // system:bootstrap: kept by the server's start-up flags
	CreatedAt      Time     `json:"created_at"`
}

// TrustRuleWrite is the body of POST and PUT /v1/auth/trust-rules. Fields left out take their defaults.
type TrustRuleWrite struct {
	Name           string   `json:"name"`
	Cluster        string   `json:"cluster,omitempty"` // default home
	Namespace      string   `json:"namespace,omitempty"`
	ServiceAccount string   `json:"service_account,omitempty"`
	Identity       string   `json:"identity,omitempty"` // default sa:{namespace}:{name}, or sa:{cluster}:{namespace}:{name} for other clusters
	Scopes         []string `json:"scopes,omitzero"`    // left out: secrets:read secrets:list secrets:rotate pki:issue dynamic:generate
	Life           string   `json:"life,omitempty"`     // default 10m, from 1m to 1h
}

// TrustRulePatch is the body of PATCH /v1/auth/trust-rules/{id}: only the fields given change. A text that is
// given empty takes its default.
type TrustRulePatch struct {
	Name           *string   `json:"name,omitempty"`
	Cluster        *string   `json:"cluster,omitempty"`
	Namespace      *string   `json:"namespace,omitempty"`
	ServiceAccount *string   `json:"service_account,omitempty"`
	Identity       *string   `json:"identity,omitempty"`
	Scopes         *[]string `json:"scopes,omitempty"`
	Life           *string   `json:"life,omitempty"`
}

// TrustRuleList is GET /v1/auth/trust-rules.
type TrustRuleList struct {
	TrustRules []TrustRule `json:"trust_rules"`
	Data       []TrustRule `json:"data"`
	Cursor     *string     `json:"cursor"`
	HasMore    bool        `json:"has_more"`
}
