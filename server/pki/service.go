package pki

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/cursor"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/pki/revocation"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

// Scopes (contract section 15.2).
const (
	ScopeIssue = "pki:issue"
	ScopeAdmin = "pki:admin"
)

// Audit actions (contract sections 11 and 25).
const (
	ActionAuthorityCreate = "pki_ca_create"
	ActionAuthorityRead   = "pki_ca_read"
	ActionAuthorityList   = "pki_ca_list"
	ActionAuthorityRevoke = "pki_ca_revoke"
	ActionRoleCreate      = "pki_role_create"
	ActionRoleUpdate      = "pki_role_update"
	ActionRoleDelete      = "pki_role_delete"
	ActionRoleRead        = "pki_role_read"
	ActionRoleList        = "pki_role_list"
	ActionIssue           = "pki_issue"
	ActionSign            = "pki_sign"
	ActionRenew           = "pki_renew"
	ActionRevoke          = "pki_revoke"
	ActionCertificateRead = "pki_certificate_read"
	ActionKeyRead         = "pki_key_read"
	ActionCertificateList = "pki_certificate_list"
	ActionValidate        = "pki_validate"
)

// Limits of a page (contract OC-1).
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Deps is what a Service stands on. DB, Guard and Keys are required.
type Deps struct {
	DB     *store.DB
	Guard  *guard.Guard
	Keys   *seal.Keyring
	Random io.Reader // what keys and serials are drawn from; nil: crypto/rand
	// Endpoints are the addresses that a certificate names for those who check it, by its issuer; nil: none.
	Endpoints func(caID string, issuer *x509.Certificate) revocation.Endpoints
	CursorKey []byte // signs list cursors, the same on every replica; empty: the installation's id
}

// Service is the certificate authority. Every exported method with a caller authorises and audits; each is one use case.
type Service struct {
	db      *store.DB
	guard   *guard.Guard
	keys    *seal.Keyring
	points  func(caID string, issuer *x509.Certificate) revocation.Endpoints
	random  io.Reader
	cursors cursor.Signer
	signers *signers
	linter  *linter
	signed  *store.Stage // of signed

	announced *prometheus.CounterVec
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{db: d.DB, guard: d.Guard, keys: d.Keys, random: d.Random, cursors: cursor.Signer{Key: d.CursorKey}, announced: newAnnounced()}
	if s.points = d.Endpoints; s.points == nil {
		s.points = revocation.EndpointsUnder("")
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	if len(d.CursorKey) == 0 {
		s.cursors.Key = []byte(d.DB.Identity().InstanceID)
	}
	s.signers, s.linter = newSigners(), newLinter(s.random)
	s.signed = d.DB.NewStage("pki certificates", countSigned)
	return s
}

// newID makes an id: a prefix and 26 random lower-case base32 characters (contract OC-2).
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

var (
	refPattern  = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)
	rolePattern = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	certPattern = regexp.MustCompile(`^[a-zA-Z0-9_:]{1,64}$`) // an id or a serial number

	ownersPattern = regexp.MustCompile(`^[!-~]{1,512}$`)
)

// admin describes a call of an administrator; what cannot be an id or a name is not repeated in the audit trail.
func admin(action, ref string) guard.Access {
	a := guard.Access{Action: action, Scope: ScopeAdmin}
	if refPattern.MatchString(ref) {
		a.Target = ref
	}
	return a
}

// reading is admin for what those who issue may look at, too.
func reading(action, ref string) guard.Access {
	a := admin(action, ref)
	a.AltScopes = []string{ScopeIssue}
	return a
}

// issuing describes a call that makes a certificate by a role. A role that has no possible name is judged all the
// same: no pattern covers it.
func issuing(action, role string) guard.Access {
	return guard.Access{Action: action, Scope: ScopeIssue, Permission: policy.Issue, Class: policy.ClassPKI, Path: role}
}

func pageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultLimit, nil
	case limit < 0 || limit > MaxLimit:
		return 0, fault.Invalid(fault.CodeInvalidRequest, "limit must be 1 to %d", MaxLimit).With("field", "limit")
	}
	return limit, nil
}

// checkRemark is the rule that text for people breaks, or "".
func checkRemark(text string) string {
	if len(text) > maxDescription || strings.ContainsRune(text, 0) {
		return fmt.Sprintf("must have at most %d bytes, and no NUL", maxDescription)
	}
	return ""
}

// invalid is a field that breaks a rule: 422 validation_error.
func invalid(field, rule string) error { return fault.Validation(map[string]string{field: rule}) }

// judged turns a broken rule of certificates into validation_error; other errors stand as they are.
func judged(err error) error {
	var bad *certs.FieldError
	if errors.As(err, &bad) {
		return invalid(bad.Field, bad.Rule)
	}
	return err
}

// unread is the answer when the database could not be asked; faults stand as they are.
func unread(err error) error {
	if err == nil || fault.Code(err) != fault.CodeInternal {
		return err
	}
	return fault.Unavailable(err, "certificates cannot be read now")
}
