package events_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestPollDeliversWhatIsSelected(t *testing.T) {
	each(t, func(w *world) {
		w.grant("app/**", "ns/{namespace}/**")
		sub := w.subscribe(alice, 0, "app/*", "ns/**", "hidden/**")
		w.mustChange("tnt_a", "app/x", "app/x/deep", "hidden/x", "other", "ns/billing/x")
		w.emit("tnt_a", guard.Event{Type: "policy.updated"}, guard.Event{Type: "secret.deleted", Path: "app/y"})
		w.settled("tnt_a", 7)
		p := w.poll(alice, sub.ID, "")
		if diff := cmp.Diff([]string{"app/x@1", "policy.updated ", "secret.deleted app/y"}, paths(p)); diff != "" {
			w.Errorf("events (-want +got):\n%s", diff)
		}
		narrow := alice
		narrow.Scopes = []string{"subscriptions:read"}
		narrow.Namespace = "billing"
		p = w.poll(narrow, sub.ID, "")
		if diff := cmp.Diff([]string{"app/x@1", "ns/billing/x@1", "secret.deleted app/y"}, paths(p)); diff != "" {
			w.Errorf("without policies:read, from billing (-want +got):\n%s", diff)
		}
	})
}

func TestPollNamesEvents(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		s, err := w.service.Create(w.Context(), alice, vaultapi.SubscriptionWrite{
			Name: "some", Paths: []string{"**"}, Events: []string{"secret.deleted", "policy.binding.*"},
		})
		if err != nil {
			w.Fatal(err)
		}
		w.emit("tnt_a",
			guard.Event{Type: "secret.created", Path: "a"}, guard.Event{Type: "secret.deleted", Path: "a", IdentityID: "user:x", RequestID: "req_9"},
			guard.Event{Type: "policy.created"}, guard.Event{Type: "policy.binding.created"})
		w.settled("tnt_a", 4)
		p := w.poll(alice, s.ID, "")
		if diff := cmp.Diff([]string{"secret.deleted a", "policy.binding.created "}, paths(p)); diff != "" {
			w.Errorf("events (-want +got):\n%s", diff)
		}
		e := p.Events[0]
		if !strings.HasPrefix(e.EventID, "evt_") || len(e.EventID) != 30 || e.IdentityID != "user:x" ||
			e.RequestID != "req_9" || e.TenantID != "tnt_a" || e.PartnerID != "ptn_1" || e.Timestamp.IsZero() {
			w.Errorf("envelope %+v", e)
		}
		if p.InstanceID != w.db.Identity().InstanceID {
			w.Errorf("instance %q", p.InstanceID)
		}
	})
}

// TestFilteredEventsHideNothing: far more than a page of events for others, then one that counts.
func TestFilteredEventsHideNothing(t *testing.T) {
	each(t, func(w *world) {
		w.grant("mine/**")
		sub := w.subscribe(alice, 5000, "**")
		w.emitMany("tnt_a", "others/x", 1300)
		w.mustChange("tnt_a", "mine/x")
		w.settled("tnt_a", 1301)
		p := w.poll(alice, sub.ID, "")
		if diff := cmp.Diff([]string{"mine/x@1"}, paths(p)); diff != "" {
			w.Errorf("events (-want +got):\n%s", diff)
		}
		if p.HasMore {
			w.Error("has_more without more")
		}
	})
}

func (w *world) emitMany(tenant, path string, n int) {
	w.Helper()
	many := make([]guard.Event, n)
	for i := range many {
		many[i] = guard.Event{Type: "secret.updated", Path: path}
	}
	w.emit(tenant, many...)
}

