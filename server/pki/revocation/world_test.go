package revocation_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/ocsp"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/pki"
	"github.com/scailabs/scaivault/server/pki/revocation"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

var admin = guard.Caller{Tenant: guard.DefaultTenant, Type: "user", ID: "user:admin", Scopes: []string{pki.ScopeAdmin, pki.ScopeIssue}}

// recorded counts the entries of an action.
func (w *world) recorded(action string) (n int) {
	for _, e := range w.trail.Entries() {
		if e.Action == action {
			n++
		}
	}
	return n
}

// world is a root, an authority below it, and role web of the latter.
type world struct {
	testing.TB
	*revocation.Service
	pki          *pki.Service
	db           *store.DB
	guard        *guard.Guard
	trail        *guardtest.Trail
	root, middle string
	issuer       *x509.Certificate // of middle

	mu  sync.Mutex
	now time.Time
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(newWorld(t, db)) })
}

func newWorld(tb testing.TB, db *store.DB) *world {
	tb.Helper()
	w := &world{TB: tb, db: db, trail: &guardtest.Trail{}, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	root, err := seal.NewRootKey()
	w.fatal(err)
	keys, err := seal.Open(tb.Context(), db, root)
	w.fatal(err)
	sets := guardtest.NewSets(tb)
	sets.Grant(tb, guardtest.Rule(admin, "pki:web", policy.Issue))
	w.guard = &guard.Guard{DB: db, Audit: w.trail, Events: w.trail, Sets: sets, Now: w.clock}
	w.pki = pki.New(pki.Deps{DB: db, Guard: w.guard, Keys: keys})
	w.Service = w.replica()
	w.root = w.authority(vaultapi.AuthorityWrite{Name: "root", CommonName: "Root", CAType: "root", KeyType: "ec"})
	w.middle = w.authority(vaultapi.AuthorityWrite{Name: "middle", CommonName: "Middle", CAType: "intermediate", ParentCAID: "root", KeyType: "ec"})
	_, err = w.pki.CreateRole(tb.Context(), admin, vaultapi.PKIRoleWrite{Name: "web", CAID: w.middle, AllowedDomains: []string{"*.example.com"}, MaxTTL: "48h"})
	w.fatal(err)
	der, err := w.Certificate(tb.Context(), "", w.middle, "")
	w.fatal(err)
	w.issuer, err = x509.ParseCertificate(der)
	w.fatal(err)
	return w
}

// replica is another service on the same database, which remembers nothing.
func (w *world) replica() *revocation.Service {
	return revocation.New(revocation.Deps{DB: w.db, Guard: w.guard, Authorities: w.pki})
}

func (w *world) fatal(err error) {
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

func (w *world) authority(a vaultapi.AuthorityWrite) string {
	w.Helper()
	made, err := w.pki.CreateAuthority(w.Context(), admin, a)
	w.fatal(err)
	return made.ID
}

func (w *world) issue() *x509.Certificate {
	w.Helper()
	made, err := w.pki.Issue(w.Context(), admin, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
	w.fatal(err)
	block, _ := pem.Decode([]byte(made.CertificatePEM))
	cert, err := x509.ParseCertificate(block.Bytes)
	w.fatal(err)
	return cert
}

func (w *world) revoke(c *x509.Certificate, reason string) {
	w.Helper()
	_, err := w.pki.Revoke(w.Context(), admin, vaultapi.CertificateRevoke{SerialNumber: fmt.Sprintf("%X", c.SerialNumber), Reason: reason})
	w.fatal(err)
}

// list is an authority's list, whose signature is checked if it is middle's.
func (w *world) list(by *revocation.Service, id string) *x509.RevocationList {
	w.Helper()
	got, err := by.List(w.Context(), "", id, "")
	w.fatal(err)
	list, err := x509.ParseRevocationList(got.DER)
	w.fatal(err)
	if id == w.middle {
		w.fatal(list.CheckSignatureFrom(w.issuer))
	}
	return list
}

// listed is the reason by which a list names a certificate; -1 where it does not.
func listed(list *x509.RevocationList, c *x509.Certificate) int {
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
			return e.ReasonCode
		}
	}
	return -1
}

// question is a request about a certificate, with a nonce unless that is empty.
func (w *world) question(c *x509.Certificate, nonce string) []byte {
	w.Helper()
	der, err := ocsp.CreateRequest(c, w.issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	w.fatal(err)
	if nonce == "" {
		return der
	}
	var q struct {
		Body struct {
			Requests   []asn1.RawValue
			Extensions []pkix.Extension `asn1:"optional,explicit,tag:2"`
		}
	}
	_, err = asn1.Unmarshal(der, &q)
	w.fatal(err)
	value, err := asn1.Marshal([]byte(nonce))
	w.fatal(err)
	q.Body.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}, Value: value}}
	der, err = asn1.Marshal(q)
	w.fatal(err)
	return der
}

// ask gives what OCSP says of a certificate of middle; the answer's signature and its signer's are checked.
func (w *world) ask(by *revocation.Service, c *x509.Certificate) *ocsp.Response {
	w.Helper()
	got, err := by.Respond(w.Context(), "", w.middle, w.question(c, ""))
	w.fatal(err)
	answer, err := ocsp.ParseResponseForCert(got.DER, c, w.issuer)
	w.fatal(err)
	return answer
}

// refusal is the status of an answer that says nothing of a certificate; Success where it does.
func (w *world) refusal(by *revocation.Service, id string, der []byte) ocsp.ResponseStatus {
	w.Helper()
	got, err := by.Respond(w.Context(), "", id, der)
	w.fatal(err)
	_, err = ocsp.ParseResponse(got.DER, nil)
	var refused ocsp.ResponseError
	if !errors.As(err, &refused) {
		w.fatal(err)
		return ocsp.Success
	}
	if got.Etag != "" || !got.ThisUpdate.IsZero() {
		w.Errorf("a refusal that caches would keep: %+v", got)
	}
	return refused.Status
}

// counted is the value of one of the service's counters, over all labels.
func (w *world) counted(name string) (sum float64) {
	w.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(w.Collectors()...)
	families, err := r.Gather()
	w.fatal(err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}
