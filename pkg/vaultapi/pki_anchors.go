package vaultapi

// TrustAnchor is the certificate of an authority outside of the vault that validation trusts (contract section 8.3).
type TrustAnchor struct {
	ID             string `json:"id"` // ta_…
	Name           string `json:"name"`
	Description    string `json:"description"`
	Subject        string `json:"subject"`
	Issuer         string `json:"issuer"`
	SerialNumber   string `json:"serial_number"`
	CertificatePEM string `json:"certificate_pem"`
	ValidFrom      Time   `json:"valid_from"`
	ValidUntil     Time   `json:"valid_until"`
	CreatedAt      Time   `json:"created_at"`
	UpdatedAt      Time   `json:"updated_at"`
}

// TrustAnchorWrite is the body of POST /v1/pki/trust-anchors.
type TrustAnchorWrite struct {
	Name           string `json:"name"`                  // unique in the tenant
	Description    string `json:"description,omitempty"` // at most 1024 bytes
	CertificatePEM string `json:"certificate_pem"`       // one certificate of an authority that has not expired
}

// TrustAnchorPatch is the body of PATCH /v1/pki/trust-anchors/{id}: only what is given changes. What is trusted never
// changes under a name: for another certificate make another anchor.
type TrustAnchorPatch struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
}

// TrustAnchorList is GET /v1/pki/trust-anchors, by name: the same array twice (contract OC-1).
type TrustAnchorList struct {
	TrustAnchors []TrustAnchor `json:"trust_anchors"`
	Data         []TrustAnchor `json:"data"`
	Cursor       *string       `json:"cursor"`
	HasMore      bool          `json:"has_more"`
}
