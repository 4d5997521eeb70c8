package vaultapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
)

// Authority is a certificate authority (contract section 8.1).
type Authority struct {
	ID                  string   `json:"id"` // ca_…
	Name                string   `json:"name"`
	CommonName          string   `json:"common_name"`
	CAType              string   `json:"ca_type"` // root | intermediate
	ParentCAID          *string  `json:"parent_ca_id"`
	KeyType             string   `json:"key_type"` // rsa | ec | ed25519
	KeySize             int      `json:"key_size"` // bits
	SerialNumber        string   `json:"serial_number"`
	MaxPathLength       *int     `json:"max_path_length"` // how many authorities may stand between it and a certificate; null: any number
	PermittedDNSDomains []string `json:"permitted_dns_domains"`
	ExcludedDNSDomains  []string `json:"excluded_dns_domains"`
	PermittedIPRanges   []string `json:"permitted_ip_ranges"`
	ExcludedIPRanges    []string `json:"excluded_ip_ranges"`
	ValidFrom           Time     `json:"valid_from"`
	ValidUntil          Time     `json:"valid_until"`
	IsActive            bool     `json:"is_active"` // neither revoked nor expired
	RevokedAt           *Time    `json:"revoked_at"`
	RevocationReason    *string  `json:"revocation_reason"`
	CertificatesIssued  int64    `json:"certificates_issued"`
	CreatedAt           Time     `json:"created_at"`
}

// AuthorityWrite is the body of POST /v1/pki/ca.
type AuthorityWrite struct {
	Name                string   `json:"name"` // unique in the tenant
	CommonName          string   `json:"common_name"`
	CAType              string   `json:"ca_type"`                         // root | intermediate
	ParentCAID          string   `json:"parent_ca_id,omitempty"`          // id or name; of intermediates
	KeyType             string   `json:"key_type,omitempty"`              // default rsa
	KeySize             int      `json:"key_size,omitempty"`              // rsa 2048, 3072, 4096; ec 256, 384
	ValidityDays        int      `json:"validity_days,omitempty"`         // default 3650, of an intermediate 1825; never beyond the parent's
	MaxPathLength       *int     `json:"max_path_length,omitempty"`       // default: as many as the parent leaves
	PermittedDNSDomains []string `json:"permitted_dns_domains,omitempty"` // name constraints: the domain and all below it
	ExcludedDNSDomains  []string `json:"excluded_dns_domains,omitempty"`
	PermittedIPRanges   []string `json:"permitted_ip_ranges,omitempty"` // CIDR
	ExcludedIPRanges    []string `json:"excluded_ip_ranges,omitempty"`
}

// AuthorityList is GET /v1/pki/ca, by name: the same array twice (contract OC-1).
type AuthorityList struct {
	Authorities []Authority `json:"authorities"`
	Data        []Authority `json:"data"`
	Cursor      *string     `json:"cursor"`
	HasMore     bool        `json:"has_more"`
}

// AuthorityCertificate is GET /v1/pki/ca/{id}/certificate (contract OC-35).
type AuthorityCertificate struct {
	CertificatePEM string `json:"certificate_pem"`
	CAChainPEM     string `json:"ca_chain_pem"` // the authorities above it, up to the root; empty for a root
}

// AuthorityRevoke is the body of POST /v1/pki/ca/{id}/revoke.
type AuthorityRevoke struct {
	Reason string `json:"reason,omitempty"` // as in CertificateRevoke
}

// PKIRole says what may be issued by whom it is granted to (contract section 8.2).
type PKIRole struct {
	Name             string   `json:"name"` // as policies name it: pki:<name>
	CAID             string   `json:"ca_id"`
	AllowedDomains   []string `json:"allowed_domains"`  // host names, or *. and a host name: names of exactly one more label
	AllowSubdomains  bool     `json:"allow_subdomains"` // names at any depth below the allowed domains
	AllowIPSANs      bool     `json:"allow_ip_sans"`
	AllowedURIs      []string `json:"allowed_uris"`     // whole URIs, or a prefix that ends in /*
	AllowEmailSANs   bool     `json:"allow_email_sans"` // whose host the allowed domains allow
	MaxTTL           string   `json:"max_ttl"`
	KeyType          string   `json:"key_type"`
	KeyBits          int      `json:"key_bits"`
	RequireCN        bool     `json:"require_cn"`
	StorePrivateKeys bool     `json:"store_private_keys"`
	CreatedAt        Time     `json:"created_at"`
	UpdatedAt        Time     `json:"updated_at"`
}

