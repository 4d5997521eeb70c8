package rotation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/rotation"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// replica is another process on the database of w.
func replica(w *world, db *store.DB) *world {
	other := *w
	other.db = db
	other.jobs = jobs.New(jobs.Options{DB: db, Now: w.clock.now})
	return other.started()
}

// run runs the queue until the test ends.
func (w *world) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	for _, k := range w.Jobs() {
		w.jobs.Register(k)
	}
	done := make(chan error, 1)
	go func() { done <- w.jobs.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Three servers on one database, and people who rotate by hand and write at the same time: every secret is rotated by
// the schedule once, every version is announced once, and no write is lost.
func TestReplicasRotateOnce(t *testing.T) {
	const many = 60
	o := storetest.Options(t, store.Postgres)
	first := newWorld(t, storetest.Open(t, o))
	p := first.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", WarnBefore: "1d", AutoGenerate: true})
	for i := range many {
		first.write(fmt.Sprintf("app/%02d", i), `{"password":"1","n":0}`)
		first.attach(p.ID, fmt.Sprintf("app/%02d", i))
	}
	all := []*world{first, replica(first, storetest.Open(t, o)), replica(first, storetest.Open(t, o))}
	first.clock.add(30 * day)
	for _, w := range all {
		w.run(t)
	}
	var g errgroup.Group
	for i, w := range all {
		g.Go(func() error {
			for n := range 20 { // the first 20 are rotated by hand thrice as well
				path := fmt.Sprintf("app/%02d", (n*7+i)%20)
				if _, err := w.RotateSecret(t.Context(), root, path, vaultapi.SecretRotation{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	first.until(func() bool { return len(first.due()) == 0 && len(first.dueIn(1)) == 0 })
	success, versions := map[string]int{}, map[string]int{}
	history := 0
	for cursor := ""; ; {
		list, err := first.History(t.Context(), root, p.ID, rotation.HistoryQuery{Limit: 1000, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range list.History {
			history++
			if h.Status != "success" || h.NewVersion != h.OldVersion+1 {
				t.Errorf("%+v", h)
			}
			if h.Reason == "scheduled" {
				success[h.Path]++
			}
			versions[fmt.Sprintf("%s %d", h.Path, h.NewVersion)]++
		}
		if list.Cursor == nil {
			break
		}
		cursor = *list.Cursor
	}
	for i := range many {
		path := fmt.Sprintf("app/%02d", i)
		if n := success[path]; i >= 20 && n != 1 || n > 1 {
			t.Errorf("%s was rotated by its schedule %d times", path, n)
		}
	}
	for v, n := range versions {
		if n != 1 {
			t.Errorf("version %s is in the history %d times", v, n)
		}
	}
	total := int64(0)
	for i := range many {
		total += first.version(fmt.Sprintf("app/%02d", i)) - 1
	}
	if completed := len(first.events(rotation.EventCompleted)); total != int64(history) || completed != history || len(first.events(rotation.EventRotated)) != history {
		t.Errorf("%d versions, %d history items, %d events", total, history, completed)
	}
}

// until waits for what the queues do.
func (w *world) until(done func() bool) {
	w.Helper()
	tick, limit := time.NewTicker(20*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			w.Fatalf("after a minute there are jobs that are due: %v", w.due())
		}
	}
}

// A process that ends at any point of a rotation leaves it to be done by another, once: its claim comes due again, and
// what it had not committed is not there.
func TestKilledBeforeTheCommit(t *testing.T) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			var commits storetest.Commits
			w := newWorld(t, storetest.Open(t, storetest.Options(t, engine), commits.Option))
			w.write("app/a", `{"password":"1"}`)
			p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", AutoGenerate: true})
			w.attach(p.ID, "app/a")
			w.clock.add(30 * day)
			job := w.due()[0]
			commits.Fail(context.DeadlineExceeded)
			if err := w.Jobs()[0].Run(t.Context(), job); err == nil {
				t.Fatal("the commit failed")
			}
			commits.Fail(nil)
			if w.version("app/a") != 1 || len(w.said()) != 0 || len(w.history(p.ID)) != 0 {
				t.Fatalf("version %d, said %q, history %q", w.version("app/a"), w.said(), w.history(p.ID))
			}
			w.started().work()
			if diff := cmp.Diff([]string{"completed 2"}, w.said()); diff != "" || w.version("app/a") != 2 {
				t.Fatal(diff)
			}
			// The process that was taken for dead comes back with its claim of old.
			_ = w.Jobs()[0].Run(t.Context(), job)
			if diff := cmp.Diff([]string{"completed 2"}, w.said()); diff != "" || w.version("app/a") != 2 {
				t.Fatal(diff)
			}
		})
	}
}
