package events_test

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/scailabs/scaivault/server/events"
)

// TestEveryChangeOnceAndInOrder: 32 writers change 100 paths; a reader who began before sees each change
// once, and the versions of each path in their order.
func TestEveryChangeOnceAndInOrder(t *testing.T) {
	const writers, changes, names = 32, 60, 100
	each(t, func(w *world) {
		w.grant("**")
		sub := w.subscribe(alice, events.MaxBufferSize, "**")
		var g errgroup.Group
		for i := range writers {
			g.Go(func() error {
				for n := range changes {
					if _, err := w.change(w.Context(), "tnt_a", fmt.Sprintf("app/p%d", (i*37+n*13)%names)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		w.follow(sub.ID, writers*changes)
		if err := g.Wait(); err != nil {
			w.Fatal(err)
		}
		w.checkDense("tnt_a", writers*changes)
	})
}

func (w *world) checkDense(tenant string, want int64) {
	w.Helper()
	var n, first, last, waiting int64
	if err := w.db.QueryRow(w.Context(), `SELECT count(*), min(position), max(position) FROM events WHERE tenant = $1`, tenant).Scan(&n, &first, &last); err != nil {
		w.Fatal(err)
	}
	if n != want || first != 1 || last != want {
		w.Errorf("positions %d to %d of %d events, want 1 to %d", first, last, n, want)
	}
	if err := w.db.QueryRow(w.Context(), `SELECT count(*) FROM outbox`).Scan(&waiting); err != nil || waiting != 0 {
		w.Errorf("outbox holds %d, %v", waiting, err)
	}
}

// TestTenantsHaveTheirOwnLogs: positions are dense per tenant, and a batch that mixes tenants keeps their orders.
func TestTenantsHaveTheirOwnLogs(t *testing.T) {
	each(t, func(w *world) {
		w.grant("**")
		a, b := w.subscribe(alice, 0, "**"), w.subscribe(mallory, 0, "**")
		var g errgroup.Group
		for i := range 20 {
			tenant := []string{"tnt_a", "tnt_b"}[i%2]
			g.Go(func() error {
				_, err := w.change(w.Context(), tenant, "same/path")
				return err
			})
		}
		if err := g.Wait(); err != nil {
			w.Fatal(err)
		}
		w.settled("tnt_a", 10)
		w.settled("tnt_b", 10)
		for who, id := range map[string]string{"tnt_a": a.ID, "tnt_b": b.ID} {
			caller := alice
			if who == "tnt_b" {
				caller = mallory
			}
			p := w.poll(caller, id, "")
			for i, got := range paths(p) {
				if want := fmt.Sprintf("same/path@%d", i+1); got != want {
					w.Errorf("%s event %d: %s, want %s", who, i, got, want)
				}
			}
			if len(p.Events) != 10 || p.Events[0].TenantID != who {
				w.Errorf("%s: %d events, first of %s", who, len(p.Events), p.Events[0].TenantID)
			}
		}
		w.checkDense("tnt_a", 10)
	})
}
