package revocation_test

import (
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/pki"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// many copies the row of a certificate: serial numbers of 16 digits, ends spread over 400 days from now on.
const many = `INSERT INTO pki_certificates (tenant, id, serial, ca_id, role, common_name, certificate, not_before, not_after,
	revoked_at, reason, replaces, created_by, created_at)
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < CAST($1 AS BIGINT))
	SELECT tenant, id || CAST(n.i AS TEXT), CAST(1000000000000000 + n.i AS TEXT), ca_id, role, common_name, certificate, not_before,
	CAST($2 AS BIGINT) + n.i * CAST($3 AS BIGINT), CAST($4 AS BIGINT), 'superseded', '', created_by, created_at FROM pki_certificates, n`

func benched(b *testing.B, engine store.Engine, n int64, revoked *int64) *world {
	b.Helper()
	w := newWorld(b, storetest.Open(b, storetest.Options(b, engine)))
	w.issue()
	w.fatal(w.db.Update(b.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(many, n, w.clock().UnixMicro(), (400*24*time.Hour).Microseconds()/n, revoked)
		return err
	}))
	w.fatal(w.db.Update(b.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`ANALYZE pki_certificates`) // as PostgreSQL does by itself after a while
		return err
	}))
	return w
}

// BenchmarkList is a list of 100 000 entries, from the revocation that makes it necessary to the signed bytes.
func BenchmarkList(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixMicro()
			w := benched(b, engine, 100_000, &at)
			for b.Loop() {
				b.StopTimer()
				w.revoke(w.issue(), "superseded")
				b.StartTimer()
				if l, err := w.List(b.Context(), "", w.middle, ""); err != nil || l.Revoked <= 100_000 {
					b.Fatal(l.Revoked, err)
				}
			}
		})
	}
}

// BenchmarkExpiring is a page of the certificates that expire within 30 days, among a million.
func BenchmarkExpiring(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			w := benched(b, engine, 1_000_000, nil)
			for b.Loop() {
				l, err := w.pki.Certificates(b.Context(), admin, pki.CertificateQuery{ExpiringWithin: 30 * 24 * time.Hour})
				if err != nil || len(l.Certificates) != pki.DefaultLimit || !l.HasMore {
					b.Fatal(len(l.Certificates), err)
				}
			}
		})
	}
}

// BenchmarkAnswer is an OCSP answer without HTTP: from memory, and signed.
func BenchmarkAnswer(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		w := newWorld(b, storetest.Open(b, storetest.Options(b, engine)))
		q := w.question(w.issue(), "")
		for name, refresh := range map[string]time.Duration{"memory": 0, "signed": 31 * time.Minute} {
			b.Run(string(engine)+"-"+name, func(b *testing.B) {
				for b.Loop() {
					w.pass(refresh % (time.Hour))
					if a, err := w.Respond(b.Context(), "", w.middle, q); err != nil || a.Etag == "" {
						b.Fatal(a, err)
					}
				}
			})
		}
	}
}
