package secretpolicies

import (
	"crypto/rand"
	"database/sql"
	"io"
	"runtime"
	"strings"

	"github.com/scailabs/scaivault/server/cursor"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

// ScopeAdmin is what every call needs (contract OC-7).
const ScopeAdmin = "admin"

// Audit actions of this package (contract section 25).
const (
	ActionCreate  = "secret_policy_create"
	ActionUpdate  = "secret_policy_update"
	ActionDelete  = "secret_policy_delete"
	ActionRead    = "secret_policy_read"
	ActionList    = "secret_policy_list"
	ActionPreview = "secret_policy_preview"
)

// User is a domain whose objects name secret policies by their ids.
type User interface {
	// SecretPolicyUses counts the objects that use a policy, as they are in c's transaction.
	SecretPolicyUses(c *guard.Call, id string) (int64, error)
	// DropSecretPolicy takes a policy away from the objects that can do without one.
	DropSecretPolicy(c *guard.Call, id string) error
}

// Deps is what a Service stands on. DB, Guard and Keys are required.
type Deps struct {
	DB        *store.DB
	Guard     *guard.Guard
	Keys      *seal.Keyring
	Random    io.Reader // what values are drawn from; nil: crypto/rand
	CursorKey []byte    // signs list cursors, the same on every replica; empty: the installation's id
	Slow      int       // recipes with RSA keys or bcrypt hashes at once; 0: half as many as there are processors
}

// Service keeps secret policies. Every exported method with a caller authorises and audits; each is one use case.
// Wherever it takes a policy's id, the policy's name will do (contract OC-2).
type Service struct {
	db      *store.DB
	guard   *guard.Guard
	keys    *seal.Keyring
	random  io.Reader
	cursors cursor.Signer
	users   []User
	slow    chan struct{} // holds a token for each slow recipe at work
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{db: d.DB, guard: d.Guard, keys: d.Keys, random: d.Random, cursors: cursor.Signer{Key: d.CursorKey}}
	if s.random == nil {
		s.random = rand.Reader
	}
	if len(d.CursorKey) == 0 {
		s.cursors.Key = []byte(d.DB.Identity().InstanceID)
	}
	if d.Slow == 0 {
		d.Slow = max(1, runtime.GOMAXPROCS(0)/2)
	}
	s.slow = make(chan struct{}, d.Slow)
	return s
}

// UsedBy names the domains that are asked before a policy is deleted. It is called once, before the first call.
func (s *Service) UsedBy(users ...User) { s.users = users }

const idLength = 26 // of an id's random part

// newID makes an id: 26 random lower-case base32 characters (contract OC-2).
func newID() string { return idPrefix + strings.ToLower(rand.Text()) }

// access describes a call about one policy. What cannot be an id or a name is not repeated in the audit trail.
func access(action, ref string) guard.Access {
	a := guard.Access{Action: action, Scope: ScopeAdmin}
	if isName(ref) {
		a.Target = ref
	}
	return a
}

// queryRow runs a query in a transaction or on the readers.
type queryRow func(query string, args ...any) *sql.Row
