package secretpolicies_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/secretpolicies"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

var noon = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

// last is the newest entry of the trail.
func (w *world) last() guard.Entry {
	all := w.trail.Entries()
	return all[len(all)-1]
}

// nobody is a set of no policies: these calls are judged by scope alone.
type nobody struct{}

func (nobody) Set(context.Context, string, int64) (*policy.Set, int64, error) {
	set, err := policy.Compile(nil)
	return set, 1, err
}

// world is the service on a real database, guard and key chain.
type world struct {
	*secretpolicies.Service
	db    *store.DB
	guard *guard.Guard
	keys  *seal.Keyring
	trail *guardtest.Trail
}

func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(t, newWorld(t, db)) })
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	root, err := seal.NewRootKey()
	must(t, err)
	keys, err := seal.Open(t.Context(), db, root)
	must(t, err)
	must(t, db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ('tnt_b', $1, 'b', 0)`, guard.DefaultPartner)
		return err
	}))
	w := &world{db: db, keys: keys, trail: &guardtest.Trail{}}
	w.guard = &guard.Guard{DB: db, Audit: w.trail, Events: w.trail, Sets: nobody{}, Now: func() time.Time { return noon }}
	w.Service = secretpolicies.New(secretpolicies.Deps{DB: db, Guard: w.guard, Keys: keys})
	return w
}

func caller(tenant string, scopes ...string) guard.Caller {
	return guard.Caller{Tenant: tenant, Type: guard.TypeUser, ID: "user:" + tenant + "@acme.example", Scopes: scopes}
}

var (
	admin    = caller(guard.DefaultTenant, "admin")
	stranger = caller("tnt_b", "admin")
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code string) *fault.Error {
	t.Helper()
	if fault.Code(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return fault.From(err)
}

func field(name, generator, config string) vaultapi.SecretPolicyField {
	return vaultapi.SecretPolicyField{Name: name, Generator: generator, Config: json.RawMessage(config)}
}

// hidden is a static value that must not turn up where it does not belong.
const hidden = "hunter2-hunter2"

func database() []vaultapi.SecretPolicyField {
	return []vaultapi.SecretPolicyField{
		field("username", "static", `{"value":"`+hidden+`"}`), field("password", "random", `{"length":24,"require_digit":true}`),
	}
}

func (w *world) create(t *testing.T, name string, fields ...vaultapi.SecretPolicyField) vaultapi.SecretPolicy {
	t.Helper()
	if len(fields) == 0 {
		fields = database()
	}
	p, err := w.Create(t.Context(), admin, vaultapi.SecretPolicyWrite{Name: name, Fields: fields})
	must(t, err)
	return p
}

func names(l vaultapi.SecretPolicyList) string {
	var all []string
	for _, p := range l.SecretPolicies {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

func ptr[T any](v T) *T { return &v }