func TestPagesAndAcks(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		sub := w.subscribe(alice, 0, "app/**")
		w.mustChange("tnt_a", "app/a", "app/b", "other", "app/c", "app/d")
		w.settled("tnt_a", 5)
		first := w.pollWith(alice, sub.ID, events.PollRequest{MaxEvents: 3})
		if diff := cmp.Diff([]string{"app/a@1", "app/b@1", "app/c@1"}, paths(first)); diff != "" || !first.HasMore {
			w.Errorf("first page, has_more %v (-want +got):\n%s", first.HasMore, diff)
		}
		rest := w.pollWith(alice, sub.ID, events.PollRequest{SinceEventID: first.Events[2].EventID, MaxEvents: 3})
		if diff := cmp.Diff([]string{"app/d@1"}, paths(rest)); diff != "" || rest.HasMore {
			w.Errorf("second page, has_more %v (-want +got):\n%s", rest.HasMore, diff)
		}

		ack := func(ids ...string) int {
			n, err := w.service.Ack(w.Context(), alice, sub.ID, vaultapi.Ack{EventIDs: ids})
			if err != nil {
				w.Fatal(err)
			}
			return n
		}
		again := func(want ...string) {
			w.Helper()
			p := w.pollWith(alice, sub.ID, events.PollRequest{})
			if diff := cmp.Diff(want, paths(p)); diff != "" {
				w.Errorf("after ack (-want +got):\n%s", diff)
			}
		}
		ack(first.Events[1].EventID)
		again("app/a@1", "app/b@1", "app/c@1", "app/d@1") // the first is not acknowledged: nothing is lost
		if n := ack(first.Events[0].EventID, first.Events[1].EventID, "evt_UNKNOWN"); n != 2 {
			w.Errorf("%d acknowledged, want 2", n)
		}
		again("app/c@1", "app/d@1")
		ack(first.Events[0].EventID) // never moves back
		again("app/c@1", "app/d@1")
		ack(first.Events[2].EventID, rest.Events[0].EventID)
		again([]string{}...)
	})
}

func TestGaps(t *testing.T) {
	cases := map[string]func(w *world, sub vaultapi.Subscription) events.PollRequest{
		"lags beyond its buffer": func(w *world, _ vaultapi.Subscription) events.PollRequest {
			w.emitMany("tnt_a", "app/x", 11)
			w.settled("tnt_a", 12)
			return events.PollRequest{}
		},
		"unknown event": func(*world, vaultapi.Subscription) events.PollRequest {
			return events.PollRequest{SinceEventID: "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV"}
		},
		"older than the log": func(w *world, sub vaultapi.Subscription) events.PollRequest {
			w.mustChange("tnt_a", "app/x", "app/x")
			w.settled("tnt_a", 3)
			w.forget("tnt_a", 2)
			return events.PollRequest{}
		},
		"ahead of a restored database": func(w *world, sub vaultapi.Subscription) events.PollRequest {
			w.exec(`UPDATE subscriptions SET acked = 99`)
			return events.PollRequest{}
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			each(t, func(w *world) {
				w.grant("**")
				sub := w.subscribe(alice, 10, "**")
				w.mustChange("tnt_a", "app/first")
				w.settled("tnt_a", 1)
				r := prepare(w, sub)
				r.Timeout = 10 * time.Second // a gap does not wait
				p := w.pollWith(alice, sub.ID, r)
				if !p.Gap || len(p.Events) != 0 || p.ResumeEventID != w.newest("tnt_a") {
					w.Fatalf("answer %+v, newest %s", p, w.newest("tnt_a"))
				}
				if p.Events == nil {
					w.Error("events is null and not an empty array")
				}
				w.mustChange("tnt_a", "app/after")
				if p = w.poll(alice, sub.ID, p.ResumeEventID); len(p.Events) != 1 || p.Events[0].Path != "app/after" {
					w.Errorf("resumed: %v", paths(p))
				}
			})
		})
	}
}

func (w *world) newest(tenant string) string {
	w.Helper()
	var id string
	if err := w.db.QueryRow(w.Context(), `SELECT event_id FROM event_heads WHERE tenant = $1`, tenant).Scan(&id); err != nil {
		w.Fatal(err)
	}
	return id
}

// forget drops events as retention does.
func (w *world) forget(tenant string, upTo int64) {
	w.Helper()
	w.exec(`DELETE FROM events WHERE tenant = $1 AND position <= $2`, tenant, upTo)
}

