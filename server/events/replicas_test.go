package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// TestReplicas: three servers on one database write the same paths, all sequence, and a reader at one of them
// sees every change once and in order, with and without a connection to listen on.
func TestReplicas(t *testing.T) {
	for name, direct := range map[string]bool{"listening": true, "polling": false} {
		t.Run(name, func(t *testing.T) {
			const replicas, writers, changes = 3, 4, 25
			o := storetest.Options(t, store.Postgres)
			if !direct {
				o.DirectURL = ""
			}
			var g errgroup.Group
			var all []*world
			for i := range replicas {
				w := &world{}
				if db := storetest.Open(t, o); i == 0 {
					w = newWorld(t, db, newClock())
				} else {
					w = replica(all[0], db)
				}
				w.grant("**")
				w.start()
				all = append(all, w)
			}
			sub := all[1].subscribe(alice, events.MaxBufferSize, "**")
			for _, w := range all {
				for n := range writers {
					g.Go(func() error {
						for i := range changes {
							if _, err := w.change(t.Context(), "tnt_a", fmt.Sprintf("app/p%d", (n+i)%7)); err != nil {
								return err
							}
						}
						return nil
					})
				}
			}
			all[1].follow(sub.ID, replicas*writers*changes)
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			all[1].checkDense("tnt_a", replicas*writers*changes)
		})
	}
}

// replica is another server on the same database.
func replica(first *world, db *store.DB) *world {
	w := &world{T: first.T, db: db, log: events.NewLog(db, discard), audit: &recorder{}, sets: &guardtest.Sets{}, clock: first.clock}
	w.guard = &guard.Guard{DB: db, Audit: w.audit, Events: w.log, Sets: w.sets, Now: w.clock.now}
	w.service = events.NewService(w.guard, w.log, nil)
	return w
}

// follow polls until it has seen so many changes, each once and each path's versions in order.
func (w *world) follow(id string, want int) {
	w.Helper()
	seen := map[string]int64{}
	total, since := 0, ""
	for total < want {
		p := w.pollWith(alice, id, events.PollRequest{Timeout: 20 * time.Second, SinceEventID: since, MaxEvents: 50})
		if len(p.Events) == 0 || p.Gap {
			w.Fatalf("after %d events: %+v", total, p)
		}
		for _, e := range p.Events {
			v := w.version(e)
			if v != seen[e.Path]+1 {
				w.Fatalf("%s: version %d after %d", e.Path, v, seen[e.Path])
			}
			seen[e.Path] = v
			total++
			since = e.EventID
		}
	}
	if p := w.pollWith(alice, id, events.PollRequest{SinceEventID: since}); len(p.Events) != 0 || p.HasMore {
		w.Errorf("more events than changes: %v", paths(p))
	}
}

func (w *world) version(e vaultapi.Event) int64 {
	w.Helper()
	var d struct {
		Version int64 `json:"new_version"`
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		w.Fatal(err)
	}
	return d.Version
}

// TestNothingOfAFailedChange: what was rolled back is never announced, and takes no position.
func TestNothingOfAFailedChange(t *testing.T) {
	var commits storetest.Commits
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, newClock())
		w.start()
		refused := errors.New("refused")
		err := db.UpdateFallible(t.Context(), func(tx *store.Tx) error {
			event := guard.Event{Tenant: "tnt_a", Type: "secret.updated", Path: "app/x", Time: w.clock.now(), Data: json.RawMessage(`{}`)}
			if err := w.log.Emit(tx, event); err != nil {
				return err
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
		commits.Fail(errors.New("disk full"))
		if _, err := w.change(t.Context(), "tnt_a", "app/x"); err == nil {
			t.Fatal("a change without commit")
		}
		commits.Fail(nil)
		w.mustChange("tnt_a", "app/x")
		w.settled("tnt_a", 1)
		w.checkDense("tnt_a", 1)
	}, commits.Option)
}
