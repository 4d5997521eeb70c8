package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// callers is how many goroutines write at once in the benchmarks, as in architecture section 12.
const callers = 32

func engines(b *testing.B, run func(b *testing.B, db *store.DB)) {
	b.Helper()
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) { run(b, storetest.Open(b, storetest.Options(b, engine))) })
	}
}

// together spreads b.N calls of f over the callers.
func together(b *testing.B, f func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	b.SetParallelism(callers / 2) // times GOMAXPROCS
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(next.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkAppend makes 200-byte values durable the way the audit trail does: one encoded block a batch.
func BenchmarkAppend(b *testing.B) {
	engines(b, func(b *testing.B, db *store.DB) {
		var seq [16]int64
		stage := db.NewStage("audit", func(tx *store.Tx, values []any) error {
			var block bytes.Buffer
			for _, v := range values {
				block.Write(v.([]byte))
			}
			first := seq[tx.Lane()]
			seq[tx.Lane()] += int64(len(values))
			_, err := tx.Exec("INSERT INTO audit_blocks (tenant, writer, first_seq, last_seq, first_at, last_at, hash, body) VALUES ($1,$2,$3,$4,$5,$5,$6,$7)",
				"t", fmt.Sprint(tx.Lane()), first, seq[tx.Lane()]-1, int64(1), block.Bytes()[:32], block.Bytes())
			return err
		})
		value := bytes.Repeat([]byte("x"), 200)
		together(b, func(int64) error { return db.Append(b.Context(), stage, value) })
		report(b, db)
	})
}

func report(b *testing.B, db *store.DB) {
	s := db.Stats()
	if s.Batches > 0 {
		b.ReportMetric(float64(s.Calls)/float64(s.Batches), "calls/batch")
		b.ReportMetric(float64(s.CommitTime.Microseconds())/float64(s.Commits), "µs/commit")
	}
}

// BenchmarkUpdate is the shape of a secret's write: read the head, write head and version.
func BenchmarkUpdate(b *testing.B) {
	engines(b, func(b *testing.B, db *store.DB) {
		sealed := bytes.Repeat([]byte("x"), 300)
		together(b, func(i int64) error {
			return db.Update(b.Context(), func(tx *store.Tx) error { return writeSecret(tx, db, i, sealed) })
		})
		report(b, db)
	})
}

func writeSecret(tx *store.Tx, db *store.DB, i int64, sealed []byte) error {
	path := fmt.Sprintf("environments/production/app-%d/database", i%10000)
	var version int64
	rows, err := tx.Query("SELECT version FROM secrets WHERE tenant = $1 AND path = $2"+db.ForUpdate(), "t", path)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := rows.Scan(&version); err != nil {
			return err
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil { //nolint:sqlclosecheck // before the next statement of its transaction
		return err
	}
	version++
	if _, err := tx.Exec("INSERT INTO secrets (tenant, path, secret_type, version, max_versions, metadata, created_at, updated_at) VALUES ($1,$2,'json',$3,10,'{}',$4,$4) ON CONFLICT (tenant, path) DO UPDATE SET version = $3, updated_at = $4",
		"t", path, version, int64(1)); err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO secret_versions (tenant, path, version, uid, key_version, wrapped, sealed, created_at, created_by) VALUES ($1,$2,$3,$4,1,$5,$6,$7,'me') ON CONFLICT (tenant, path, version) DO UPDATE SET sealed = $6",
		"t", path, version, "uid", sealed[:60], sealed, int64(1))
	return err
}

// BenchmarkSmallUpdate is one statement in a closure.
func BenchmarkSmallUpdate(b *testing.B) {
	engines(b, func(b *testing.B, db *store.DB) {
		together(b, func(i int64) error {
			return db.Update(b.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2",
					fmt.Sprint(i%10000), fmt.Sprint("value", i))
				return err
			})
		})
		report(b, db)
	})
}

func fill(b *testing.B, db *store.DB, n int64) {
	b.Helper()
	err := db.Update(b.Context(), func(tx *store.Tx) error {
		for i := range n {
			if err := writeSecret(tx, db, i, make([]byte, 300)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

const readSecret = "SELECT s.version, s.secret_type, s.metadata, v.uid, v.wrapped, v.sealed FROM secrets s JOIN secret_versions v ON v.tenant = s.tenant AND v.path = s.path AND v.version = s.version WHERE s.tenant = $1 AND s.path = $2"

func readOne(ctx context.Context, db *store.DB, i int64) error {
	var version int64
	var kind, metadata, uid string
	var wrapped, sealed []byte
	return db.QueryRow(ctx, readSecret, "t", fmt.Sprintf("environments/production/app-%d/database", i%10000)).
		Scan(&version, &kind, &metadata, &uid, &wrapped, &sealed)
}

// BenchmarkQueryRow reads one secret by its path, on one goroutine.
func BenchmarkQueryRow(b *testing.B) {
	engines(b, func(b *testing.B, db *store.DB) {
		fill(b, db, 10000)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		b.ReportAllocs()
		for i := int64(0); b.Loop(); i++ {
			if err := readOne(ctx, db, i); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReadAndAppend is the shape of an audited read: one query, one append.
func BenchmarkReadAndAppend(b *testing.B) {
	engines(b, func(b *testing.B, db *store.DB) {
		stage := db.NewStage("audit", func(tx *store.Tx, values []any) error {
			var block bytes.Buffer
			for _, v := range values {
				block.Write(v.([]byte))
			}
			_, err := tx.Exec("INSERT INTO outbox (tenant, event) VALUES ($1, $2)", "t", block.String())
			return err
		})
		fill(b, db, 10000)
		value := bytes.Repeat([]byte("x"), 200)
		together(b, func(i int64) error {
			if err := readOne(b.Context(), db, i); err != nil {
				return err
			}
			return db.Append(b.Context(), stage, value)
		})
		report(b, db)
	})
}

// BenchmarkList reads 100 rows.
func BenchmarkList(b *testing.B) {
	engines(b, func(b *testing.B, db *store.DB) {
		fill(b, db, 1000)
		b.ReportAllocs()
		for b.Loop() {
			rows, err := db.Query(b.Context(), "SELECT path, secret_type, version, metadata, updated_at FROM secrets WHERE tenant = $1 AND path > $2 ORDER BY path LIMIT 100", "t", "")
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for rows.Next() {
				var path, kind, metadata string
				var version, at int64
				if err := rows.Scan(&path, &kind, &version, &metadata, &at); err != nil {
					b.Fatal(err)
				}
				n++
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != 100 { //nolint:sqlclosecheck // in a loop that is measured
				b.Fatal(n, err)
			}
		}
	})
}