// PKIRoleWrite is the body of POST /v1/pki/roles.
type PKIRoleWrite struct {
	Name             string   `json:"name"`  // unique in the tenant: 1 to 64 of a-z, 0-9, - and _
	CAID             string   `json:"ca_id"` // id or name
	AllowedDomains   []string `json:"allowed_domains,omitempty"`
	AllowSubdomains  bool     `json:"allow_subdomains,omitempty"`
	AllowIPSANs      bool     `json:"allow_ip_sans,omitempty"`
	AllowedURIs      []string `json:"allowed_uris,omitempty"`
	AllowEmailSANs   bool     `json:"allow_email_sans,omitempty"`
	MaxTTL           string   `json:"max_ttl,omitempty"`  // default 720h
	KeyType          string   `json:"key_type,omitempty"` // default ec
	KeyBits          int      `json:"key_bits,omitempty"`
	RequireCN        *bool    `json:"require_cn,omitempty"` // default true
	StorePrivateKeys bool     `json:"store_private_keys,omitempty"`
}

// PKIRolePatch is the body of PATCH /v1/pki/roles/{name}: only what is given changes.
type PKIRolePatch struct {
	CAID             *string   `json:"ca_id,omitempty"`
	AllowedDomains   *[]string `json:"allowed_domains,omitempty"`
	AllowSubdomains  *bool     `json:"allow_subdomains,omitempty"`
	AllowIPSANs      *bool     `json:"allow_ip_sans,omitempty"`
	AllowedURIs      *[]string `json:"allowed_uris,omitempty"`
	AllowEmailSANs   *bool     `json:"allow_email_sans,omitempty"`
	MaxTTL           *string   `json:"max_ttl,omitempty"`
	KeyType          *string   `json:"key_type,omitempty"`
	KeyBits          *int      `json:"key_bits,omitempty"`
	RequireCN        *bool     `json:"require_cn,omitempty"`
	StorePrivateKeys *bool     `json:"store_private_keys,omitempty"`
}

// PKIRoleList is GET /v1/pki/roles, by name: the same array twice (contract OC-1).
type PKIRoleList struct {
	Roles   []PKIRole `json:"roles"`
	Data    []PKIRole `json:"data"`
	Cursor  *string   `json:"cursor"`
	HasMore bool      `json:"has_more"`
}

// CertificateIssue is the body of POST /v1/pki/issue/{role}.
type CertificateIssue struct {
	CommonName string   `json:"common_name"`
	AltNames   []string `json:"alt_names,omitempty"` // DNS names, and URIs, mail and IP addresses, each judged as what it is
	IPSANs     []string `json:"ip_sans,omitempty"`
	TTL        string   `json:"ttl,omitempty"` // default and most: the role's max_ttl
}

// CertificateSign is the body of POST /v1/pki/sign/{role}.
type CertificateSign struct {
	CSRPEM   string   `json:"csr_pem"`
	AltNames []string `json:"alt_names,omitempty"` // with ip_sans: instead of the request's own names, which must be allowed all the same
	IPSANs   []string `json:"ip_sans,omitempty"`
	TTL      string   `json:"ttl,omitempty"`
	Owner    string   `json:"owner,omitempty"` // of what a Kubernetes object asked for: k8s:<cluster>/<kind>/<namespace>/<name>/<uid>
}

// IssuedCertificate is the answer to issue, sign and renew (contract OC-15).
type IssuedCertificate struct {
	ID             string   `json:"id"` // cert_…
	SerialNumber   string   `json:"serial_number"`
	Certificate    string   `json:"certificate"` // PEM
	CertificatePEM string   `json:"certificate_pem"`
	PrivateKey     KeyText  `json:"private_key"` // PEM, PKCS #8; shown this once; "" where the key was the caller's
	CAChain        []string `json:"ca_chain"`    // PEM, from the issuer to the root
	CAChainPEM     string   `json:"ca_chain_pem"`
	CommonName     string   `json:"common_name"`
	ValidFrom      Time     `json:"valid_from"`
	ValidUntil     Time     `json:"valid_until"`
	NotAfter       Time     `json:"not_after"`
	Replaces       string   `json:"replaces,omitempty"` // of a renewal: the id of the old certificate
}

