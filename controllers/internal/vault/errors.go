package vault

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Codes of the contract (section 17) that the operator tells apart.
const (
	codeSecretNotFound  = "secret_not_found"
	codeVersionNotFound = "version_not_found"
	codeAccessDenied    = "access_denied"
)

// limitedPause is the pause after a rate limit that names none.
const limitedPause = 5 * time.Second

// IsMissing tells whether the vault said that a secret, or the version asked for, does not exist.
func IsMissing(err error) bool { return IsMissingCode(vaultapi.Code(err)) }

// IsMissingCode is IsMissing for one path of a batch.
func IsMissingCode(code string) bool {
	return code == codeSecretNotFound || code == codeVersionNotFound
}

// Denied is the error of a path that an identity may not read.
func Denied(identity, path, code string) error {
	return denied(fmt.Sprintf("%s may not read %s: %s", identity, path, because(code)), "read", "a pattern that covers the path")
}

// DeniedBelow is the error of a prefix below which an identity may list nothing.
func DeniedBelow(identity, prefix, code string) error {
	return denied(fmt.Sprintf("%s may list nothing below %s: %s", identity, prefix, because(code)), "list and read", prefix+"**")
}

// Hidden is the error of a path that an identity could list before and now may only read.
func Hidden(identity, path string) error {
	return denied(fmt.Sprintf("%s may read %s and no longer list it, which a pathPrefix needs", identity, path), "list", "a pattern that covers the path")
}

func because(code string) string {
	if code != codeAccessDenied {
		return "the vault answers " + code
	}
	return "no VaultPolicy allows it"
}

func denied(what, permission, where string) error {
	return reconcile.Stalled(v1alpha1.ReasonAccessDenied, fmt.Errorf(
		"%s; let a VaultPolicy name the ServiceAccount as a subject and allow %s on %s; nothing else is needed, this runs again when policies change",
		what, permission, where))
}

// Explain gives an error of a call its kind. Texts of the server are public by contract; a body that could
// not be read is not quoted.
func Explain(err error, doing string) error {
	var e *vaultapi.Error
	switch {
	case err == nil:
		return nil
	case reconcile.HasKind(err):
		return err
	case errors.As(err, &e) && e.Status == http.StatusTooManyRequests:
		return reconcile.Waiting(v1alpha1.ReasonVaultUnavailable, max(e.RetryAfter, limitedPause), fmt.Errorf("%s: %s", doing, e.Message))
	case errors.As(err, &e):
		return reconcile.Retrying(v1alpha1.ReasonVaultUnavailable, fmt.Errorf("%s: %w", doing, e))
	}
	return reconcile.Retrying(v1alpha1.ReasonVaultUnavailable, fmt.Errorf("%s: %s", doing, unreachable(err)))
}

// unreachable says what keeps the network from the vault.
func unreachable(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return "the vault does not answer: " + u.Err.Error() + "; this is tried again, see whether scaivault-server runs"
	}
	return "the vault's answer cannot be read"
}

// IsDeniedCode tells whether a code of one path of a batch says that the caller may not.
func IsDeniedCode(code string) bool {
	switch code {
	case codeAccessDenied, "insufficient_scope", "mfa_required", "ip_not_allowed", "time_window_violation",
		"tenant_access_denied", "forbidden":
		return true
	}
	return false
}
