package vaultapi

// AuthoritySlot is one key of an authority with its certificate. An authority has one active slot, which signs; it
// rotates by preparing another, activating it once everybody trusts it, and retiring the old one once nothing that it
// signed is in use.
type AuthoritySlot struct {
	ID             string `json:"id"` // slot_…
	CAID           string `json:"ca_id"`
	State          string `json:"state"` // prepared | active | retiring | retired
	SerialNumber   string `json:"serial_number"`
	KeyType        string `json:"key_type"`
	KeySize        int    `json:"key_size"`
	CertificatePEM string `json:"certificate_pem"`
	ValidFrom      Time   `json:"valid_from"`
	ValidUntil     Time   `json:"valid_until"`
	CreatedAt      Time   `json:"created_at"`
	ActivatedAt    *Time  `json:"activated_at"`   // null: it never signed
	DeactivatedAt  *Time  `json:"deactivated_at"` // null: it signs, or never did
}

// AuthoritySlotWrite is the body of POST /v1/pki/ca/{id}/slots. Name, path length and name constraints are those of the
// active slot.
type AuthoritySlotWrite struct {
	KeyType      string `json:"key_type,omitempty"` // default: the active slot's, with its size
	KeySize      int    `json:"key_size,omitempty"`
	ValidityDays int    `json:"validity_days,omitempty"` // as in AuthorityWrite
}

// AuthoritySlotRetire is the body of POST /v1/pki/ca/{id}/slots/{slot}/retire.
type AuthoritySlotRetire struct {
	Force bool `json:"force,omitempty"` // although certificates that it signed are in use: nobody will trust them
}

// AuthoritySlotList is GET /v1/pki/ca/{id}/slots, the oldest first: the same array twice (contract OC-1).
type AuthoritySlotList struct {
	Slots   []AuthoritySlot `json:"slots"`
	Data    []AuthoritySlot `json:"data"`
	Cursor  *string         `json:"cursor"`
	HasMore bool            `json:"has_more"`
}

// AuthorityBundle is GET /v1/pki/ca/{id}/bundle: the certificates of all slots that are not retired and have not expired,
// the active one first. Who trusts an authority trusts these.
type AuthorityBundle struct {
	CAID         string   `json:"ca_id"`
	Certificates []string `json:"certificates"` // PEM
	BundlePEM    string   `json:"bundle_pem"`
}

// AuthorityRequest is the key of an authority that waits for a certificate of an authority outside of the vault.
type AuthorityRequest struct {
	ID            string `json:"id"` // car_…
	Name          string `json:"name"`
	CAID          string `json:"ca_id"`   // the id that the authority has, or will have
	Renewal       bool   `json:"renewal"` // the authority is there: the certificate becomes a slot of it
	CommonName    string `json:"common_name"`
	KeyType       string `json:"key_type"`
	KeySize       int    `json:"key_size"`
	MaxPathLength *int   `json:"max_path_length"` // what the certificate must allow at least; null: any will do
	CSRPEM        string `json:"csr_pem"`
	CreatedBy     string `json:"created_by"`
	CreatedAt     Time   `json:"created_at"`
}

// AuthorityRequestWrite is the body of POST /v1/pki/ca-requests: either ca_id, or name and common name.
type AuthorityRequestWrite struct {
	CAID          string `json:"ca_id,omitempty"` // id or name of an authority that was signed outside: for its next slot
	Name          string `json:"name,omitempty"`
	CommonName    string `json:"common_name,omitempty"`
	KeyType       string `json:"key_type,omitempty"` // as in AuthorityWrite
	KeySize       int    `json:"key_size,omitempty"`
	MaxPathLength *int   `json:"max_path_length,omitempty"`
}

// AuthorityRequestList is GET /v1/pki/ca-requests, by name: the same array twice (contract OC-1).
type AuthorityRequestList struct {
	Requests []AuthorityRequest `json:"requests"`
	Data     []AuthorityRequest `json:"data"`
	Cursor   *string            `json:"cursor"`
	HasMore  bool               `json:"has_more"`
}

// AuthorityInstall is the body of POST /v1/pki/ca-requests/{id}/certificate.
type AuthorityInstall struct {
	CertificatePEM string `json:"certificate_pem"`
	ChainPEM       string `json:"chain_pem,omitempty"` // from its issuer up to a root, or to what a trust anchor signed
}
