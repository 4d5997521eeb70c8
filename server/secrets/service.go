package secrets

import (
	"context"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

// Scopes that calls need (contract sections 3.3 and 15.2).
const (
	ScopeRead   = "secrets:read"
	ScopeWrite  = "secrets:write"
	ScopeDelete = "secrets:delete"
	ScopeList   = "secrets:list"
)

// Audit actions of this package (contract sections 11 and 25).
const (
	ActionRead           = "read"
	ActionWrite          = "write"
	ActionDelete         = "delete"
	ActionList           = "list"
	ActionRestore        = "secret_restore"
	ActionMetadataRead   = "metadata_read"
	ActionMetadataUpdate = "metadata_update"
	ActionVersionsRead   = "versions_read"
	ActionPurge          = "secret_purge"
	ActionExpiryNotice   = "secret_expiry_notice"
)

// Events of this package (contract sections 12.4 and 25).
const (
	EventCreated         = "secret.created"
	EventUpdated         = "secret.updated"
	EventDeleted         = "secret.deleted"
	EventRestored        = "secret.restored"
	EventMetadataUpdated = "secret.metadata_updated"
	EventExpiring        = "secret.expiring"
	EventExpired         = "secret.expired"
)

// DefaultRetention is how long a soft-deleted secret can be restored (contract OC-5).
const DefaultRetention = 30 * 24 * time.Hour

// Rotations is what this package tells the domain of rotation, within the transaction of what happens.
type Rotations interface {
	// Written tells of a version that a caller wrote to a secret under a rotation policy. It says whether this
	// was the rotation that was waited for, and then when the versions before it stop being readable.
	Written(c *guard.Call, path string, version int64) (rotation bool, retire time.Time, err error)
	// Attach puts a secret under a rotation policy, by id or name, and gives its id. "" takes it away.
	Attach(c *guard.Call, path, policy string) (string, error)
	// Live tells that a secret under a rotation policy was deleted so that it can be restored, or is back.
	Live(c *guard.Call, path string, live bool) error
}

// Deps is what a Service stands on. DB, Guard, Keys and Jobs are required. Without Rotations no secret can be attached.
type Deps struct {
	DB         *store.DB
	Guard      *guard.Guard
	Keys       *seal.Keyring
	Jobs       *jobs.Queue // runs what Jobs returns
	Recipes    Recipes     // makes values for generate_from
	Rotations  Rotations
	Retention  time.Duration // of soft-deleted secrets; 0: DefaultRetention
	CacheBytes int64         // of sealed rows kept in memory where this process is the only writer; 0: 64 MiB, negative: no rows nor pages of lists
}

// Service owns versioned secrets. Every method authorises and audits first; each is one use case.
type Service struct {
	db        *store.DB
	guard     *guard.Guard
	keys      *seal.Keyring
	jobs      *jobs.Queue
	recipes   Recipes
	rotations Rotations
	retention time.Duration
	cache     *cache
	pages     *pages
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{db: d.DB, guard: d.Guard, keys: d.Keys, jobs: d.Jobs, recipes: d.Recipes, rotations: d.Rotations, retention: d.Retention}
	if s.retention == 0 {
		s.retention = DefaultRetention
	}
	if d.CacheBytes == 0 {
		d.CacheBytes = defaultCacheBytes
	}
	if d.DB.Exclusive() && d.CacheBytes > 0 {
		s.cache, s.pages = newCache(d.CacheBytes), newPages()
	}
	return s
}

func access(action, scope string, p policy.Permission, path Path) guard.Access {
	return guard.Access{Action: action, Scope: scope, Permission: p, Path: path.text}
}

// refused records a call that was found impossible before its transaction. Where the caller may not make
// the call at all, he learns only that.
func refused[T any](ctx context.Context, g *guard.Guard, who guard.Caller, a guard.Access, err error) (T, error) {
	return guard.Do(ctx, g, who, a, func(*guard.Call) (zero T, _ error) { return zero, err })
}
