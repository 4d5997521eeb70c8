package pki_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
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

var (
	admin  = guard.Caller{Tenant: guard.DefaultTenant, Type: "user", ID: "user:admin", Scopes: []string{pki.ScopeAdmin}}
	issuer = guard.Caller{Tenant: guard.DefaultTenant, Type: "user", ID: "user:issuer", Scopes: []string{pki.ScopeIssue}}
	boss   = guard.Caller{Tenant: guard.DefaultTenant, Type: "user", ID: "user:boss", Scopes: []string{pki.ScopeAdmin, pki.ScopeIssue}}
	other  = guard.Caller{Tenant: "tnt_b", Type: "user", ID: "user:other", Scopes: []string{pki.ScopeAdmin, pki.ScopeIssue}} // the boss of another tenant
	poor   = guard.Caller{Tenant: guard.DefaultTenant, Type: "user", ID: "user:poor", Scopes: []string{pki.ScopeIssue}}      // under no policy
)

// world is a service whose issuer may issue by role web of authority root, and whose bosses by any role.
type world struct {
	*testing.T
	*pki.Service
	db    *store.DB
	keys  *seal.Keyring
	guard *guard.Guard
	sets  *guardtest.Sets
	trail *guardtest.Trail
	root  string

	mu  sync.Mutex
	now time.Time
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &world{T: t, db: db, sets: guardtest.NewSets(t), trail: &guardtest.Trail{}, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
		root, err := seal.NewRootKey()
		if err != nil {
			t.Fatal(err)
		}
		if w.keys, err = seal.Open(t.Context(), db, root); err != nil {
			t.Fatal(err)
		}
		w.exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ('tnt_b', $1, 'b', 0)`, guard.DefaultPartner)
		w.sets.Grant(t, guardtest.Rule(issuer, "pki:web", policy.Issue), guardtest.Rule(boss, "pki:**", policy.Issue), guardtest.Rule(other, "pki:**", policy.Issue))
		w.guard = &guard.Guard{DB: db, Audit: w.trail, Events: w.trail, Sets: w.sets, Now: w.clock}
		w.Service = w.replica()
		w.root = w.authority(vaultapi.AuthorityWrite{Name: "root", CommonName: "Root", CAType: "root"}).ID
		w.role(vaultapi.PKIRoleWrite{Name: "web", CAID: w.root, AllowedDomains: []string{"*.example.com"}, MaxTTL: "48h"})
		test(w)
	})
}

// replica is another server on the same database.
func (w *world) replica() *pki.Service {
	return pki.New(pki.Deps{DB: w.db, Guard: w.guard, Keys: w.keys})
}

// exec changes rows behind the service's back.
func (w *world) exec(query string, args ...any) {
	w.Helper()
	w.must(w.db.Update(w.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	}))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// authority makes one with a P-256 key, unless another kind is asked for.
func (w *world) authority(a vaultapi.AuthorityWrite) vaultapi.Authority {
	w.Helper()
	if a.KeyType == "" {
		a.KeyType = "ec"
	}
	made, err := w.CreateAuthority(w.Context(), admin, a)
	if err != nil {
		w.Fatal(err)
	}
	return made
}

func (w *world) role(r vaultapi.PKIRoleWrite) vaultapi.PKIRole {
	w.Helper()
	made, err := w.CreateRole(w.Context(), admin, r)
	if err != nil {
		w.Fatal(err)
	}
	return made
}

func (w *world) issue(names ...string) vaultapi.IssuedCertificate {
	w.Helper()
	made, err := w.Issue(w.Context(), issuer, "web", vaultapi.CertificateIssue{CommonName: names[0], AltNames: names[1:]})
	if err != nil {
		w.Fatal(err)
	}
	return made
}

// by has boss issue by a role.
func (w *world) by(role, name, ttl string) vaultapi.IssuedCertificate {
	w.Helper()
	made, err := w.Issue(w.Context(), boss, role, vaultapi.CertificateIssue{CommonName: name, TTL: ttl})
	w.must(err)
	return made
}

// below makes an intermediate.
func (w *world) below(parent, name string) vaultapi.Authority {
	w.Helper()
	return w.authority(vaultapi.AuthorityWrite{Name: name, CommonName: name, CAType: "intermediate", ParentCAID: parent})
}

// refused holds an error to a code, and to what its text or its fields name.
func (w *world) refused(what string, err error, code, names string) {
	w.Helper()
	var details any
	if err != nil {
		details = fault.From(err).Details
	}
	if !fault.Is(err, code) || !strings.Contains(fmt.Sprintf("%v %v", err, details), names) {
		w.Errorf("%s: %v %v, want %s that names %s", what, err, details, code, names)
	}
}

func key(tb testing.TB) crypto.Signer {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func request(tb testing.TB, r x509.CertificateRequest, k crypto.Signer) string {
	tb.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &r, k)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func parsed(tb testing.TB, text string) *x509.Certificate {
	tb.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		tb.Fatalf("no PEM: %q", text)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// verified has crypto/x509 judge a certificate as a client does that trusts the last of its chain.
func verified(w *world, c vaultapi.IssuedCertificate, host string) error {
	w.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	last := len(c.CAChain) - 1
	roots.AddCert(parsed(w, c.CAChain[last]))
	for _, text := range c.CAChain[:last] {
		between.AddCert(parsed(w, text))
	}
	_, err := parsed(w, c.Certificate).Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: w.clock()})
	return err
}
