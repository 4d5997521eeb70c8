package secrets_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

const benchSecrets = 1000

// benched is a world whose trail is free of cost, with secrets of the usual size.
func benched(b *testing.B, engine store.Engine, cacheBytes int64) (*world, []secrets.Path) {
	b.Helper()
	w := newWorld(b, storetest.Open(b, storetest.Options(b, engine)), func(d *secrets.Deps) { d.CacheBytes = cacheBytes })
	w.trail.discard = true
	w.sets.Grant(b, guardtest.Rule(billing, "environments/*/billing/**", policy.Admin))
	paths := make([]secrets.Path, benchSecrets)
	for i := range paths {
		paths[i] = at(b, fmt.Sprintf("environments/production/billing/service-%04d", i))
		w.mustWrite(b, paths[i].String(), benchValue)
	}
	return w, paths
}

var benchValue = vaultapi.WriteRequest{
	Data:     []byte(`{"username":"billing","password":"0123456789abcdef0123456789abcdef","url":"postgres://billing@db.billing.svc:5432/billing"}`),
	Metadata: map[string]any{"owner": "team:billing", "tags": []any{"database", "production"}},
}

// BenchmarkRead is a whole read but for audit and HTTP: the goal is 15 µs (architecture section 12).
func BenchmarkRead(b *testing.B) {
	for name, cacheBytes := range map[string]int64{"sqlite-cache": 0, "sqlite-query": -1} {
		b.Run(name, func(b *testing.B) {
			w, paths := benched(b, store.SQLite, cacheBytes)
			benchmarkRead(b, w, paths)
		})
	}
	b.Run("postgres", func(b *testing.B) {
		w, paths := benched(b, store.Postgres, 0)
		benchmarkRead(b, w, paths)
	})
}

func benchmarkRead(b *testing.B, w *world, paths []secrets.Path) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := w.Read(context.Background(), billing, paths[i%len(paths)], 0); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			w, paths := benched(b, engine, 0)
			b.SetParallelism(16)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := w.Write(context.Background(), billing, paths[i*7%len(paths)], benchValue); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkListOf100(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			w, _ := benched(b, engine, 0)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					list, err := w.List(context.Background(), billing, secrets.ListQuery{Limit: 100, Prefix: "environments/production/"})
					if err != nil || len(list.Secrets) != 100 {
						b.Error(len(list.Secrets), err)
					}
				}
			})
		})
	}
}

func BenchmarkBatchReadOf100(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			w, paths := benched(b, engine, -1)
			var in vaultapi.BatchRequest
			for _, p := range paths[:100] {
				in.Paths = append(in.Paths, p.String())
			}
			b.ReportAllocs()
			for b.Loop() {
				if batch, err := w.BatchRead(b.Context(), billing, in); err != nil || len(batch.Secrets) != 100 {
					b.Fatal(len(batch.Secrets), err)
				}
			}
		})
	}
}
