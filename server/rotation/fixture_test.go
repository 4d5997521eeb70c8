package rotation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/rotation"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

const day = 24 * time.Hour

// world is rotation and secrets on a real database, guard, queue and key chain, with a trail and policies in memory.
type world struct {
	*rotation.Service
	testing.TB
	secrets *secrets.Service
	db      *store.DB
	keys    *seal.Keyring
	jobs    *jobs.Queue
	trail   *trail
	sets    *guardtest.Sets
	recipes *recipes
	clock   *clock
}

func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(t, newWorld(t, db)) })
}

func newWorld(tb testing.TB, db *store.DB) *world {
	tb.Helper()
	root, err := seal.NewRootKey()
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := seal.Open(tb.Context(), db, root)
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{TB: tb, db: db, keys: keys, trail: &trail{}, sets: guardtest.NewSets(tb), recipes: &recipes{}, clock: newClock()}
	w.jobs = jobs.New(jobs.Options{DB: db, Now: w.clock.now})
	return w.started()
}

// started makes the services, as a process does that begins.
func (w *world) started() *world {
	g := &guard.Guard{DB: w.db, Audit: w.trail, Events: w.trail, Sets: w.sets, Now: w.clock.now}
	book := rotation.NewBook(w.db, g, w.jobs)
	w.secrets = secrets.New(secrets.Deps{DB: w.db, Guard: g, Keys: w.keys, Jobs: w.jobs, Rotations: book, Recipes: w.recipes})
	w.Service = rotation.New(rotation.Deps{Book: book, Guard: g, Heads: w.secrets, Writer: w.secrets, Recipes: w.recipes, Receivers: receivers{}})
	return w
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
}

func (r *trail) Append(_ context.Context, entries ...guard.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, entries...)
	return nil
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

// events are those committed so far of some types, in the order of the outbox.
func (w *world) events(types ...string) []guard.Event {
	w.Helper()
	rows, err := w.db.Query(w.Context(), `SELECT event FROM outbox ORDER BY seq`)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	var out []guard.Event
	for rows.Next() {
		var raw string
		var e guard.Event
		if err := rows.Scan(&raw); err != nil {
			w.Fatal(err)
		}
		if err := json.Unmarshal([]byte(raw), &e); err != nil {
			w.Fatal(err)
		}
		if len(types) == 0 || slices.Contains(types, e.Type) {
			out = append(out, e)
		}
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return out
}

// said are the events of rotation so far, each as its type and what it tells.
func (w *world) said() []string {
	w.Helper()
	var said []string
	for _, e := range w.events(rotation.EventDue, rotation.EventOverdue, rotation.EventCompleted, rotation.EventFailed) {
		text := strings.TrimPrefix(e.Type, "rotation.")
		var d map[string]any
		if err := json.Unmarshal(e.Data, &d); err != nil {
			w.Fatal(err)
		}
		for _, key := range []string{"threshold", "due_now", "new_version", "why", "attempt"} {
			if v, ok := d[key]; ok && v != nil && v != false {
				text += fmt.Sprintf(" %v", v)
			}
		}
		said = append(said, text)
	}
	return said
}

// recipes are secret policies in memory. What is not among them is not found, or fails with fail.
type receivers struct{}

// Missing knows of one webhook.
func (receivers) Missing(_ *guard.Call, ids []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "wh_ops" }), nil
}

type recipes struct {
	mu        sync.Mutex
	known     map[string]generate.Recipe
	fail      error
	meanwhile func() // what happens while the next value is made
}

func (r *recipes) Find(_ *guard.Call, ref string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[ref]; !ok {
		return "", fault.NotFound("secret_policy_not_found", "there is no secret policy %s", ref)
	}
	return ref, nil
}

func (r *recipes) Generate(_ context.Context, _, ref string) (string, generate.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return "", generate.Result{}, r.fail
	}
	if do := r.meanwhile; do != nil {
		r.meanwhile = nil
		do()
	}
	recipe, ok := r.known[ref]
	if !ok {
		return "", generate.Result{}, fault.NotFound("secret_policy_not_found", "there is no secret policy %s", ref)
	}
	made, err := recipe.Generate(zeroes{}, time.Time{})
	return ref, made, err
}

// zeroes is a source of randomness that is not random.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

var everyScope = []string{
	secrets.ScopeRead, secrets.ScopeWrite, secrets.ScopeDelete, secrets.ScopeList, rotation.ScopeAdmin, rotation.ScopeRotate, rotation.ScopeHistory,
}

