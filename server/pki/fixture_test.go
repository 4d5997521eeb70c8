package pki_test

import (
	"context"
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
	poor   = guard.Caller{Tenant: guard.DefaultTenant, Type: "user", ID: "user:poor", Scopes: []string{pki.ScopeIssue}} // under no policy
)

// trail keeps what was recorded; nothing is announced here.
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

func (r *trail) Emit(*store.Tx, ...guard.Event) error { return nil }

func (r *trail) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%+v", r.entries)
}

// world is a service whose issuer may issue by role web of authority root.
type world struct {
	*testing.T
	*pki.Service
	db    *store.DB
	trail *trail
	root  string

	mu  sync.Mutex
	now time.Time
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &world{T: t, db: db, trail: &trail{}, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
		root, err := seal.NewRootKey()
		if err != nil {
			t.Fatal(err)
		}
		keys, err := seal.Open(t.Context(), db, root)
		if err != nil {
			t.Fatal(err)
		}
		sets := guardtest.NewSets(t)
		sets.Grant(t, guardtest.Rule(issuer, "pki:web", policy.Issue))
		g := &guard.Guard{DB: db, Audit: w.trail, Events: w.trail, Sets: sets, Now: w.clock}
		w.Service = pki.New(pki.Deps{DB: db, Guard: g, Keys: keys})
		w.root = w.authority(vaultapi.AuthorityWrite{Name: "root", CommonName: "Root", CAType: "root"}).ID
		w.role(vaultapi.PKIRoleWrite{Name: "web", CAID: w.root, AllowedDomains: []string{"*.example.com"}, MaxTTL: "48h"})
		test(w)
	})
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
