package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

const (
	otherTenant   = "tnt_other"
	foreignTenant = "tnt_foreign"
	otherPartner  = "ptn_other"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// trail keeps audit entries in memory: staged ones once they are committed.
type trail struct {
	mu      sync.Mutex
	entries []guard.Entry
	fail    error
}

func (r *trail) Append(_ context.Context, entries ...guard.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.entries = append(r.entries, entries...)
	return nil
}

func (r *trail) Stage(tx *store.Tx, entries ...guard.Entry) {
	tx.AfterCommit(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.entries = append(r.entries, entries...)
	})
}

func (r *trail) Record(ctx context.Context, e guard.Entry) error { return r.Append(ctx, e) }

func (r *trail) last(t *testing.T) guard.Entry {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) == 0 {
		t.Fatal("nothing was recorded")
	}
	return r.entries[len(r.entries)-1]
}

type noEvents struct{}

func (noEvents) Emit(*store.Tx, ...guard.Event) error { return nil }

// reviewer answers as a cluster would.
type reviewer struct {
	mu      sync.Mutex
	account ServiceAccount
	err     error
	asked   int
}

func (r *reviewer) Review(context.Context, string, string) (ServiceAccount, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return r.account, r.err
}

func (r *reviewer) vouchFor(namespace, name string) {
	r.account, r.err = ServiceAccount{Namespace: namespace, Name: name, UID: "uid-" + name}, nil
}

type fixture struct {
	*Service
	db      *store.DB
	clock   *clock
	trail   *trail
	cluster *reviewer
}

func newFixture(t *testing.T, db *store.DB, change ...func(*Options)) *fixture {
	t.Helper()
	addTenants(t, db)
	f := &fixture{db: db, clock: newClock(), trail: &trail{}, cluster: &reviewer{}}
	o := Options{
		DB: db, Guard: &guard.Guard{DB: db, Audit: f.trail, Events: noEvents{}, Now: f.clock.now}, Edge: f.trail,
		Clusters: []Cluster{{Name: HomeCluster, Reviewer: f.cluster}}, Now: f.clock.now,
	}
	for _, c := range change {
		c(&o)
	}
	f.Service = New(o)
	return f
}

func addTenants(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		for _, p := range []string{guard.DefaultPartner, otherPartner} {
			if _, err := tx.Exec(`INSERT INTO partners (id, name, created_at) VALUES ($1, $1, 0) ON CONFLICT (id) DO NOTHING`, p); err != nil {
				return err
			}
		}
		for tenant, partner := range map[string]string{guard.DefaultTenant: guard.DefaultPartner, otherTenant: guard.DefaultPartner, foreignTenant: otherPartner} {
			_, err := tx.Exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ($1, $2, $1, 0) ON CONFLICT (id) DO NOTHING`, tenant, partner)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func admin() guard.Caller { return guard.System("administrator", guard.DefaultTenant) }

func (f *fixture) issue(t *testing.T, spec TokenSpec) IssuedToken {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "laptop"
	}
	if spec.Identity == "" {
		spec.Identity = "user:ann@example.org"
	}
	if spec.Scopes == nil {
		spec.Scopes = []string{"secrets:read"}
	}
	made, err := f.Create(t.Context(), admin(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if got := fault.Code(err); got != code {
		t.Errorf("code is %q, want %q (error: %v)", got, code, err)
	}
}

// jwt makes an unverifiable token of the claims; changes override or, when nil, remove one.
func (f *fixture) jwt(t *testing.T, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": "https://cluster.example", "sub": "system:serviceaccount:billing:billing-prod",
		"aud": []string{Audience}, "exp": f.clock.now().Add(10 * time.Minute).Unix(),
	}
	alg := "RS256"
	for k, v := range changes {
		switch {
		case k == "alg":
			alg, _ = v.(string)
		case v == nil:
			delete(claims, k)
		default:
			claims[k] = v
		}
	}
	return part(t, map[string]any{"alg": alg, "typ": "JWT"}) + "." + part(t, claims) + "." + base64.RawURLEncoding.EncodeToString([]byte("signature"))
}

func part(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func source() Source {
	return Source{IP: netip.MustParseAddr("10.1.2.3"), UserAgent: "operator", RequestID: "req_1"}
}

func (f *fixture) exchange(t *testing.T, token string, change ...func(*vaultapi.ExchangeRequest)) (vaultapi.ExchangeResponse, error) {
	t.Helper()
	req := vaultapi.ExchangeRequest{SubjectToken: token}
	for _, c := range change {
		c(&req)
	}
	return f.Exchange(t.Context(), req, source())
}

// trust makes a rule as the server's administrator does.
func (f *fixture) trust(t *testing.T, r TrustRule) vaultapi.TrustRule {
	t.Helper()
	if r.Name == "" {
		r.Name = "rule-" + newID("")
	}
	made, err := f.CreateTrustRule(t.Context(), admin(), write(r))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// write is the body that asks for a rule.
func write(r TrustRule) vaultapi.TrustRuleWrite {
	w := vaultapi.TrustRuleWrite{
		Name: r.Name, Cluster: r.Cluster, Namespace: r.Namespace, ServiceAccount: r.ServiceAccount, Identity: r.Identity, Scopes: r.Scopes,
	}
	if r.Life > 0 {
		w.Life = short(r.Life)
	}
	return w
}

var errBroken = errors.New("broken")

// slowReviewer answers when it is released.
type slowReviewer struct {
	asked   atomic.Int64
	release chan struct{}
}

func (r *slowReviewer) Review(context.Context, string, string) (ServiceAccount, error) {
	r.asked.Add(1)
	<-r.release
	return ServiceAccount{}, nil
}
