package vaultapi

// SecretPolicy is a recipe for the values of secrets (contract section 7).
type SecretPolicy struct {
	ID          string              `json:"id"` // sp_…
	Name        string              `json:"name"`
	Description string              `json:"description"`
	PolicyType  string              `json:"policy_type"` // password | api_key | oauth_client | ssh_key | custom: a hint
	Fields      []SecretPolicyField `json:"fields"`      // in lists without static values
	IsActive    bool                `json:"is_active"`   // false: nothing is generated from it
	CreatedAt   Time                `json:"created_at"`
	UpdatedAt   Time                `json:"updated_at"`
}

// SecretPolicyWrite is the body of POST /v1/secret-policies and PUT /v1/secret-policies/{id}.
type SecretPolicyWrite struct {
	Name        string              `json:"name"` // unique in the tenant
	Description string              `json:"description,omitempty"`
	PolicyType  string              `json:"policy_type,omitempty"` // default custom
	Fields      []SecretPolicyField `json:"fields"`                // 1 to 32
	IsActive    *bool               `json:"is_active,omitempty"`   // default true
}

// SecretPolicyPatch is the body of PATCH /v1/secret-policies/{id}: only what is given changes.
type SecretPolicyPatch struct {
	Name        *string              `json:"name,omitempty"`
	Description *string              `json:"description,omitempty"`
	PolicyType  *string              `json:"policy_type,omitempty"`
	Fields      *[]SecretPolicyField `json:"fields,omitempty"` // all of them
	IsActive    *bool                `json:"is_active,omitempty"`
}

// SecretPolicyList is GET /v1/secret-policies, by name: the same array as `secret_policies` and as `data` (contract OC-1).
type SecretPolicyList struct {
	SecretPolicies []SecretPolicy `json:"secret_policies"`
	Data           []SecretPolicy `json:"data"`
	Cursor         *string        `json:"cursor"`
	HasMore        bool           `json:"has_more"`
}

// SecretPolicyPreview is the answer to POST /v1/secret-policies/{id}/preview: values that are stored nowhere.
type SecretPolicyPreview struct {
	SecretPolicyID string `json:"secret_policy_id"`
	Fields         Values `json:"fields"`
}