func (w *world) exec(query string, args ...any) {
	w.Helper()
	err := w.db.Update(w.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

// TestGapEndsByAck: a subscriber who goes by acknowledgements comes out of a gap by acknowledging where to resume.
func TestGapEndsByAck(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		sub := w.subscribe(alice, 10, "**")
		w.emitMany("tnt_a", "app/x", 30)
		w.settled("tnt_a", 30)
		p := w.pollWith(alice, sub.ID, events.PollRequest{})
		if _, err := w.service.Ack(w.Context(), alice, sub.ID, vaultapi.Ack{EventIDs: []string{p.ResumeEventID}}); err != nil {
			w.Fatal(err)
		}
		w.mustChange("tnt_a", "app/y")
		if p = w.poll(alice, sub.ID, ""); p.Gap || len(p.Events) != 1 {
			w.Errorf("after the ack: %+v", p)
		}
	})
}

// TestOthersEventsMakeNoGap: whoever keeps polling never lags because of events that are not for him, be it by
// resume_event_id or by acknowledgements.
func TestOthersEventsMakeNoGap(t *testing.T) {
	each(t, func(w *world) {
		w.grant("mine/**")
		sub := w.subscribe(alice, 20, "mine/**")
		resume := ""
		for i := range int64(10) {
			w.emitMany("tnt_a", "others/x", 15)
			w.settled("tnt_a", 15*(i+1))
			byID := w.pollWith(alice, sub.ID, events.PollRequest{SinceEventID: resume})
			byAck := w.pollWith(alice, sub.ID, events.PollRequest{})
			if byID.Gap || byAck.Gap || byID.ResumeEventID != w.newest("tnt_a") {
				w.Fatalf("round %d: by id %+v, by ack %+v", i, byID, byAck)
			}
			resume = byID.ResumeEventID
		}
	})
}

// TestRetention: old events go, positions stay dense, and who was up to date goes on without a gap.
func TestRetention(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, c)
		w.grant("**")
		sub := w.subscribe(alice, events.MaxBufferSize, "**")
		stop := w.runOnce()
		w.emitMany("tnt_a", "app/x", 1200)
		w.settled("tnt_a", 1200)
		last, before := w.newest("tnt_a"), w.idAt("tnt_a", 1199)
		stop()

		c.advance(events.Retention + time.Minute)
		stop = w.runOnce()
		w.sweep()
		w.oldestIs("tnt_a", 1200) // the newest stays
		if p := w.pollWith(alice, sub.ID, events.PollRequest{}); !p.Gap {
			w.Errorf("the cursor is older than the log, yet: %v", paths(p))
		}
		if p := w.pollWith(alice, sub.ID, events.PollRequest{SinceEventID: before}); !p.Gap {
			w.Errorf("an event past its retention is still known: %v", paths(p))
		}
		w.mustChange("tnt_a", "app/new")
		w.settled("tnt_a", 1201)
		if p := w.pollWith(alice, sub.ID, events.PollRequest{SinceEventID: last}); p.Gap || len(p.Events) != 1 {
			w.Errorf("who was up to date got %+v", p)
		}
		stop()
		w.sweep()
		w.oldestIs("tnt_a", 1201)
	}, func(o *store.Options) { o.Now = c.now })
}

func (w *world) idAt(tenant string, position int64) string {
	w.Helper()
	var id string
	if err := w.db.QueryRow(w.Context(), `SELECT id FROM events WHERE tenant = $1 AND position = $2`, tenant, position).Scan(&id); err != nil {
		w.Fatal(err)
	}
	return id
}

// sweep runs the log's job once.
func (w *world) sweep() {
	w.Helper()
	if err := w.log.Jobs()[0].Run(w.Context(), jobs.Job{}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) oldestIs(tenant string, position int64) {
	w.Helper()
	var first int64
	if err := w.db.QueryRow(w.Context(), `SELECT min(position) FROM events WHERE tenant = $1`, tenant).Scan(&first); err != nil || first != position {
		w.Fatalf("the log of %s begins at %d, %v, want %d", tenant, first, err, position)
	}
}

// runOnce runs the log until the returned function is called.
func (w *world) runOnce() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.log.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run: %v", err)
		}
	}
}

func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			w.Fatal("not in 20 s: " + what)
		}
	}
}
