package fault

// The public error codes (contract section 17 and 25). Clients branch on them; they never change.
const (
	CodeInvalidRequest    = "invalid_request"
	CodeInvalidPath       = "invalid_path"
	CodeInvalidSecretType = "invalid_secret_type"
	CodeInvalidDuration   = "invalid_duration"
	CodeInvalidCursor     = "invalid_cursor"
	CodeInvalidPolicy     = "invalid_policy"
	CodeInvalidGlob       = "invalid_glob"
	CodeInvalidRole       = "invalid_role"

	CodeAuthenticationRequired = "authentication_required"
	CodeTokenExpired           = "token_expired"
	CodeTokenInvalid           = "token_invalid"
	CodeTokenRevoked           = "token_revoked"

	CodeAccessDenied       = "access_denied"
	CodeInsufficientScope  = "insufficient_scope"
	CodeMFARequired        = "mfa_required"
	CodeIPNotAllowed       = "ip_not_allowed"
	CodeTimeWindow         = "time_window_violation"
	CodeTenantAccessDenied = "tenant_access_denied"
	CodeForbidden          = "forbidden"

	CodeRouteNotFound        = "not_found"
	CodeMethodNotAllowed     = "method_not_allowed"
	CodeSecretNotFound       = "secret_not_found"
	CodeVersionNotFound      = "version_not_found"
	CodePolicyNotFound       = "policy_not_found"
	CodeBindingNotFound      = "binding_not_found"
	CodeSubscriptionNotFound = "subscription_not_found"
	CodeTenantNotFound       = "tenant_not_found"
	CodeTokenNotFound        = "token_not_found"
	CodeTrustRuleNotFound    = "trust_rule_not_found"
	CodeSecretPolicyNotFound = "secret_policy_not_found"
	CodeWebhookNotFound      = "webhook_not_found"

	CodeRotationPolicyNotFound = "rotation_policy_not_found"
	CodeAssignmentNotFound     = "assignment_not_found"

	CodeCANotFound          = "ca_not_found"
	CodeRoleNotFound        = "role_not_found"
	CodeCertificateNotFound = "certificate_not_found"
	CodeTrustAnchorNotFound = "trust_anchor_not_found"
	CodeSlotNotFound        = "slot_not_found"
	CodeCARequestNotFound   = "ca_request_not_found"
	CodeCSRNotFound         = "csr_not_found"

	CodeCAExists           = "ca_exists"
	CodeCAInactive         = "ca_inactive" // revoked or expired
	CodeRoleExists         = "role_exists"
	CodeCertificateRevoked = "certificate_revoked"
	CodeTrustAnchorExists  = "trust_anchor_exists"
	CodeCAExternal         = "ca_external" // signed outside of the vault, which cannot do so itself
	CodeCANotExternal      = "ca_not_external"
	CodeCSRDecided         = "csr_decided"      // approved, rejected, signed or expired
	CodeCSRNotApproved     = "csr_not_approved" // or not any more
	CodeSlotExists         = "slot_exists"
	CodeSlotActive         = "slot_active"
	CodeSlotInactive       = "slot_inactive" // retired or expired
	CodeSlotInUse          = "slot_in_use"

	CodeSecretExists       = "secret_exists"
	CodeVersionConflict    = "version_conflict"
	CodePolicyInUse        = "policy_in_use"
	CodePolicyExists       = "policy_exists"
	CodeBindingExists      = "binding_exists"
	CodeTrustRuleExists    = "trust_rule_exists"
	CodeSecretPolicyExists = "secret_policy_exists"
	CodeManagedResource    = "managed_resource"
	CodeWebhookExists      = "webhook_exists"
	CodeSecretAssigned     = "secret_assigned"

	CodeValidation  = "validation_error"
	CodeRateLimited = "rate_limited"
	CodeInternal    = "internal_error"
	CodeUnavailable = "service_unavailable"
)