// Certificate is an issued certificate as it is listed.
type Certificate struct {
	ID               string   `json:"id"`
	SerialNumber     string   `json:"serial_number"`
	CAID             string   `json:"ca_id"`
	Role             string   `json:"role"`
	CommonName       string   `json:"common_name"`
	AltNames         []string `json:"alt_names"` // all of them, of every kind
	ValidFrom        Time     `json:"valid_from"`
	ValidUntil       Time     `json:"valid_until"`
	Status           string   `json:"status"` // active | expired | revoked
	RevokedAt        *Time    `json:"revoked_at"`
	RevocationReason *string  `json:"revocation_reason"`
	Replaces         string   `json:"replaces,omitempty"`
	CreatedBy        string   `json:"created_by"`
	CreatedAt        Time     `json:"created_at"`
	Owner            string   `json:"owner,omitempty"` // in a list by owner
}

// CertificateList is GET /v1/pki/certificates, the earliest end first: the same array twice (contract OC-1).
type CertificateList struct {
	Certificates []Certificate `json:"certificates"`
	Data         []Certificate `json:"data"`
	Cursor       *string       `json:"cursor"`
	HasMore      bool          `json:"has_more"`
}

// CertificateRevoke is the body of POST /v1/pki/revoke; one of serial number and id.
type CertificateRevoke struct {
	SerialNumber  string `json:"serial_number,omitempty"` // hex in any case, with or without colons
	CertificateID string `json:"certificate_id,omitempty"`
	// unspecified (default), key_compromise, ca_compromise, affiliation_changed, superseded, cessation_of_operation,
	// privilege_withdrawn or aa_compromise (RFC 5280)
	Reason string `json:"reason,omitempty"`
	Owner  string `json:"owner,omitempty"` // whose it is, where that is what gives the right
}

// CertificateValidate is the body of POST /v1/pki/certificates/validate.
type CertificateValidate struct {
	CertificatePEM  string `json:"certificate_pem"`
	ChainPEM        string `json:"chain_pem,omitempty"` // authorities between it and a root
	CheckRevocation bool   `json:"check_revocation,omitempty"`
}

// CertificateValidation is its answer (contract OC-16).
type CertificateValidation struct {
	Valid             bool     `json:"valid"`
	Errors            []string `json:"errors"`
	Subject           string   `json:"subject"`
	Issuer            string   `json:"issuer"`
	SerialNumber      string   `json:"serial_number"`
	NotBefore         Time     `json:"not_before"`
	NotAfter          Time     `json:"not_after"`
	Revoked           bool     `json:"revoked"`
	RevocationChecked bool     `json:"revocation_checked"` // by this vault's own record; false where it knows nothing of the certificate
	TrustedBy         *string  `json:"trusted_by"`         // id of the root that the chain ends at
}

// KeyText is a private key. It does not print and is no JSON but as Redacted, except through Reveal. Why it sits behind
// a func says Values.
type KeyText struct{ open func() string }

// NewKeyText wraps a key in PEM.
func NewKeyText(pem string) KeyText { return KeyText{open: func() string { return pem }} }

// Reveal gives the key, "" for the zero KeyText.
func (k KeyText) Reveal() string {
	if k.open == nil {
		return ""
	}
	return k.open()
}

// UnmarshalJSON reads what a server sent.
func (k *KeyText) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		return errors.New("a private key must be text") // the decoder's own error would quote it
	}
	*k = NewKeyText(text)
	return nil
}

// MarshalJSON redacts.
func (k KeyText) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// String redacts.
func (k KeyText) String() string { return Redacted }

// GoString redacts.
func (k KeyText) GoString() string { return Redacted }

// Format redacts, whatever the verb.
func (k KeyText) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue redacts.
func (k KeyText) LogValue() slog.Value { return slog.StringValue(Redacted) }
