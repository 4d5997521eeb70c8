package webhooks_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/egress"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/events/webhooks"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/scailabs/scaivault/test/postgres.await.func1"))
}

var (
	admin = caller("user:admin@acme.example", "admin")
	alice = caller("user:alice@acme.example", "subscriptions:read", "subscriptions:write", "secrets:read", "secrets:write", "secrets:delete", "secrets:list")
)

func caller(id string, scopes ...string) guard.Caller {
	return guard.Caller{Tenant: guard.DefaultTenant, Partner: guard.DefaultPartner, Type: guard.TypeUser, ID: id, Scopes: scopes}
}

// world is a database with all that delivers: log, queue, secrets, webhooks.
type world struct {
	testing.TB
	db       *store.DB
	root     *seal.RootKey
	clock    *clock
	audit    *recorder
	sets     *guardtest.Sets
	logged   *lines
	replicas []*replica
	*replica
}

// replica is what one server process has.
type replica struct {
	db            *store.DB
	guard         *guard.Guard
	log           *events.Log
	seen          *events.Glimpses
	queue         *jobs.Queue
	secrets       *secrets.Service
	webhooks      *webhooks.Service
	subscriptions *events.Service
	stop          func()
}

// each runs test on both engines.
func each(t *testing.T, test func(w *world)) {
	t.Helper()
	c := &clock{}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, c)
		w.start(db)
		test(w)
	}, func(o *store.Options) { o.Now = c.now })
}

func newWorld(tb testing.TB, db *store.DB, c *clock) *world {
	tb.Helper()
	root, err := seal.NewRootKey()
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{TB: tb, db: db, root: root, clock: c, audit: &recorder{}, sets: &guardtest.Sets{}, logged: &lines{}}
	w.grant("**")
	return w
}

// start runs a replica until the test ends; the first one is the world's own.
func (w *world) start(db *store.DB) *replica {
	w.Helper()
	r := &replica{db: db}
	logger := slog.New(slog.NewTextHandler(w.logged, nil))
	r.log = events.NewLog(db, logger)
	r.seen = events.NewGlimpses(db, r.log, logger)
	r.guard = &guard.Guard{DB: db, Audit: w.audit, Events: r.log, Sets: w.sets, Now: w.clock.now, Glimpses: r.seen}
	keys, err := seal.Open(w.Context(), db, w.root)
	if err != nil {
		w.Fatal(err)
	}
	r.queue = jobs.New(jobs.Options{DB: db, Now: w.clock.now, Log: logger})
	r.secrets = secrets.New(secrets.Deps{DB: db, Guard: r.guard, Keys: keys, Jobs: r.queue})
	client := egress.New(egress.Options{AllowPrivate: true, Roots: roots(w)})
	r.webhooks = webhooks.New(webhooks.Deps{
		DB: db, Guard: r.guard, Keys: keys, Events: r.log, Queue: r.queue, Sender: client, Subscriptions: events.NewJudge(r.guard),
		Secrets: r.secrets, Log: logger, Jitter: func() float64 { return 0 },
	})
	r.subscriptions = events.NewService(r.guard, r.log, r.webhooks)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{r.log.Run, r.seen.Run, r.queue.Run, r.webhooks.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				w.Errorf("run: %v", err)
			}
		})
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		client.Close()
	})
	w.Cleanup(r.stop)
	if w.replicas = append(w.replicas, r); w.replica == nil {
		w.replica = r
	}
	return r
}

// grant replaces the tenant's policies by one that lets alice do all with the patterns.
func (w *world) grant(patterns ...string) {
	w.Helper()
	p := policy.Policy{ID: "pol_1", Active: true, Bindings: []policy.Binding{{ID: "bind_1", IdentityType: policy.TypeUser, IdentityID: alice.ID}}}
	for _, pattern := range patterns {
		p.Rules = append(p.Rules, policy.Rule{Pattern: pattern, Permissions: []policy.Permission{policy.List, policy.Read, policy.Write, policy.Delete}})
	}
	w.sets.Grant(w, p)
}

// write writes secrets as alice.
func (w *world) write(paths ...string) {
	w.Helper()
	for _, path := range paths {
		w.writeAs(path, "kv")
	}
}

func (w *world) writeAs(path, secretType string, tags ...string) {
	w.Helper()
	p, err := secrets.ParsePath(path)
	if err != nil {
		w.Fatal(err)
	}
	in := vaultapi.WriteRequest{Data: json.RawMessage(`{"k":"v"}`), SecretType: secretType}
	if len(tags) > 0 {
		in.Metadata = map[string]any{"tags": tags}
	}
	if _, err := w.secrets.Write(w.Context(), alice, p, in); err != nil {
		w.Fatal(err)
	}
}

