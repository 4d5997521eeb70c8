package pkitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/pki"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

const day = 24 * time.Hour

var noon = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

// world is the service on a real database, guard and key chain; its clock moves by hand.
type world struct {
	*pki.Service
	db    *store.DB
	sets  *guardtest.Sets
	trail *guardtest.Trail

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
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
	w := &world{db: db, sets: guardtest.NewSets(t), trail: &guardtest.Trail{}, now: noon}
	w.sets.Grant(t, guardtest.Rule(issuer, "pki:*", policy.Issue))
	g := &guard.Guard{DB: db, Audit: w.trail, Events: w.trail, Sets: w.sets, Now: w.clock}
	w.Service = pki.New(pki.Deps{DB: db, Guard: g, Keys: keys})
	return w
}

func caller(tenant, name string, scopes ...string) guard.Caller {
	return guard.Caller{Tenant: tenant, Type: guard.TypeUser, ID: "user:" + name + "@acme.example", Scopes: scopes}
}

var (
	admin    = caller(guard.DefaultTenant, "admin", pki.ScopeAdmin)
	issuer   = caller(guard.DefaultTenant, "issuer", pki.ScopeIssue) // may issue by every role
	asker    = caller(guard.DefaultTenant, "asker", pki.ScopeIssue)  // by none
	nobody   = caller(guard.DefaultTenant, "nobody", "secrets:read")
	stranger = caller("tnt_b", "stranger", pki.ScopeIssue, pki.ScopeAdmin)
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if fault.Code(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// wantField wants validation_error of a field.
func wantField(t *testing.T, err error, field string) {
	t.Helper()
	wantCode(t, err, fault.CodeValidation)
	if fields, ok := fault.From(err).Details["fields"].(map[string]string); !ok || fields[field] == "" {
		t.Fatalf("got %v with %v, want field %s", err, fault.From(err).Details, field)
	}
}

// root makes a root of a tenant's administrator.
func (w *world) root(t *testing.T, who guard.Caller, name string) vaultapi.Authority {
	t.Helper()
	ca, err := w.CreateAuthority(t.Context(), who, vaultapi.AuthorityWrite{Name: name, CommonName: name, CAType: "root", KeyType: "ec"})
	must(t, err)
	return ca
}

func (w *world) intermediate(t *testing.T, name, parent string) vaultapi.Authority {
	t.Helper()
	ca, err := w.CreateAuthority(t.Context(), admin, vaultapi.AuthorityWrite{
		Name: name, CommonName: name, CAType: "intermediate", ParentCAID: parent, KeyType: "ec",
	})
	must(t, err)
	return ca
}

// role makes a role for names of svc.example.
func (w *world) role(t *testing.T, name, ca string) {
	t.Helper()
	_, err := w.CreateRole(t.Context(), admin, vaultapi.PKIRoleWrite{
		Name: name, CAID: ca, AllowedDomains: []string{"svc.example"}, AllowSubdomains: true, MaxTTL: "2160h",
	})
	must(t, err)
}

func (w *world) issue(t *testing.T, role, name, ttl string) vaultapi.IssuedCertificate {
	t.Helper()
	got, err := w.Issue(t.Context(), issuer, role, vaultapi.CertificateIssue{CommonName: name, TTL: ttl})
	must(t, err)
	return got
}

// outside is an authority that the vault knows nothing of.
type outside struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority is what an authority outside of the vault says of itself, to be changed by a test.
func authority(name string) x509.Certificate {
	return x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(1000 * day),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func newOutside(t *testing.T, draft x509.Certificate) outside {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return outside{cert: outside{&draft, key}.sign(t, draft, key.Public()), key: key}
}

func (o outside) sign(t *testing.T, draft x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &draft, o.cert, public, o.key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

// leaf is a certificate of an authority outside of the vault.
func (o outside) leaf(t *testing.T, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	draft := x509.Certificate{
		SerialNumber: big.NewInt(8), Subject: pkix.Name{CommonName: "a.out.example"}, DNSNames: []string{"a.out.example"},
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(day), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(&draft)
	}
	return o.sign(t, draft, key.Public())
}

func text(all ...*x509.Certificate) string {
	var b []byte
	for _, c := range all {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return string(b)
}

func (w *world) validate(t *testing.T, who guard.Caller, v vaultapi.CertificateValidate) vaultapi.CertificateValidation {
	t.Helper()
	got, err := w.Validate(t.Context(), who, v)
	must(t, err)
	if got.Valid != (len(got.Errors) == 0) {
		t.Fatalf("valid %v with errors %v", got.Valid, got.Errors)
	}
	return got
}

func wantError(t *testing.T, v vaultapi.CertificateValidation, text string) {
	t.Helper()
	if v.Valid || !slices.Contains(v.Errors, text) {
		t.Fatalf("valid %v, errors %q; want %q", v.Valid, v.Errors, text)
	}
}

func parse(t *testing.T, pemText string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(pemText))
	cert, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return cert
}

func (w *world) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	must(t, w.db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}
