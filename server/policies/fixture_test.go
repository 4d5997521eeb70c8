package policies_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/policies"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// start is 12:00 on a Monday.
var start = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// trail keeps entries and events in memory. What was staged by a transaction that failed counts too;
// tests look at calls that succeed.
type trail struct {
	mu      sync.Mutex
	entries []guard.Entry
	events  []guard.Event
	refuse  error // answered to Emit
}

func (r *trail) Append(_ context.Context, entries ...guard.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, entries...)
	return nil
}

func (r *trail) Stage(_ *store.Tx, entries ...guard.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, entries...)
}

func (r *trail) Emit(_ *store.Tx, events ...guard.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
	return r.refuse
}

func (r *trail) actions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.entries {
		all = append(all, e.Action)
	}
	return all
}

func (r *trail) announced() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.events {
		all = append(all, e.Type)
	}
	return all
}

// vault is one server process: its own guard and cache on a database.
type vault struct {
	*policies.Service
	db    *store.DB
	guard *guard.Guard
	cache *policies.Cache
	trail *trail
	clock *clock
}

func newVault(t *testing.T, db *store.DB) *vault {
	t.Helper()
	v := &vault{db: db, trail: &trail{}, clock: &clock{at: start}, cache: policies.NewCache(db)}
	v.guard = &guard.Guard{DB: db, Audit: v.trail, Events: v.trail, Sets: v.cache, Now: v.clock.now}
	v.Service = policies.New(policies.Deps{DB: db, Guard: v.guard, Cache: v.cache})
	return v
}

// each runs a test on both engines, in a database with the tenants tnt_a and tnt_b.
func each(t *testing.T, test func(t *testing.T, v *vault)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		addTenants(t, db)
		test(t, newVault(t, db))
	})
}

func addTenants(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO partners (id, name, created_at) VALUES ('ptn_1', 'partner', 0)`)
		for _, tenant := range []string{"tnt_a", "tnt_b"} {
			_, more := tx.Exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ($1, 'ptn_1', $1, 0)`, tenant)
			err = errors.Join(err, more)
		}
		return err
	})
	must(t, err)
}

// root may do anything, in tnt_a.
func root() guard.Caller {
	return guard.Caller{
		Tenant: "tnt_a", Type: guard.TypeUser, ID: "user:root@acme.example",
		Scopes: []string{policies.ScopeRead, policies.ScopeWrite}, Roles: []string{guard.RoleSuperAdmin},
	}
}

// editor may change policies, in tnt_a, and is no super administrator.
func editor() guard.Caller {
	return guard.Caller{
		Tenant: "tnt_a", Type: guard.TypeUser, ID: "user:editor@acme.example", Groups: []string{"group:editors"},
		Scopes: []string{policies.ScopeRead, policies.ScopeWrite},
	}
}

func reader(id string) guard.Caller {
	return guard.Caller{Tenant: "tnt_a", Type: guard.TypeServiceAccount, ID: id, Scopes: []string{"secrets:read"}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// code fails unless err is a fault of that code; it returns the fault.
func code(t *testing.T, err error, want string) *fault.Error {
	t.Helper()
	if got := fault.Code(err); got != want {
		t.Fatalf("got %q (%v), want %q", got, err, want)
	}
	return fault.From(err)
}

func readRule(pattern string) vaultapi.Rule {
	return vaultapi.Rule{PathPattern: pattern, Permissions: []string{"read"}}
}

func (v *vault) create(t *testing.T, name string, rules ...vaultapi.Rule) vaultapi.Policy {
	t.Helper()
	p, err := v.Create(t.Context(), root(), vaultapi.PolicyWrite{Name: name, Rules: rules})
	must(t, err)
	return p
}

func (v *vault) bind(t *testing.T, policy, identity string) vaultapi.Binding {
	t.Helper()
	b, err := v.Bind(t.Context(), root(), policy, vaultapi.BindingWrite{IdentityID: identity})
	must(t, err)
	return b
}

// reads reports whether an identity of tnt_a may read a path.
func (v *vault) reads(t *testing.T, identity, path string) bool {
	t.Helper()
	a := guard.Access{Action: "read", Scope: "secrets:read", Permission: "read", Path: path}
	_, err := guard.Do(t.Context(), v.guard, reader(identity), a, func(*guard.Call) (int, error) { return 1, nil })
	if err != nil && !fault.Is(err, fault.CodeAccessDenied) {
		t.Fatal(err)
	}
	return err == nil
}

func (v *vault) revision(t *testing.T) int64 {
	t.Helper()
	var n int64
	must(t, v.db.QueryRow(t.Context(), `SELECT policy_revision FROM tenants WHERE id = 'tnt_a'`).Scan(&n))
	return n
}

func names(list vaultapi.PolicyList) []string {
	var all []string
	for _, p := range list.Policies {
		all = append(all, p.Name)
	}
	slices.Sort(all)
	return all
}

func ptr[T any](v T) *T { return &v }
