package webhooks_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// Three servers on one database make one delivery of each event for each webhook, and send each at least once, under
// the same ids.
func TestReplicasDeliverOnce(t *testing.T) {
	c := &clock{}
	o := storetest.Options(t, store.Postgres)
	now := func(o *store.Options) { o.Now = c.now }
	w := newWorld(t, storetest.Open(t, o, now), c)
	w.start(w.db)
	for range 2 {
		w.start(storetest.Open(t, o, now))
	}
	const hooks, writers, each = 4, 5, 20
	receivers := make([]*receiver, hooks)
	for i := range receivers {
		receivers[i] = newReceiver(w)
		w.hook(fmt.Sprintf("hook-%d", i), receivers[i])
	}
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			for i := range each {
				w.write(fmt.Sprintf("app/w%d/s%d", n, i))
			}
		})
	}
	all.Wait()
	w.settled()
	const want = hooks * writers * each
	w.until("all delivered", func() bool { return w.count(`SELECT COUNT(*) FROM deliveries WHERE status = 'success'`) == want })
	if n := w.count(`SELECT COUNT(*) FROM deliveries`); n != want {
		w.Errorf("%d deliveries, want %d", n, want)
	}
	for i, r := range receivers {
		ids := map[string]string{}
		for _, q := range r.requests() {
			event, delivery := q.header.Get("X-ScaiVault-Event-Id"), q.header.Get("X-ScaiVault-Delivery-Id")
			if known := ids[event]; known != "" && known != delivery {
				w.Errorf("event %s in two deliveries", event)
			}
			ids[event] = delivery
		}
		if len(ids) != writers*each || len(r.told()) != writers*each {
			w.Errorf("receiver %d was told of %d events", i, len(ids))
		}
	}
}

// A server that dies between its claim of a delivery and the answer: another sends it again when the lease is over,
// with the same ids and without counting the attempt that nobody saw.
func TestAttemptThatEndsWithItsServer(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		hook := w.hook("dying", r)
		began := make(chan struct{}, 1)
		over := make(chan struct{})
		r.handle = func(rw http.ResponseWriter, q *http.Request) {
			began <- struct{}{}
			select {
			case <-over:
			case <-q.Context().Done():
			}
		}
		w.write("app/db")
		<-began
		// What a kill leaves behind: a lease on the delivery and one on the job, held by nobody.
		leased := w.dump("deliveries", "due_at", "fence", "attempts", "status")
		jobs := w.dump("jobs", "kind", "tenant", "key")
		w.stop()
		w.exec(`UPDATE deliveries SET due_at = $1, fence = fence + 1, status = 'pending', attempts = 0, attempted_at = NULL WHERE webhook_id = $2`,
			w.clock.now().Add(30*time.Second).UnixMicro(), hook.ID)
		w.exec(`UPDATE jobs SET due_at = $1, attempt = attempt + 1 WHERE kind = 'webhook.delivery'`, w.clock.now().Add(time.Minute).UnixMicro())
		close(over)
		r.mu.Lock()
		r.handle = nil
		r.mu.Unlock()
		w.replica = nil
		w.start(w.db)
		if got := r.count(); got != 1 {
			w.Errorf("%d requests before the lease is over (%s, %s)", got, leased, jobs)
		}
		w.clock.advance(2 * time.Minute)
		w.until("sent again", func() bool { return len(w.deliveries(hook.ID, "success")) == 1 })
		got := r.requests()
		if len(got) != 2 || got[0].body != got[1].body || got[0].header.Get("X-ScaiVault-Delivery-Id") != got[1].header.Get("X-ScaiVault-Delivery-Id") {
			w.Errorf("%d requests", len(got))
		}
		if d := w.deliveries(hook.ID, "")[0]; d.Attempts != 1 {
			w.Errorf("delivery %+v", d)
		}
	})
}

// A server that stops in the middle of an attempt gives the delivery back: it is nobody's failure.
func TestStopGivesBack(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		hook := w.hook("stopped", r)
		began := make(chan struct{}, 1)
		r.handle = func(_ http.ResponseWriter, q *http.Request) {
			began <- struct{}{}
			<-q.Context().Done()
		}
		w.write("app/db")
		<-began
		w.stop()
		if n := w.count(`SELECT COUNT(*) FROM deliveries WHERE attempts = 0 AND due_at <= $1`, w.clock.now().UnixMicro()); n != 1 {
			w.Errorf("deliveries %s", w.dump("deliveries", "due_at", "attempts", "status"))
		}
		r.mu.Lock()
		r.handle = nil
		r.mu.Unlock()
		w.replica = nil
		w.start(w.db)
		w.until("sent", func() bool { return len(w.deliveries(hook.ID, "success")) == 1 })
	})
}

// Where every third commit fails, no cursor moves without its deliveries, and every event is delivered.
func TestCommitsThatFail(t *testing.T) {
	var failing atomic.Bool
	var commits atomic.Int64
	c := &clock{}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, c)
		w.start(db)
		r := newReceiver(w)
		w.hook("patient", r)
		failing.Store(true)
		for i := range 20 {
			p, err := secrets.ParsePath(fmt.Sprintf("app/s%d", i))
			if err != nil {
				t.Fatal(err)
			}
			w.until("written", func() bool {
				_, err := w.secrets.Write(w.Context(), alice, p, vaultapi.WriteRequest{Data: []byte(`{"k":"v"}`)})
				return err == nil
			})
		}
		failing.Store(false)
		w.settled()
		w.clock.advance(time.Minute)
		w.until("delivered", func() bool { return len(r.told()) == 20 })
		if n := w.count(`SELECT COUNT(*) FROM deliveries`); n != w.count(`SELECT MAX(position) FROM event_heads`) {
			w.Errorf("%d deliveries", n)
		}
	}, func(o *store.Options) {
		o.Now = c.now
		o.BeforeCommit = func() error {
			if failing.Load() && commits.Add(1)%3 == 0 {
				return errors.New("no commit now")
			}
			return nil
		}
	})
}

// A webhook whose cursor is older than the log: what is gone is counted and told, what is left is delivered.
func TestGapIsVisible(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		w.write("app/a", "app/b", "app/c", "app/d")
		w.settled()
		hook := w.hook("behind", r)
		w.exec(`DELETE FROM events WHERE position <= 2`)
		w.exec(`UPDATE webhooks SET position = 0 WHERE id = $1`, hook.ID)
		w.until("what is left", func() bool { return r.count() == 2 })
		got := w.get(hook.ID)
		if got.EventsLost != 2 || got.EventsLostAt == nil {
			w.Errorf("webhook %+v", got)
		}
		if !strings.Contains(w.logged.String(), "events were too old to be delivered") {
			w.Errorf("log %s", w.logged)
		}
	})
}

// A receiver that hangs has one worker and few connections, and the others do not wait for it.
func TestHangingReceiverDelaysNobody(t *testing.T) {
	each(t, func(w *world) {
		slow, quick := newReceiver(w), newReceiver(w)
		over := make(chan struct{})
		defer close(over)
		slow.handle = func(_ http.ResponseWriter, q *http.Request) {
			select {
			case <-over:
			case <-q.Context().Done():
			}
		}
		w.hook("slow", slow)
		w.hook("quick", quick)
		for i := range 40 {
			w.write(fmt.Sprintf("app/s%d", i))
		}
		w.until("the quick one has all", func() bool { return len(quick.told()) == 40 })
		if n := slow.count(); n == 0 || n > 4 {
			w.Errorf("%d requests at once to the slow one", n)
		}
	})
}
