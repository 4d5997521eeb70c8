package policies

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/cursor"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Scopes that calls need (contract sections 5.3 and 25).
const (
	ScopeRead    = "policies:read"
	ScopeWrite   = "policies:write"
	ScopeRelease = "owned:release" // may delete what the caller's own cluster owns
)

// Audit actions of this package (contract sections 11 and 25).
const (
	ActionCreate      = "policy_create"
	ActionUpdate      = "policy_update"
	ActionDelete      = "policy_delete"
	ActionBind        = "policy_bind"
	ActionUnbind      = "policy_unbind"
	ActionRead        = "policy_read"
	ActionList        = "policy_list"
	ActionBindingList = "policy_binding_list"
)

// Events of this package (contract section 12.4).
const (
	EventCreated        = "policy.created"
	EventUpdated        = "policy.updated"
	EventDeleted        = "policy.deleted"
	EventBindingCreated = "policy.binding.created"
	EventBindingDeleted = "policy.binding.deleted"
)

// Deps is what a Service stands on. DB, Guard and Cache are required, and Guard.Sets is the Cache.
type Deps struct {
	DB        *store.DB
	Guard     *guard.Guard
	Cache     *Cache
	CursorKey []byte // signs list cursors, the same on every replica; empty: the installation's id
}

// Service keeps policies. Every method authorises and, but for Test, audits; each is one use case.
// Wherever it takes a policy's id, the policy's name will do (contract OC-2).
type Service struct {
	db      *store.DB
	guard   *guard.Guard
	cache   *Cache
	cursors cursor.Signer
}

// New makes the service.
func New(d Deps) *Service {
	key := d.CursorKey
	if len(key) == 0 {
		key = []byte(d.DB.Identity().InstanceID)
	}
	return &Service{db: d.DB, guard: d.Guard, cache: d.Cache, cursors: cursor.Signer{Key: key}}
}

const idLength = 26 // of an id's random part

// newID makes an id: 26 random lower-case base32 characters (contract OC-2).
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// lock takes the tenant's row until the end of the transaction and returns its policy revision. It
// comes before every other query of a change, so what they read does not change under it.
func (s *Service) lock(c *guard.Call) (int64, error) {
	var revision int64
	err := c.Tx.QueryRow(revisionQuery+s.db.ForUpdate(), c.Who.Tenant).Scan(&revision)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, fault.NotFound(fault.CodeTenantNotFound, "there is no tenant %s", c.Who.Tenant)
	case err != nil:
		return 0, fmt.Errorf("lock tenant %s: %w", c.Who.Tenant, err)
	}
	return revision, nil
}

// raise makes the change the tenant's next revision. Once it is committed, change brings the
// compiled set up to it before the caller is answered.
func (s *Service) raise(c *guard.Call, revision int64, change func(*policy.Set) (*policy.Set, error)) error {
	if _, err := c.Tx.Exec(raiseQuery, revision+1, c.Who.Tenant); err != nil {
		return fmt.Errorf("raise the policy revision of %s: %w", c.Who.Tenant, err)
	}
	tenant := c.Who.Tenant
	c.Tx.AfterCommit(func() { s.cache.advance(tenant, revision+1, change) })
	return nil
}

// locked finds a policy in a change, behind the lock.
func (s *Service) locked(c *guard.Call, ref string) (record, int64, error) {
	revision, err := s.lock(c)
	if err != nil {
		return record{}, 0, err
	}
	r, err := findPolicy(c.Tx.QueryRow, c.Who.Tenant, ref)
	if err == nil {
		c.Note("policy_id", r.ID)
		c.Note("policy_name", r.Name)
	}
	return r, revision, err
}

// found finds a policy in a call that changes nothing.
func (s *Service) found(ctx context.Context, who guard.Caller, ref string) (record, error) {
	return findPolicy(s.row(ctx), who.Tenant, ref)
}

func (s *Service) row(ctx context.Context) queryRow {
	return func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }
}

func (s *Service) rows(ctx context.Context) queryRows {
	return func(query string, args ...any) (*sql.Rows, error) { return s.db.Query(ctx, query, args...) }
}

// access describes a call about one policy. What cannot be an id or a name is not repeated in the
// audit trail.
func access(action, scope, ref string) guard.Access {
	a := guard.Access{Action: action, Scope: scope}
	if isName(ref) {
		a.Target = ref
	}
	return a
}