// root may do everything.
var root = guard.Caller{
	Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:root@example.com",
	Roles: []string{guard.RoleSuperAdmin}, Scopes: everyScope, RequestID: "req_1",
}

func (w *world) path(text string) secrets.Path {
	w.Helper()
	p, err := secrets.ParsePath(text)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// write makes a version.
func (w *world) write(path, data string) vaultapi.SecretInfo {
	w.Helper()
	info, err := w.secrets.Write(w.Context(), root, w.path(path), vaultapi.WriteRequest{Data: json.RawMessage(data)})
	if err != nil {
		w.Fatalf("write %s: %v", path, err)
	}
	return info
}

// read gives the value of a version; 0 is the newest.
func (w *world) read(path string, version int64) string {
	w.Helper()
	s, err := w.secrets.Read(w.Context(), root, w.path(path), version)
	if err != nil {
		w.Fatalf("read version %d of %s: %v", version, path, err)
	}
	return string(s.Data.Reveal())
}

func (w *world) version(path string) int64 {
	w.Helper()
	info, err := w.secrets.ReadMetadata(w.Context(), root, w.path(path))
	if err != nil {
		w.Fatal(err)
	}
	return info.Version
}

func (w *world) policy(in vaultapi.RotationPolicyWrite) vaultapi.RotationPolicy {
	w.Helper()
	p, err := w.CreatePolicy(w.Context(), root, in)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w *world) attach(policy, path string) vaultapi.RotationAssignment {
	w.Helper()
	a, err := w.Attach(w.Context(), root, policy, path)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// assignment is the one of a policy that has one.
func (w *world) assignment(policy string) vaultapi.RotationAssignment {
	w.Helper()
	list, err := w.Assignments(w.Context(), root, policy, rotation.AssignmentQuery{Limit: 10})
	if err != nil {
		w.Fatal(err)
	}
	if len(list.Secrets) != 1 {
		w.Fatalf("policy %s has %d secrets", policy, len(list.Secrets))
	}
	return list.Secrets[0]
}

func (w *world) dueIn(hours time.Duration) []vaultapi.RotationDue {
	w.Helper()
	list, err := w.Due(w.Context(), root, rotation.DueQuery{Within: hours * time.Hour, IncludeOverdue: true, Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	return list.Secrets
}

func (w *world) history(policy string) []string {
	w.Helper()
	list, err := w.History(w.Context(), root, policy, rotation.HistoryQuery{Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	var all []string
	for _, h := range list.History {
		all = append(all, fmt.Sprintf("%s %d→%d %s", h.Status, h.OldVersion, h.NewVersion, h.Reason))
	}
	return all
}

// work runs every job that is due now, and those that they make due, as a queue would.
func (w *world) work() {
	w.Helper()
	kinds := map[string]jobs.Kind{}
	for _, k := range slices.Concat(w.Jobs(), w.secrets.Jobs()) {
		kinds[k.Name] = k
	}
	for range 100 {
		due := w.due()
		if len(due) == 0 {
			return
		}
		for _, j := range due {
			if err := kinds[j.Kind].Run(w.Context(), j); err != nil {
				w.Fatalf("%s of %s: %v", j.Kind, j.Key, err)
			}
		}
	}
	w.Fatalf("jobs are due again and again: %v", w.due())
}

// pass lets time go by, with jobs that run when they are due.
func (w *world) pass(d time.Duration) {
	w.Helper()
	end := w.clock.now().Add(d)
	for {
		var at *int64
		if err := w.db.QueryRow(w.Context(), `SELECT MIN(due_at) FROM jobs WHERE due_at <= $1`, end.UnixMicro()).Scan(&at); err != nil {
			w.Fatal(err)
		}
		if at == nil {
			break
		}
		if wait := time.UnixMicro(*at).Sub(w.clock.now()); wait > 0 {
			w.clock.add(wait)
		}
		w.work()
	}
	w.clock.add(end.Sub(w.clock.now()))
}

// due are the jobs that could be claimed now.
func (w *world) due() []jobs.Job {
	w.Helper()
	rows, err := w.db.Query(w.Context(), `SELECT kind, tenant, key, scheduled_at, attempt FROM jobs WHERE due_at <= $1 ORDER BY due_at, key`, w.clock.now().UnixMicro())
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []jobs.Job
	for rows.Next() {
		var j jobs.Job
		var at int64
		if err := rows.Scan(&j.Kind, &j.Tenant, &j.Key, &at, &j.Attempt); err != nil {
			w.Fatal(err)
		}
		j.Due = time.UnixMicro(at)
		all = append(all, j)
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return all
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