// emit commits an event.
func (w *world) emit(e guard.Event) {
	w.Helper()
	e.Tenant, e.Time = guard.DefaultTenant, w.clock.now()
	if e.Data == nil {
		e.Data = json.RawMessage(`{}`)
	}
	if err := w.db.Update(w.Context(), func(tx *store.Tx) error { return w.log.Emit(tx, e) }); err != nil {
		w.Fatal(err)
	}
}

const signing = "whsec_a-secret-that-nobody-sees"

// hook makes a webhook to a receiver.
func (w *world) hook(name string, r *receiver, change ...func(*vaultapi.WebhookWrite)) vaultapi.Webhook {
	w.Helper()
	in := vaultapi.WebhookWrite{Name: name, URL: r.url, Secret: signing, Events: []string{"*"}}
	for _, c := range change {
		c(&in)
	}
	made, err := w.webhooks.Create(w.Context(), admin, in)
	if err != nil {
		w.Fatal(err)
	}
	return made
}

func (w *world) patch(id string, p vaultapi.WebhookPatch) vaultapi.Webhook {
	w.Helper()
	got, err := w.webhooks.Patch(w.Context(), admin, id, p)
	if err != nil {
		w.Fatal(err)
	}
	return got
}

func (w *world) get(id string) vaultapi.Webhook {
	w.Helper()
	got, err := w.webhooks.Get(w.Context(), admin, id)
	if err != nil {
		w.Fatal(err)
	}
	return got
}

func (w *world) deliveries(id, status string) []vaultapi.WebhookDelivery {
	w.Helper()
	list, err := w.webhooks.Deliveries(w.Context(), admin, id, webhooks.DeliveryFilter{Status: status, Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	return list.Deliveries
}

// until waits for a condition that the running parts bring about.
func (w *world) until(what string, met func() bool) {
	w.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !met() {
		select {
		case <-tick.C:
		case <-end:
			w.Fatalf("waited in vain: %s", what)
		}
	}
}

// settled waits until nothing of the log is left to be looked at.
func (w *world) settled() {
	w.Helper()
	w.until("all events looked at", func() bool {
		var behind int64
		err := w.db.QueryRow(w.Context(), `SELECT (SELECT COUNT(*) FROM webhooks w JOIN event_heads h ON h.tenant = w.tenant
WHERE w.enabled = 1 AND w.position < h.position) + (SELECT COUNT(*) FROM outbox)`).Scan(&behind)
		if err != nil {
			w.Fatal(err)
		}
		return behind == 0
	})
}

func (w *world) exec(query string, args ...any) {
	w.Helper()
	err := w.db.Update(w.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) count(query string, args ...any) (n int64) {
	w.Helper()
	if err := w.db.QueryRow(w.Context(), query, args...).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// request is what a receiver got.
type request struct {
	header http.Header
	body   string
	event  vaultapi.Event
	at     time.Time
}

// receiver is a real TLS server that answers as a test says.
type receiver struct {
	url    string
	status atomic.Int64
	mu     sync.Mutex
	got    []request
	handle func(http.ResponseWriter, *http.Request) // instead of answering status
}

func newReceiver(tb testing.TB) *receiver {
	tb.Helper()
	r := &receiver{}
	r.status.Store(http.StatusOK)
	s := httptest.NewTLSServer(r)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	tb.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	r.url = s.URL + "/hook"
	return r
}

// roots are the authority of all receivers.
func roots(tb testing.TB) *x509.CertPool {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	got := request{header: req.Header, body: string(body), at: time.Now()}
	if err == nil {
		_ = json.Unmarshal(body, &got.event)
	}
	r.mu.Lock()
	r.got = append(r.got, got)
	handle := r.handle
	r.mu.Unlock()
	if handle != nil {
		handle(w, req)
		return
	}
	w.WriteHeader(int(r.status.Load()))
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) count() int { return len(r.requests()) }

// told lists type and path of the events that came, each once, sorted.
func (r *receiver) told() []string {
	var all []string
	for _, q := range r.requests() {
		all = append(all, strings.TrimSpace(q.event.EventType+" "+q.event.Path))
	}
	slices.Sort(all)
	return slices.Compact(all)
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

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%+v", r.entries)
}

// clock is real time, moved on by a test.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// lines is a log in memory.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
