package pki_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/pki"
	"github.com/scailabs/scaivault/server/store"
)

// names are the first labels of all pages, in the order of the list.
func (w *world) names(who guard.Caller, q pki.CertificateQuery) string {
	w.Helper()
	var all []string
	for {
		l, err := w.Certificates(w.Context(), who, q)
		w.must(err)
		for _, c := range l.Data {
			all = append(all, strings.TrimSuffix(c.CommonName, ".example.com"))
		}
		if !l.HasMore {
			return strings.Join(all, " ")
		}
		q.Cursor = *l.Cursor
	}
}

// The list holds what it is asked for, in the order of expiry, however large its pages are.
func TestListOfEveryQuery(t *testing.T) {
	each(t, func(w *world) {
		w.below("root", "issuing")
		for name, ca := range map[string]string{"long": "root", "deep": "issuing"} {
			w.role(vaultapi.PKIRoleWrite{Name: name, CAID: ca, AllowedDomains: []string{"*.example.com"}})
		}
		for _, c := range []struct{ role, name, ttl string }{{"long", "d", "20d"}, {"long", "gone", "1h"}, {"deep", "c", "10d"}, {"long", "a", "5d"}, {"long", "b", "121h"}} {
			w.by(c.role, c.name+".example.com", c.ttl)
		}
		_, err := w.Revoke(w.Context(), admin, vaultapi.CertificateRevoke{CertificateID: w.by("long", "bad.example.com", "6d").ID})
		w.must(err)
		w.pass(2 * time.Hour)
		for _, x := range []struct {
			want string
			q    pki.CertificateQuery
		}{
			{"a b c d", pki.CertificateQuery{ExpiringWithin: 30 * day}}, {"a b c", pki.CertificateQuery{ExpiringWithin: 11 * day}}, {"", pki.CertificateQuery{ExpiringWithin: time.Hour}},
			{"gone a b c d", pki.CertificateQuery{}}, {"gone a b bad c d", pki.CertificateQuery{IncludeRevoked: true}}, {"c", pki.CertificateQuery{CA: "issuing"}},
			{"gone a b d", pki.CertificateQuery{CA: "root"}}, {"a b bad", pki.CertificateQuery{CA: w.root, ExpiringWithin: 7 * day, IncludeRevoked: true}},
		} {
			for _, x.q.Limit = range []int{0, 1, 2, 4} {
				if got := w.names(boss, x.q); got != x.want {
					w.Errorf("%+v: %q, want %q", x.q, got, x.want)
				}
			}
		}
		l, err := w.Certificates(w.Context(), boss, pki.CertificateQuery{Limit: 1})
		w.must(err)
		if l.Data[0].Status != "expired" {
			w.Errorf("%+v", l.Data[0])
		}
		_, err = w.Certificates(w.Context(), boss, pki.CertificateQuery{Limit: 1, IncludeRevoked: true, Cursor: *l.Cursor})
		w.refused("the cursor of another list", err, fault.CodeInvalidCursor, "")
		_, err = w.Certificates(w.Context(), other, pki.CertificateQuery{Limit: 1, Cursor: *l.Cursor})
		w.refused("the cursor of another tenant", err, fault.CodeInvalidCursor, "")
	})
}

// Without the scope of administrators the list holds what the caller may issue now, page by page.
func TestListOfOwnRoles(t *testing.T) {
	each(t, func(w *world) {
		w.role(vaultapi.PKIRoleWrite{Name: "another", CAID: "root", AllowedDomains: []string{"*.example.com"}})
		for i, role := range []string{"web", "another", "another", "web", "another"} {
			w.by(role, fmt.Sprintf("%s%d.example.com", role, i), fmt.Sprint(i+1, "h"))
		}
		if got := w.names(issuer, pki.CertificateQuery{Limit: 1}); got != "web0 web3" {
			w.Errorf("listed %q", got)
		}
		w.sets.Grant(w, guardtest.Rule(issuer, "pki:another", policy.Issue))
		if got := w.names(issuer, pki.CertificateQuery{}); got != "another1 another2 another4" {
			w.Errorf("listed %q", got)
		}
	})
}

// Both lists go along an index, in its order. PostgreSQL's planner goes by how many rows there are: make bench has a
// million.
func TestListsUseTheirIndex(t *testing.T) {
	each(t, func(w *world) {
		if w.db.Engine() != store.SQLite {
			return
		}
		args := []any{guard.DefaultTenant, 0, "", 1, 0, 10}
		for index, plan := range map[string]string{
			"pki_certificates_expiry": w.plan(pki.CertificateList, args...), "pki_certificates_of": w.plan(pki.CertificateListOf, append(args, "ca_x")...),
		} {
			if !strings.Contains(plan, index) || strings.Contains(plan, "TEMP B-TREE") {
				w.Errorf("%s is not used:\n%s", index, plan)
			}
		}
	})
}

// plan is how SQLite would run a query.
func (w *world) plan(query string, args ...any) string {
	w.Helper()
	rows, err := w.db.Query(w.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	w.must(err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var a, b, c int64
		var step string
		w.must(rows.Scan(&a, &b, &c, &step))
		all = append(all, step)
	}
	w.must(rows.Err())
	return strings.Join(all, "\n")
}

// A private key is in the answer that makes it and nowhere else: not in the database, nor in what is encoded or recorded.
func TestKeysAreNowhereElse(t *testing.T) {
	each(t, func(w *world) {
		made := w.by("web", "a.example.com", "")
		renewed, err := w.Renew(w.Context(), boss, made.ID)
		w.must(err)
		w.keyIsNowhere(made)
		w.keyIsNowhere(renewed)
	})
}

// keyIsNowhere looks for a private key in rows, the trail and encodings.
func (w *world) keyIsNowhere(made vaultapi.IssuedCertificate) {
	w.Helper()
	kept, err := w.Certificate(w.Context(), boss, made.ID)
	w.must(err)
	encoded, err := json.Marshal([]any{made, kept})
	w.must(err)
	block, _ := pem.Decode([]byte(made.PrivateKey.Reveal()))
	line := strings.Split(made.PrivateKey.Reveal(), "\n")[1]
	for where, text := range map[string]string{"encoding": string(encoded), "trail": w.trail.Text(), "database": w.dump()} {
		if strings.Contains(text, line) || strings.Contains(text, string(block.Bytes)) || strings.Contains(text, "PRIVATE KEY") {
			w.Errorf("a key is in the %s", where)
		}
	}
}

// dump is every column that may hold a key.
func (w *world) dump() string {
	w.Helper()
	var all strings.Builder
	for _, query := range []string{
		`SELECT id, certificate, uid, wrapped, sealed FROM pki_authorities`, `SELECT name, ca_id, settings, settings, settings FROM pki_roles`,
		`SELECT id, serial, common_name, certificate, created_by FROM pki_certificates`, `SELECT certificate_id, uid, uid, wrapped, sealed FROM pki_private_keys`,
	} {
		rows, err := w.db.Query(w.Context(), query)
		w.must(err)
		for rows.Next() {
			var columns [5][]byte
			w.must(rows.Scan(&columns[0], &columns[1], &columns[2], &columns[3], &columns[4]))
			for _, c := range columns {
				all.Write(c)
			}
		}
		w.must(rows.Close())
	}
	return all.String()
}
