package vaultapi

// CertificateRequest is a certificate request that somebody else must approve before it is signed (contract section 8.3).
// What is asked for never changes.
type CertificateRequest struct {
	ID            string   `json:"id"` // csr_…
	Role          string   `json:"role"`
	Status        string   `json:"status"` // pending | approved | rejected | signed | expired
	CSRPEM        string   `json:"csr_pem"`
	CommonName    string   `json:"common_name"` // as it would be in the certificate, like alt_names
	AltNames      []string `json:"alt_names"`   // of every kind
	TTL           string   `json:"ttl"`         // "": the role's longest
	SubmittedBy   string   `json:"submitted_by"`
	CreatedAt     Time     `json:"created_at"`
	ExpiresAt     Time     `json:"expires_at"` // when nothing can be made of it any more
	DecidedBy     *string  `json:"decided_by"`
	DecidedAt     *Time    `json:"decided_at"`
	Comment       string   `json:"comment"` // of who decided
	CertificateID *string  `json:"certificate_id"`
}

// CertificateRequestSubmit is the body of POST /v1/pki/csr; names and ttl are as in CertificateSign.
type CertificateRequestSubmit struct {
	Role     string   `json:"role"`
	CSRPEM   string   `json:"csr_pem"`
	AltNames []string `json:"alt_names,omitempty"`
	IPSANs   []string `json:"ip_sans,omitempty"`
	TTL      string   `json:"ttl,omitempty"`
}

// CertificateRequestDecision is the body of POST /v1/pki/csr/{id}/approve and …/reject.
type CertificateRequestDecision struct {
	Comment string `json:"comment,omitempty"` // at most 1024 bytes
}

// CertificateRequestList is GET /v1/pki/csr, the oldest first: the same array twice (contract OC-1).
type CertificateRequestList struct {
	Requests []CertificateRequest `json:"requests"`
	Data     []CertificateRequest `json:"data"`
	Cursor   *string              `json:"cursor"`
	HasMore  bool                 `json:"has_more"`
}
