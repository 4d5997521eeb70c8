package audit

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// cpu is the CPU time this process has used, which says more than the clock on a shared machine.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func busy(i, paths int) guard.Entry {
	e := sample()
	k := i % paths
	e.Path, e.IdentityID = fmt.Sprintf("environments/production/billing/%05d", k), fmt.Sprintf("sa:billing:billing-prod-%03d", k%500)
	return e
}

// BenchmarkAppend is the append path through the store with 32 callers, while the indexer and the signer run.
func BenchmarkAppend(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			db := storetest.Open(b, storetest.Options(b, engine))
			l := newLog(b, db, time.Now, nil)
			var next atomic.Int64
			var wg sync.WaitGroup
			ctx, stop := context.WithCancel(b.Context())
			ended := make(chan error)
			go func() { ended <- l.Run(ctx) }()
			before := cpu()
			b.ResetTimer()
			for range 32 {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if err := l.Append(b.Context(), busy(int(i), 4096)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/entry")
			b.ReportMetric(float64(l.Lag()), "lag")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(b.N)/float64(max(db.Stats().Batches, 1)), "entries/batch")
			b.StopTimer()
			stop()
			must(b, <-ended)
		})
	}
}

// BenchmarkFinish is what the writer itself does per entry: build a block of 30 and hash it.
func BenchmarkFinish(b *testing.B) {
	staged := make([]any, 30)
	for i := range staged {
		staged[i] = []line{encode(busy(i, 4096))}
	}
	ln := &lane{writer: "w_x", chains: map[string]chain{}}
	b.ReportAllocs()
	for b.Loop() {
		ln.build(staged)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/30, "ns/entry")
}

// BenchmarkIndex is one run of the indexer over a second's worth of entries, by the number of distinct paths.
func BenchmarkIndex(b *testing.B) {
	for _, paths := range []int{16, 512, 4096, 100000} {
		b.Run(fmt.Sprint(paths), func(b *testing.B) {
			db := storetest.Open(b, storetest.Options(b, store.SQLite))
			l := newLog(b, db, time.Now, nil)
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				fill(b, l, 20000, 30, paths)
				b.StartTimer()
				before := cpu()
				must(b, l.index(b.Context()))
				used += cpu() - before
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N)/20000, "cpu-ns/entry")
		})
	}
}

// fill appends n entries in blocks of per, spread over paths at random.
func fill(tb testing.TB, l *Log, n, per, paths int) {
	tb.Helper()
	start := time.Now().Add(-time.Duration(n) * time.Millisecond)
	entries := make([]guard.Entry, per)
	for i := 0; i < n; i += per {
		for j := range entries {
			entries[j] = busy(rand.IntN(paths), paths)
			entries[j].Time = start.Add(time.Duration(i+j) * time.Millisecond)
		}
		must(tb, l.Append(tb.Context(), entries...))
	}
}

// BenchmarkQuery asks for pages among a million entries.
func BenchmarkQuery(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			db := storetest.Open(b, storetest.Options(b, engine))
			l := newLog(b, db, time.Now, nil)
			for range 50 {
				fill(b, l, 20000, 30, 4096)
				must(b, l.index(b.Context()))
			}
			fill(b, l, 3000, 30, 4096) // not indexed yet
			page := func(path string, q Query) func(b *testing.B) {
				return func(b *testing.B) {
					before := cpu()
					defer func() { b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us/op") }()
					for b.Loop() {
						list, err := l.page(b.Context(), tenant, path, q)
						must(b, err)
						if len(list.Logs) == 0 {
							b.Fatal("nothing found")
						}
					}
				}
			}
			b.Run("path", page("environments/production/billing/00042", Query{}))
			b.Run("identity", page("", Query{IdentityID: "sa:billing:billing-prod-042"}))
			b.Run("newest", page("", Query{}))
			b.Run("prefix", page("", Query{PathPrefix: "environments/production/billing/0004"}))
			b.Run("summary", func(b *testing.B) {
				for b.Loop() {
					_, err := l.deeds(b.Context(), tenant, scope{}, interval{0, math.MaxInt64})
					must(b, err)
				}
			})
			b.Run("verify", func(b *testing.B) {
				for b.Loop() {
					verified(b, l, tenant)
				}
			})
		})
	}
}
