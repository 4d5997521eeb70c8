package vaultapi

// Whoami is GET /v1/auth/whoami.
type Whoami struct {
	IdentityID     string   `json:"identity_id"`
	IdentityType   string   `json:"identity_type"`
	DisplayName    string   `json:"display_name"`
	TenantID       string   `json:"tenant_id"`
	PartnerID      string   `json:"partner_id"`
	Scopes         []string `json:"scopes"`
	Groups         []string `json:"groups"`
	Roles          []string `json:"roles"`
	Namespace      string   `json:"namespace,omitempty"`
	Cluster        string   `json:"cluster,omitempty"`
	MFAVerifiedAt  *Time    `json:"mfa_verified_at"`
	TokenExpiresAt *Time    `json:"token_expires_at"`
}

// IntrospectRequest is the body of POST /v1/auth/introspect.
type IntrospectRequest struct {
	Token string `json:"token"`
}

// Introspection says what a token is; a token that is not valid gives active false and nothing else.
type Introspection struct {
	Active       bool     `json:"active"`
	IdentityID   string   `json:"identity_id,omitempty"`
	IdentityType string   `json:"identity_type,omitempty"`
	TenantID     string   `json:"tenant_id,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
	ExpiresAt    *Time    `json:"expires_at,omitempty"`
	IssuedAt     *Time    `json:"issued_at,omitempty"`
}

// ExchangeRequest is the body of POST /v1/auth/exchange (contract OC-8): a workload's token for a bearer token.
type ExchangeRequest struct {
	GrantType        string   `json:"grant_type,omitempty"` // urn:ietf:params:oauth:grant-type:token-exchange
	SubjectToken     string   `json:"subject_token"`
	SubjectTokenType string   `json:"subject_token_type,omitempty"` // default JWT
	Audience         string   `json:"audience,omitempty"`
	RequestedRole    string   `json:"requested_role,omitempty"` // an identity that a trust rule permits
	Role             string   `json:"role,omitempty"`           // alias of requested_role
	Scope            string   `json:"scope,omitempty"`          // space-separated; narrows the rule's scopes
	AllowedPaths     []string `json:"allowed_paths,omitzero"`   // not supported yet: refused when given, empty or not
}

// ExchangeResponse carries the bearer token; it is shown once.
type ExchangeResponse struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"` // Bearer
	ExpiresIn   int64  `json:"expires_in"` // seconds
	Scope       string `json:"scope"`
	IdentityID  string `json:"identity_id"`
}
