package webhooks_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// BenchmarkFirstAttempt commits a write each 250 ms, of which 100 webhooks are told; 20 of their receivers hang. It
// reports how long it took from the commit's answer to the arrival at the other 80. Connections are made by an event
// before the first that counts: the handshakes of 80 receivers are this machine's work here, and theirs elsewhere.
func BenchmarkFirstAttempt(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		b.Run(string(engine), func(b *testing.B) { benchmarkFirstAttempt(b, engine) })
	}
}

func benchmarkFirstAttempt(b *testing.B, engine store.Engine) {
	const receivers, hanging = 100, 20
	c := &clock{}
	w := newWorld(b, storetest.Open(b, storetest.Options(b, engine), func(o *store.Options) { o.Now = c.now }), c)
	w.start(w.db)
	over := make(chan struct{})
	defer close(over)
	var well []*receiver
	for i := range receivers {
		r := newReceiver(b)
		if i < hanging {
			r.handle = func(_ http.ResponseWriter, q *http.Request) {
				select {
				case <-over:
				case <-q.Context().Done():
				}
			}
		} else {
			well = append(well, r)
		}
		w.hook(fmt.Sprintf("hook-%d", i), r)
	}
	w.write("bench/warm")
	w.until("connections", func() bool { return arrived(well) == len(well) })

	committed := map[string]time.Time{}
	var mu sync.Mutex
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	b.ResetTimer()
	for i := range b.N {
		<-tick.C
		path := fmt.Sprintf("bench/s%d", i)
		w.write(path)
		mu.Lock()
		committed[path] = time.Now()
		mu.Unlock()
	}
	w.until("all arrived", func() bool { return arrived(well) == len(well)*(b.N+1) })
	b.StopTimer()
	var took []time.Duration
	for _, r := range well {
		for _, q := range r.requests() {
			if at, ok := committed[q.event.Path]; ok {
				took = append(took, max(q.at.Sub(at), 0))
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}

func arrived(all []*receiver) (n int) {
	for _, r := range all {
		n += r.count()
	}
	return n
}
