package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

var discard = slog.New(slog.DiscardHandler)

// world is a database with an event log that runs, and a guard whose policies a test sets.
type world struct {
	*testing.T
	db      *store.DB
	log     *events.Log
	service *events.Service
	guard   *guard.Guard
	audit   *recorder
	sets    *guardtest.Sets
	clock   *clock
}

// each runs test on both engines.
func each(t *testing.T, test func(w *world)) {
	t.Helper()
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, c)
		w.start()
		test(w)
	}, func(o *store.Options) { o.Now = c.now })
}

func newWorld(t *testing.T, db *store.DB, c *clock) *world {
	w := &world{T: t, db: db, log: events.NewLog(db, discard), audit: &recorder{}, sets: &guardtest.Sets{}, clock: c}
	w.guard = &guard.Guard{DB: db, Audit: w.audit, Events: w.log, Sets: w.sets, Now: c.now}
	w.service = events.NewService(w.guard, w.log, nil)
	w.grant()
	w.exec(`INSERT INTO partners (id, name, created_at) VALUES ('ptn_1', 'p', 0)`)
	w.exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ('tnt_a', 'ptn_1', 'a', 0), ('tnt_b', 'ptn_1', 'b', 0)`)
	return w
}

// start runs the log until the test ends.
func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.log.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run: %v", err)
		}
	})
}

// grant replaces the tenant's policies by one that lets alice and bob list the patterns.
func (w *world) grant(patterns ...string) {
	w.Helper()
	p := policy.Policy{ID: "pol_1", Active: true, Bindings: []policy.Binding{
		{ID: "bind_1", IdentityType: policy.TypeUser, IdentityID: alice.ID},
		{ID: "bind_2", IdentityType: policy.TypeUser, IdentityID: bob.ID},
	}}
	for _, pattern := range patterns {
		p.Rules = append(p.Rules, policy.Rule{Pattern: pattern, Permissions: []policy.Permission{policy.List}})
	}
	w.sets.Grant(w, p)
}

var (
	alice = user("user:alice@acme.example", "tnt_a")
	bob   = user("user:bob@acme.example", "tnt_a")
	// mallory is named like alice, elsewhere.
	mallory = user("user:alice@acme.example", "tnt_b")
)

func user(id, tenant string) guard.Caller {
	return guard.Caller{
		Tenant: tenant, Partner: "ptn_1", Type: guard.TypeUser, ID: id,
		Scopes: []string{"subscriptions:read", "subscriptions:write", "policies:read"},
	}
}

// change commits one change of path with an event, and returns the version it made.
func (w *world) change(ctx context.Context, tenant, path string) (int64, error) {
	who := guard.System("test", tenant)
	return guard.Change(ctx, w.guard, who, guard.Access{Action: "write"}, func(c *guard.Call) (int64, error) {
		var version int64
		err := c.Tx.QueryRow(`INSERT INTO secrets (tenant, path, secret_type, version, max_versions, metadata, created_at, updated_at)
VALUES ($1, $2, 'kv', 1, 1, '{}', 0, 0) ON CONFLICT (tenant, path) DO UPDATE SET version = secrets.version + 1 RETURNING version`,
			tenant, path).Scan(&version)
		if err != nil {
			return 0, err
		}
		return version, c.Emit("secret.updated", path, map[string]any{"new_version": version})
	})
}

func (w *world) mustChange(tenant string, paths ...string) {
	w.Helper()
	for _, path := range paths {
		if _, err := w.change(w.Context(), tenant, path); err != nil {
			w.Fatal(err)
		}
	}
}

// emit commits events without a change.
func (w *world) emit(tenant string, evs ...guard.Event) {
	w.Helper()
	err := w.db.Update(w.Context(), func(tx *store.Tx) error {
		for i := range evs {
			evs[i].Tenant, evs[i].Time = tenant, w.clock.now()
			if evs[i].Data == nil {
				evs[i].Data = json.RawMessage(`{}`)
			}
		}
		return w.log.Emit(tx, evs...)
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) subscribe(who guard.Caller, buffer int64, paths ...string) vaultapi.Subscription {
	w.Helper()
	s, err := w.service.Create(w.Context(), who, vaultapi.SubscriptionWrite{
		Name: "test", Paths: paths, Delivery: vaultapi.Delivery{Type: "polling", BufferSize: buffer},
	})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// poll waits for events.
func (w *world) poll(who guard.Caller, id, since string) vaultapi.Poll {
	w.Helper()
	return w.pollWith(who, id, events.PollRequest{Timeout: 10 * time.Second, SinceEventID: since})
}

// settled waits until the sequencer has given every committed event its position.
func (w *world) settled(tenant string, position int64) {
	w.Helper()
	var head int64
	for head < position {
		if w.Context().Err() != nil {
			w.Fatal("the sequencer does not come to an end")
		}
		if err := w.db.QueryRow(w.Context(), `SELECT COALESCE(MAX(position), 0) FROM event_heads WHERE tenant = $1`, tenant).Scan(&head); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) pollWith(who guard.Caller, id string, r events.PollRequest) vaultapi.Poll {
	w.Helper()
	p, err := w.service.Poll(w.Context(), who, id, r)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// paths of a poll's events, each with its version.
func paths(p vaultapi.Poll) []string {
	got := []string{}
	for _, e := range p.Events {
		var d struct {
			Version int64 `json:"new_version"`
		}
		if json.Unmarshal(e.Data, &d) == nil && d.Version > 0 {
			got = append(got, fmt.Sprintf("%s@%d", e.Path, d.Version))
		} else {
			got = append(got, e.EventType+" "+e.Path)
		}
	}
	return got
}

// recorder keeps audit entries in memory.
type recorder struct {
	mu      sync.Mutex
	entries []guard.Entry
}

func (r *recorder) Append(_ context.Context, entries ...guard.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, entries...)
	return nil
}

func (r *recorder) Stage(_ *store.Tx, entries ...guard.Entry) {
	_ = r.Append(context.Background(), entries...)
}

// actions of the entries, failed ones with their code.
func (r *recorder) actions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, e := range r.entries {
		if e.Success {
			got = append(got, e.Action)
		} else {
			got = append(got, e.Action+":"+e.Code)
		}
	}
	return got
}

// clock is real time, moved on by a test.
type clock struct{ ahead atomic.Int64 }

func newClock() *clock { return &clock{} }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }
