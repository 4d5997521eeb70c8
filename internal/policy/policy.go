package policy

import (
	"net/netip"
	"time"
)

// Class says what kind of thing a path names.
type Class string

// The classes of contract section 25. The class of tenant secrets is written without a prefix.
const (
	ClassSecrets Class = ""
	ClassPKI     Class = "pki"     // the path is a role name
	ClassDynamic Class = "dynamic" // the path is engine/role
	ClassPartner Class = "partner" // the path is that of a partner-wide secret
)

// Permission is what a rule grants.
type Permission string

// The permissions of contract sections 5.1 and 25. Admin includes all others of its class.
const (
	Read     Permission = "read"
	Write    Permission = "write"
	Delete   Permission = "delete"
	List     Permission = "list"
	Rotate   Permission = "rotate"
	Admin    Permission = "admin"
	Issue    Permission = "issue"    // class pki only
	Generate Permission = "generate" // class dynamic only
)

// The identity types a binding may name (contract section 5.1).
const (
	TypeUser           = "user"
	TypeServiceAccount = "service_account"
	TypeGroup          = "group"
)

// Error codes of a denial and of a broken policy (contract section 17).
const (
	CodeAccessDenied  = "access_denied"
	CodeMFARequired   = "mfa_required"
	CodeIPNotAllowed  = "ip_not_allowed"
	CodeTimeWindow    = "time_window_violation"
	CodeInvalidGlob   = "invalid_glob"
	CodeInvalidPolicy = "invalid_policy"
)

// Rule grants permissions on the paths of one pattern.
type Rule struct {
	Pattern     string
	Permissions []Permission
	Conditions  *Conditions // nil: always
}

// Binding ties a policy to an identity.
type Binding struct {
	ID           string
	IdentityType string
	IdentityID   string
	ExpiresAt    time.Time // zero: never
}

func (b Binding) identity() identity { return identity{kind: b.IdentityType, id: b.IdentityID} }

// Policy is a named list of rules and those it is bound to. ID is unique within a Set.
type Policy struct {
	ID       string
	Name     string
	Active   bool
	Rules    []Rule
	Bindings []Binding
}

// Subject is who asks, and from where.
type Subject struct {
	Type      string     // as in Binding.IdentityType
	ID        string     // as in Binding.IdentityID
	Groups    []string   // ids as bindings write them: group:<name>
	Namespace string     // Kubernetes namespace, which {namespace} stands for; empty: none
	IP        netip.Addr // zero: unknown, which satisfies no ip_ranges condition
	MFA       bool
	Now       time.Time // zero: unknown, which satisfies no time window and no binding that ends
}

// identities yields the keys under which something may be bound to the subject.
func (s *Subject) identities(yield func(identity) bool) {
	if !yield(identity{kind: s.Type, id: s.ID}) {
		return
	}
	for _, group := range s.Groups {
		if !yield(identity{kind: TypeGroup, id: group}) {
			return
		}
	}
}

// Request is one question put to a Set.
type Request struct {
	Subject    Subject
	Permission Permission
	Class      Class
	Path       string
}

// Decision answers a Request.
type Decision struct {
	Allowed         bool
	PolicyID        string   // the policy that allowed
	Rule            int      // index of the rule that allowed; -1 when denied
	Reason          string   // error code when denied, else empty
	FailedCondition string   // ip_ranges, time_window or require_mfa when Reason is a condition's code
	Evaluated       []string // by Explain only: policies that apply to the subject now, in the order of the Set
	Nearest         *Near    // by Explain only, when denied: what came nearest; nil: nothing did
}

// Near is the rule that came nearest to allowing a denied request.
type Near struct {
	PolicyID string
	Rule     int
	Pattern  string
	Why      string // one of the Why constants
}

// Why a rule did not allow, nearest first.
const (
	WhyCondition  = "condition_failed"   // path and permission match
	WhyExpired    = "binding_expired"    // path and permission match
	WhyInactive   = "policy_inactive"    // path and permission match
	WhyPermission = "permission_missing" // the path matches
	WhyPath       = "path_differs"       // the rule agrees on one or more leading segments
)
