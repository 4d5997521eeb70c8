package events_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
)

// TestPermissionIsJudgedAtDelivery: taken away between change and poll, the event does not come; given, it does.
func TestPermissionIsJudgedAtDelivery(t *testing.T) {
	each(t, func(w *world) {
		w.grant("app/**")
		sub := w.subscribe(alice, 0, "**")
		w.mustChange("tnt_a", "app/x", "new/x")
		w.settled("tnt_a", 2)
		w.grant("new/**")
		if diff := cmp.Diff([]string{"new/x@1"}, paths(w.poll(alice, sub.ID, ""))); diff != "" {
			w.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestPermissionTakenDuringTheWait: it counts when the event comes, not when the wait began.
func TestPermissionTakenDuringTheWait(t *testing.T) {
	each(t, func(w *world) {
		w.grant("app/**")
		sub := w.subscribe(alice, 0, "**")
		answers := make(chan vaultapi.Poll, 1)
		go func() {
			p, err := w.service.Poll(w.Context(), alice, sub.ID, events.PollRequest{Timeout: 400 * time.Millisecond})
			if err != nil {
				w.Error(err)
			}
			answers <- p
		}()
		w.eventuallyWaiting()
		w.grant("other/**")
		w.mustChange("tnt_a", "app/x")
		if p := <-answers; len(p.Events) != 0 {
			w.Errorf("delivered %v", paths(p))
		}
	})
}

// eventuallyWaiting returns once a poll of tenant a waits.
func (w *world) eventuallyWaiting() {
	w.Helper()
	w.eventually("a poll waits", func() bool { return w.log.Waiting("tnt_a") > 0 })
}

func TestLongPollWakesAtOnce(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		sub := w.subscribe(alice, 0, "**")
		since := ""
		best := time.Hour
		for range 5 {
			at := make(chan time.Time, 1)
			from := since
			go func() {
				p, err := w.service.Poll(w.Context(), alice, sub.ID, events.PollRequest{Timeout: 20 * time.Second, SinceEventID: from})
				if err != nil || len(p.Events) != 1 {
					w.Errorf("poll %+v, %v", p, err)
				} else {
					since = p.Events[0].EventID
				}
				at <- time.Now()
			}()
			w.eventuallyWaiting()
			w.mustChange("tnt_a", "app/x")
			committed := time.Now()
			best = min(best, (<-at).Sub(committed))
		}
		if best > 50*time.Millisecond {
			w.Errorf("woke %v after the commit", best)
		}
		w.Logf("woke %v after the commit", best)
	})
}

func TestWaitsEnd(t *testing.T) {
	t.Run("at the timeout", func(t *testing.T) {
		each(t, func(w *world) {
			sub := w.subscribe(alice, 0, "**")
			p := w.pollWith(alice, sub.ID, events.PollRequest{Timeout: 30 * time.Millisecond})
			if p.Events == nil || len(p.Events) != 0 || p.Gap || p.HasMore {
				w.Errorf("answer %+v", p)
			}
		})
	})
	t.Run("at shutdown", func(t *testing.T) {
		each(t, func(w *world) {
			sub := w.subscribe(alice, 0, "**")
			done := w.waiter(w.Context(), sub.ID)
			w.log.Release()
			if err := <-done; err != nil {
				w.Error(err)
			}
		})
	})
	t.Run("when the client goes", func(t *testing.T) {
		each(t, func(w *world) {
			sub := w.subscribe(alice, 0, "**")
			ctx, cancel := context.WithCancel(w.Context())
			done := w.waiter(ctx, sub.ID)
			cancel()
			if err := <-done; err == nil {
				w.Error("an answer for nobody")
			}
		})
	})
	t.Run("with the token", func(t *testing.T) {
		each(t, func(w *world) {
			sub := w.subscribe(alice, 0, "**")
			brief := alice
			brief.TokenExpires = w.clock.now().Add(20 * time.Millisecond)
			w.pollWith(brief, sub.ID, events.PollRequest{Timeout: time.Minute})
		})
	})
	t.Run("with the subscription", func(t *testing.T) {
		each(t, func(w *world) {
			w.grant("**")
			sub := w.subscribe(alice, 0, "**")
			done := w.waiter(w.Context(), sub.ID)
			if err := w.service.Delete(w.Context(), alice, sub.ID); err != nil {
				w.Fatal(err)
			}
			w.mustChange("tnt_a", "app/x")
			if err := <-done; !fault.Is(err, fault.CodeSubscriptionNotFound) {
				w.Errorf("error %v", err)
			}
		})
	})
}

// waiter polls in the background and returns once it waits.
func (w *world) waiter(ctx context.Context, id string) <-chan error {
	w.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := w.service.Poll(ctx, alice, id, events.PollRequest{Timeout: time.Minute})
		done <- err
	}()
	w.eventuallyWaiting()
	return done
}

// TestManyWaitersHoldNoConnection: far more waiting polls than the database has connections, and it still answers.
func TestManyWaitersHoldNoConnection(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		sub := w.subscribe(alice, 0, "never/**")
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		const many = 200
		done := make(chan error, many)
		for range many {
			go func() {
				_, err := w.service.Poll(ctx, alice, sub.ID, events.PollRequest{Timeout: time.Minute})
				done <- err
			}()
		}
		w.eventually("all wait", func() bool { return w.log.Waiting("tnt_a") == many })
		for i := range 10 {
			w.mustChange("tnt_a", fmt.Sprintf("app/%d", i))
		}
		if err := w.db.Ping(w.Context()); err != nil {
			w.Error(err)
		}
		w.log.Release()
		for range many {
			if err := <-done; err != nil {
				w.Fatal(err)
			}
		}
	})
}

func TestPollBounds(t *testing.T) {
	each(t, func(w *world) {
		sub := w.subscribe(alice, 0, "**")
		for _, r := range []events.PollRequest{
			{Timeout: 61 * time.Second}, {Timeout: -1}, {MaxEvents: 1001}, {MaxEvents: -1},
		} {
			if _, err := w.service.Poll(w.Context(), alice, sub.ID, r); !fault.Is(err, fault.CodeValidation) {
				w.Errorf("%+v: %v", r, err)
			}
		}
		if _, err := w.service.Ack(w.Context(), alice, sub.ID, vaultapi.Ack{}); !fault.Is(err, fault.CodeValidation) {
			w.Errorf("empty ack: %v", err)
		}
		if _, err := w.service.Ack(w.Context(), alice, sub.ID, vaultapi.Ack{EventIDs: make([]string, 1001)}); !fault.Is(err, fault.CodeValidation) {
			w.Errorf("huge ack: %v", err)
		}
	})
}
