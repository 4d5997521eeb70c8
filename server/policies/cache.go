package policies

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/store"
)

// Cache holds each tenant's compiled set, as guard.Sets. Where this process is the only writer the
// set is replaced after COMMIT and before the writer is answered, so it is never stale. Elsewhere
// it may be older than the database until somebody asks for a newer revision.
type Cache struct {
	db *store.DB

	mu      sync.Mutex
	tenants map[string]*tenantSet
}

// NewCache makes an empty cache.
func NewCache(db *store.DB) *Cache { return &Cache{db: db, tenants: map[string]*tenantSet{}} }

type tenantSet struct {
	loading sync.Mutex // held by whoever reads the database

	mu       sync.Mutex
	set      *policy.Set // nil: not loaded
	revision int64       // of set
	newest   int64       // known to be committed; set is of no use below it
}

// usable returns the set if it is new enough.
func (t *tenantSet) usable(atLeast int64) (*policy.Set, int64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.set, t.revision, t.set != nil && t.revision >= max(t.newest, atLeast)
}

func (t *tenantSet) put(set *policy.Set, revision int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set == nil || revision > t.revision {
		t.set, t.revision = set, revision
	}
}

func (c *Cache) tenant(id string) *tenantSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tenants[id]
	if t == nil {
		t = &tenantSet{}
		c.tenants[id] = t
	}
	return t
}

// Set implements guard.Sets.
func (c *Cache) Set(ctx context.Context, tenant string, atLeast int64) (*policy.Set, int64, error) {
	t := c.tenant(tenant)
	if set, revision, ok := t.usable(atLeast); ok {
		return set, revision, nil
	}
	t.loading.Lock()
	defer t.loading.Unlock()
	for {
		if set, revision, ok := t.usable(atLeast); ok {
			return set, revision, nil
		}
		set, revision, err := c.load(ctx, tenant)
		if err != nil {
			return nil, 0, err
		}
		if revision < atLeast {
			return nil, 0, fmt.Errorf("policies of %s are at revision %d, not %d", tenant, revision, atLeast)
		}
		t.put(set, revision)
	}
}

// Fresh returns the set of the newest revision that is committed now.
func (c *Cache) Fresh(ctx context.Context, tenant string) (*policy.Set, error) {
	var atLeast int64
	if !c.db.Exclusive() {
		if err := c.db.QueryRow(ctx, revisionQuery, tenant).Scan(&atLeast); err != nil {
			return nil, fmt.Errorf("policy revision of %s: %w", tenant, err)
		}
	}
	set, _, err := c.Set(ctx, tenant, atLeast)
	return set, err
}

// advance is called once revision is committed. A set of the revision before it is brought forward
// by change; any other is loaded again by whoever needs it next.
func (c *Cache) advance(tenant string, revision int64, change func(*policy.Set) (*policy.Set, error)) {
	t := c.tenant(tenant)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newest = max(t.newest, revision)
	if t.set == nil || t.revision != revision-1 {
		return
	}
	if next, err := change(t.set); err == nil {
		t.set, t.revision = next, revision
	}
}

// load reads and compiles all of a tenant's policies in one statement.
func (c *Cache) load(ctx context.Context, tenant string) (*policy.Set, int64, error) {
	rows, err := c.db.Query(ctx, loadQuery, tenant)
	if err != nil {
		return nil, 0, fmt.Errorf("load policies of %s: %w", tenant, err)
	}
	var l loader
	if _, err := collect(rows, l.row); err != nil {
		return nil, 0, fmt.Errorf("load policies of %s: %w", tenant, err)
	}
	if l.revision == 0 {
		return nil, 0, fmt.Errorf("load policies of %s: %w", tenant, errNoTenant)
	}
	set, err := policy.Compile(l.policies)
	if err != nil {
		return nil, 0, fmt.Errorf("compile policies of %s: %w", tenant, err)
	}
	return set, l.revision, nil
}

var (
	errNoTenant = errors.New("no such tenant")
	errNotInSet = errors.New("policy is not in the compiled set")
)

// loader takes the rows of loadQuery: the tenant, then policies and bindings, both by policy.
type loader struct {
	revision int64
	policies []policy.Policy
	next     int // the policy that the bindings have come to
}

func (l *loader) row(row scanner) (struct{}, error) {
	var kind, value int64
	var id, a, b, c string
	if err := row.Scan(&kind, &id, &a, &b, &c, &value); err != nil {
		return struct{}{}, err
	}
	switch kind {
	case 0:
		l.revision = value
	case 1:
		return struct{}{}, l.policy(id, a, b, value != 0)
	default:
		l.binding(id, policy.Binding{ID: a, IdentityType: b, IdentityID: c, ExpiresAt: moment(value)})
	}
	return struct{}{}, nil
}

func (l *loader) policy(id, name, text string, active bool) error {
	wire, err := decodeRules(id, text)
	if err != nil {
		return err
	}
	rules, err := convertRules(wire)
	if err != nil {
		return fmt.Errorf("policy %s: %w", id, err)
	}
	l.policies = append(l.policies, policy.Policy{ID: id, Name: name, Active: active, Rules: rules})
	return nil
}

// binding relies on policies and bindings coming in the same order; a foreign key keeps every
// binding with its policy.
func (l *loader) binding(id string, b policy.Binding) {
	for l.next < len(l.policies) && l.policies[l.next].ID != id {
		l.next++
	}
	if l.next < len(l.policies) {
		p := &l.policies[l.next]
		p.Bindings = append(p.Bindings, b)
	}
}

// moment reads microseconds; 0 is never.
func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// compiledPolicy is a row as the evaluator takes it, without bindings.
func compiledPolicy(r record) (policy.Policy, error) {
	rules, err := convertRules(r.Rules)
	return policy.Policy{ID: r.ID, Name: r.Name, Active: r.Active, Rules: rules}, err
}

func compiledBinding(h held) policy.Binding {
	b := policy.Binding{ID: h.ID, IdentityType: h.Type, IdentityID: h.Identity}
	if h.Expires != nil {
		b.ExpiresAt = moment(*h.Expires)
	}
	return b
}
