package secrets_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// world is the service on a real database, guard and key chain, with a trail and policies in memory.
type world struct {
	*secrets.Service
	db    *store.DB
	keys  *seal.Keyring
	jobs  *jobs.Queue
	trail *trail
	sets  *guardtest.Sets
	clock *clock
}

func eachWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(t, newWorld(t, db)) })
}

func newWorld(tb testing.TB, db *store.DB, change ...func(*secrets.Deps)) *world {
	tb.Helper()
	root, err := seal.NewRootKey()
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := seal.Open(tb.Context(), db, root)
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{db: db, keys: keys, trail: &trail{}, sets: guardtest.NewSets(tb), clock: newClock()}
	w.jobs = jobs.New(jobs.Options{DB: db, Now: w.clock.now})
	d := secrets.Deps{DB: db, Keys: keys, Guard: guardOf(w), Jobs: w.jobs}
	for _, c := range change {
		c(&d)
	}
	w.Service = secrets.New(d)
	return w
}

func guardOf(w *world) *guard.Guard {
	return &guard.Guard{DB: w.db, Audit: w.trail, Events: w.trail, Sets: w.sets, Now: w.clock.now}
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// trail records what is committed, and keeps events in the outbox.
type trail struct {
	mu      sync.Mutex
	entries []guard.Entry
	fail    error
	discard bool
}

func (r *trail) Append(_ context.Context, entries ...guard.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.discard {
		r.entries = append(r.entries, entries...)
	}
	return r.fail
}

func (r *trail) Stage(tx *store.Tx, entries ...guard.Entry) {
	tx.AfterCommit(func() { _ = r.Append(context.Background(), entries...) })
}

func (r *trail) Emit(tx *store.Tx, events ...guard.Event) error {
	for _, e := range events {
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO outbox (tenant, event) VALUES ($1, $2)`, e.Tenant, string(raw)); err != nil {
			return err
		}
	}
	return nil
}

// last is the newest entry.
func (r *trail) last(tb testing.TB) guard.Entry {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) == 0 {
		tb.Fatal("nothing was recorded")
	}
	return r.entries[len(r.entries)-1]
}

func (r *trail) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}

// events are those committed so far, in the order of the outbox.
func (w *world) events(tb testing.TB) []guard.Event {
	tb.Helper()
	rows, err := w.db.Query(tb.Context(), `SELECT event FROM outbox ORDER BY seq`)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	var out []guard.Event
	for rows.Next() {
		var raw string
		var e guard.Event
		if err := rows.Scan(&raw); err != nil {
			tb.Fatal(err)
		}
		if err := json.Unmarshal([]byte(raw), &e); err != nil {
			tb.Fatal(err)
		}
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return out
}

var everyScope = []string{secrets.ScopeRead, secrets.ScopeWrite, secrets.ScopeDelete, secrets.ScopeList}

// root may do everything.
var root = guard.Caller{
	Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:root@example.com",
	Roles: []string{guard.RoleSuperAdmin}, Scopes: everyScope, RequestID: "req_1",
}

// billing has every scope, and what the test grants.
var billing = guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:billing", Namespace: "billing", Scopes: everyScope}

func at(tb testing.TB, path string) secrets.Path {
	tb.Helper()
	p, err := secrets.ParsePath(path)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func value(data string) vaultapi.WriteRequest {
	return vaultapi.WriteRequest{Data: json.RawMessage(data)}
}

func (w *world) mustWrite(tb testing.TB, path string, in vaultapi.WriteRequest) vaultapi.SecretInfo {
	tb.Helper()
	info, err := w.Write(tb.Context(), root, at(tb, path), in)
	if err != nil {
		tb.Fatalf("write %s: %v", path, err)
	}
	return info
}

func (w *world) mustRead(tb testing.TB, path string, version int64, want string) secrets.Secret {
	tb.Helper()
	s, err := w.Read(tb.Context(), root, at(tb, path), version)
	if err != nil {
		tb.Fatalf("read %s: %v", path, err)
	}
	if got := string(s.Data.Reveal()); got != want {
		tb.Fatalf("read %s version %d: %s, want %s", path, version, got, want)
	}
	return s
}

// wantFault wants an error of a code, with these details as `key=value`.
func wantFault(tb testing.TB, err error, code string, details ...string) {
	tb.Helper()
	if !fault.Is(err, code) {
		tb.Errorf("got %v, want %s", err, code)
		return
	}
	var got []string
	for k, v := range fault.From(err).Details {
		got = append(got, fmt.Sprintf("%s=%v", k, v))
	}
	for _, want := range details {
		if !slices.Contains(got, want) {
			tb.Errorf("%v: details %q lack %q", err, got, want)
		}
	}
}

func pathsOf(items []vaultapi.SecretInfo) []string {
	paths := make([]string, 0, len(items))
	for _, i := range items {
		paths = append(paths, i.Path)
	}
	return paths
}

// field is a string field of a JSON object.
func field(tb testing.TB, raw json.RawMessage, name string) string {
	tb.Helper()
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		tb.Fatal(err)
	}
	text, _ := object[name].(string)
	return text
}

func thresholds(t vaultapi.Thresholds) *vaultapi.Thresholds { return &t }
