package rotation

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/server/cursor"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

// Scopes that calls need (contract sections 6.2 and 25).
const (
	ScopeAdmin   = "admin"
	ScopeManage  = "rotation:manage"
	ScopeRotate  = "secrets:rotate"
	ScopeHistory = "audit:read"
	ScopeRelease = "owned:release" // may take away what the caller's own cluster owns
)

// Audit actions of this package (contract sections 11 and 25).
const (
	ActionRotate         = "rotate"
	ActionPolicyList     = "rotation_policy_list"
	ActionPolicyRead     = "rotation_policy_read"
	ActionPolicyCreate   = "rotation_policy_create"
	ActionPolicyUpdate   = "rotation_policy_update"
	ActionPolicyDelete   = "rotation_policy_delete"
	ActionAttach         = "rotation_attach"
	ActionDetach         = "rotation_detach"
	ActionAssignmentList = "rotation_assignment_list"
	ActionGrace          = "rotation_grace"
	ActionHistory        = "rotation_history"
	ActionDue            = "rotation_due"
	ActionAnnounce       = "rotation_announce"
	ActionReplan         = "rotation_replan"
)

// Events of this package (contract section 12.4).
const (
	EventRotated   = "secret.rotated"
	EventDue       = "rotation.due"
	EventOverdue   = "rotation.overdue"
	EventCompleted = "rotation.completed"
	EventFailed    = "rotation.failed"
)

// Heads is what this package asks of secrets in a transaction of its own.
type Heads interface {
	// Assign notes which policy a secret is under, "" for none, and tells when its newest version was made.
	Assign(c *guard.Call, path, policyID string) (time.Time, error)
	// Retire sets when an older version stops being readable.
	Retire(c *guard.Call, path string, version int64, at time.Time) error
	// Recipe tells which secret policy the values of a secret that is there are made by, or "".
	Recipe(ctx context.Context, tenant, path string) (id string, err error)
}

// Writer makes new versions of secrets.
type Writer interface {
	// Regenerate writes a version in which some fields are new; settle is part of its transaction and says when the
	// versions before stop being readable.
	Regenerate(ctx context.Context, who guard.Caller, a guard.Access,
		fill func(names []string) (generate.Result, error), settle func(c *guard.Call, old, next int64) (time.Time, error)) error
}

// Recipes are secret policies, by id or name.
type Recipes interface {
	// Find gives the id of a secret policy, and keeps it from being deleted until the transaction ends.
	Find(c *guard.Call, ref string) (id string, err error)
	// Generate makes values by a secret policy. It may take seconds.
	Generate(ctx context.Context, tenant, ref string) (id string, made generate.Result, err error)
}

// Receivers are webhooks.
type Receivers interface {
	// Missing gives those of ids that no webhook of the caller's tenant has.
	Missing(c *guard.Call, ids []string) ([]string, error)
}

// Deps is what a Service stands on. Book, Guard, Heads, Writer, Recipes and Receivers are required.
type Deps struct {
	Book      *Book
	Guard     *guard.Guard
	Heads     Heads
	Writer    Writer
	Recipes   Recipes
	Receivers Receivers
	Random    io.Reader      // of values; nil: crypto/rand
	Jitter    func() float64 // of pauses after a failure, from [0, 1); nil: random
	CursorKey []byte         // signs list cursors, the same on every replica; empty: the installation's id
	Log       *slog.Logger
}

// Service keeps rotation policies and rotates. Every method authorises and audits; each is one use case. Wherever
// it takes a policy's id, the policy's name will do (contract OC-2).
type Service struct {
	book      *Book
	db        *store.DB
	guard     *guard.Guard
	heads     Heads
	writer    Writer
	recipes   Recipes
	receivers Receivers
	random    io.Reader
	jitter    func() float64
	slow      chan struct{} // holds a token for each recipe with RSA keys or bcrypt hashes that is at work
	cursors   cursor.Signer
	log       *slog.Logger
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{
		book: d.Book, db: d.Book.db, guard: d.Guard, heads: d.Heads, writer: d.Writer, recipes: d.Recipes, receivers: d.Receivers,
		random: d.Random, jitter: d.Jitter, log: d.Log,
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	s.slow = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	if s.jitter == nil {
		s.jitter = mathrand.Float64
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	key := d.CursorKey
	if len(key) == 0 {
		key = []byte(s.db.Identity().InstanceID)
	}
	s.cursors = cursor.Signer{Key: key}
	return s
}

// Jobs are what the service does in the background.
func (s *Service) Jobs() []jobs.Kind {
	return []jobs.Kind{
		{Name: kindSecret, Lease: lease, Workers: workers, Run: s.fire},
		{Name: kindPolicy, Lease: lease, Workers: 1, Run: s.replanRest},
	}
}

// Kinds of jobs: one for each assignment, by path, and one for a policy whose change concerns more assignments than
// one transaction takes, by id.
const (
	kindSecret = "rotation"
	kindPolicy = "rotation.policy"

	lease   = 2 * time.Minute // an RSA key of 4096 bits takes seconds
	workers = 64              // so that one commit, which waits for the disk, holds many rotations
)

const (
	policyPrefix  = "rot_"
	historyPrefix = "hist_"
	idLength      = 26 // of an id's random part
)

// newID makes an id: 26 random lower-case base32 characters (contract OC-2).
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// scheduler is who rotates when the time has come.
func scheduler(tenant string) guard.Caller { return guard.System("rotation-scheduler", tenant) }

// managing is access to policies.
func managing(action, ref string) guard.Access {
	a := guard.Access{Action: action, Scope: ScopeAdmin, AltScopes: []string{ScopeManage}}
	if isName(ref) {
		a.Target = ref
	}
	return a
}
