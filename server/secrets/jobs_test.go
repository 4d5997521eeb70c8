package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

const day = 24 * time.Hour

// work runs every job that is due now, and those that they make due, as a queue would.
func (w *world) work(tb testing.TB) {
	tb.Helper()
	kinds := map[string]jobs.Kind{}
	for _, k := range w.Jobs() {
		kinds[k.Name] = k
	}
	for {
		due := w.due(tb)
		if len(due) == 0 {
			return
		}
		for _, j := range due {
			if err := kinds[j.Kind].Run(tb.Context(), j); err != nil {
				tb.Fatalf("%s of %s: %v", j.Kind, j.Key, err)
			}
		}
	}
}

// due are the jobs that could be claimed now.
func (w *world) due(tb testing.TB) []jobs.Job {
	return w.queued(tb, ` WHERE due_at <= $1`, w.clock.now().UnixMicro())
}

func (w *world) queued(tb testing.TB, where string, args ...any) []jobs.Job {
	tb.Helper()
	rows, err := w.db.Query(tb.Context(), `SELECT kind, tenant, key, scheduled_at, attempt FROM jobs`+where+` ORDER BY due_at, key`, args...)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []jobs.Job
	for rows.Next() {
		var j jobs.Job
		var at int64
		if err := rows.Scan(&j.Kind, &j.Tenant, &j.Key, &at, &j.Attempt); err != nil {
			tb.Fatal(err)
		}
		j.Due = time.UnixMicro(at)
		all = append(all, j)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return all
}

func TestDeletedSecretsArePurged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, func(d *secrets.Deps) { d.Retention = day })
		for _, path := range []string{"a", "b", "kept", "restored", "gone"} {
			w.mustWrite(t, path, value(`{}`))
		}
		for _, path := range []string{"a", "b", "restored", "gone"} {
			w.mustDelete(t, path, false)
		}
		w.clock.add(day / 2)
		w.mustDelete(t, "kept", false)
		w.mustDelete(t, "gone", true)
		if _, err := w.Restore(t.Context(), root, at(t, "restored")); err != nil {
			t.Fatal(err)
		}
		w.clock.add(day/2 - time.Microsecond)
		if due := w.due(t); len(due) != 0 {
			t.Errorf("due too early: %+v", due)
		}
		w.clock.add(time.Microsecond)
		_, err := w.Restore(t.Context(), root, at(t, "a"))
		wantFault(t, err, fault.CodeSecretNotFound)
		if info := w.mustWrite(t, "b", value(`{"new":1}`)); info.Version != 1 {
			t.Errorf("a path whose retention is over but was not purged: %+v", info)
		}
		before := len(w.events(t))
		w.work(t)
		if e := w.trail.last(t); e.Action != "secret_purge" || !e.Success || e.IdentityID != "system:secrets" || e.Path != "a" {
			t.Errorf("recorded %+v", e)
		}
		events := w.events(t)[before:]
		if len(events) != 1 || events[0].Type != "secret.deleted" || string(events[0].Data) != `{"version_count":1,"deleted_by":"system:secrets","permanent":true}` {
			t.Errorf("events %+v", events)
		}
		w.mustRead(t, "b", 0, `{"new":1}`)
		w.mustRead(t, "restored", 0, `{}`)
		if left := w.queued(t, ""); len(left) != 1 || left[0].Key != "kept" {
			t.Errorf("jobs left: %+v", left)
		}
		if _, err := w.Restore(t.Context(), root, at(t, "kept")); err != nil {
			t.Errorf("retention of kept is not over: %v", err)
		}
	})
}

// A claim that another has taken over, or that a restore has overtaken, changes nothing and leaves no entry: the
// purge of a restored secret must never follow.
func TestLostClaimsChangeNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, func(d *secrets.Deps) { d.Retention = day })
		in := value(`{"v":1}`)
		in.Options.ExpiresIn = "400d"
		w.mustWrite(t, "a", in)
		w.mustDelete(t, "a", false)
		w.clock.add(day)
		stale := w.due(t)[0]
		stale.Attempt--
		w.mustLose(t, stale)

		w.clock.add(-time.Hour)
		claimed := w.queued(t, "")[0]
		if _, err := w.Restore(t.Context(), root, at(t, "a")); err != nil {
			t.Fatal(err)
		}
		w.clock.add(time.Hour)
		w.mustLose(t, claimed)
		w.mustDelete(t, "a", false) // deleted anew: the old claim is of the old deletion
		w.mustLose(t, claimed)
		if _, err := w.Restore(t.Context(), root, at(t, "a")); err != nil {
			t.Fatal(err)
		}
		w.mustRead(t, "a", 0, `{"v":1}`)

		notice := w.queued(t, "")[0]
		w.mustWrite(t, "a", value(`{"v":2}`))
		w.clock.add(400 * day)
		w.mustLose(t, notice)
	})
}

// Jobs that do not fit their secrets, because somebody repaired rows by hand, are brought in line and do nothing.
func TestJobsOutOfLine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, func(d *secrets.Deps) { d.Retention = day })
		in := value(`{}`)
		in.Options.ExpiresIn = "20d"
		w.mustWrite(t, "expires", in)
		w.mustWrite(t, "deleted", value(`{}`))
		w.mustDelete(t, "deleted", false)
		w.mustWrite(t, "lives", value(`{}`))
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			now := w.clock.now()
			return errors.Join(
				w.jobs.Schedule(tx, "secret.purge", root.Tenant, "deleted", now), w.jobs.Schedule(tx, "secret.expiry", root.Tenant, "expires", now),
				w.jobs.Schedule(tx, "secret.purge", root.Tenant, "lives", now), w.jobs.Schedule(tx, "secret.expiry", root.Tenant, "lives", now),
				w.jobs.Schedule(tx, "secret.purge", root.Tenant, "nothing", now), w.jobs.Schedule(tx, "secret.expiry", root.Tenant, "nothing", now),
			)
		})
		if err != nil {
			t.Fatal(err)
		}
		entries, events := w.trail.count(), len(w.events(t))
		w.work(t)
		if w.trail.count() != entries || len(w.events(t)) != events {
			t.Errorf("%d entries and %d events", w.trail.count()-entries, len(w.events(t))-events)
		}
		var left []string
		for _, j := range w.queued(t, "") {
			left = append(left, fmt.Sprintf("%s %s %s", j.Kind, j.Key, j.Due.Sub(w.clock.now())))
		}
		if diff := cmp.Diff([]string{"secret.purge deleted 24h0m0s", "secret.expiry expires 312h0m0s"}, left); diff != "" {
			t.Error(diff)
		}
	})
}

func (w *world) mustLose(tb testing.TB, j jobs.Job) {
	tb.Helper()
	for _, k := range w.Jobs() {
		if k.Name != j.Kind {
			continue
		}
		entries, events := w.trail.count(), len(w.events(tb))
		if err := k.Run(tb.Context(), j); !errors.Is(err, jobs.ErrLost) {
			tb.Errorf("%s of %s: %v", j.Kind, j.Key, err)
		}
		if w.trail.count() != entries || len(w.events(tb)) != events {
			tb.Errorf("%s of %s left %d entries and %d events", j.Kind, j.Key, w.trail.count()-entries, len(w.events(tb))-events)
		}
	}
}

// said are the notices in the log, with their day.
func (w *world) said(tb testing.TB, start time.Time) (all []string) {
	tb.Helper()
	for _, e := range w.events(tb) {
		if e.Type == "secret.expiring" || e.Type == "secret.expired" {
			all = append(all, fmt.Sprintf("%s %s %s", e.Time.Sub(start), e.Type, e.Data))
		}
	}
	return all
}

func TestExpiryIsAnnounced(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		start := w.clock.now()
		in := value(`{}`)
		in.Options.ExpiresIn = "10d"
		if info := w.mustWrite(t, "app/key", in); info.NotifyBefore != "30d,7d,1d" {
			t.Errorf("notify_before %q", info.NotifyBefore)
		}
		for range 12 * 24 {
			w.work(t)
			w.clock.add(time.Hour)
		}
		want := []string{ // 30d is longer than its life
			`72h0m0s secret.expiring {"expires_at":"2026-03-11T12:00:00Z","days_remaining":7,"threshold":"7d"}`,
			`216h0m0s secret.expiring {"expires_at":"2026-03-11T12:00:00Z","days_remaining":1,"threshold":"1d"}`,
			`240h0m0s secret.expired {"expires_at":"2026-03-11T12:00:00Z","version":1}`,
		}
		if diff := cmp.Diff(want, w.said(t, start)); diff != "" {
			t.Error(diff)
		}
		if e := w.trail.last(t); e.Action != secrets.ActionExpiryNotice || !e.Success || e.IdentityID != "system:secrets" {
			t.Errorf("recorded %+v", e)
		}
		if left := w.queued(t, ""); len(left) != 0 {
			t.Errorf("jobs left: %+v", left)
		}
	})
}

// A server that was off for a month says the newest notice of those it missed, once.
func TestMissedNotices(t *testing.T) {
	tests := map[string]struct {
		off  time.Duration
		want []string
	}{
		"two thresholds":           {94 * day, []string{"secret.expiring 7d"}},
		"all, and the expiry":      {101 * day, []string{"secret.expired"}},
		"in the middle of the day": {99*day + 12*time.Hour, []string{"secret.expiring 1d"}},
		"none":                     {69 * day, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world) {
				in := value(`{}`)
				in.Options.ExpiresIn = "100d"
				w.mustWrite(t, "a", in)
				w.clock.add(test.off)
				w.work(t)
				w.work(t)
				if diff := cmp.Diff(test.want, w.named(t)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// named are the notices in the log by name and threshold.
func (w *world) named(tb testing.TB) (all []string) {
	tb.Helper()
	for _, e := range w.events(tb) {
		switch e.Type {
		case "secret.expired":
			all = append(all, e.Type)
		case "secret.expiring":
			all = append(all, e.Type+" "+field(tb, e.Data, "threshold"))
		}
	}
	return all
}

// Each write begins anew; a version that does not expire is never announced.
func TestAWriteReschedules(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		in := value(`{}`)
		in.Options.ExpiresIn = "8d"
		in.Options.NotifyBefore = thresholds("7d,2d")
		w.mustWrite(t, "a", in)
		w.clock.add(day)
		w.work(t)
		in.Options.NotifyBefore = nil // stays
		w.mustWrite(t, "a", in)
		w.clock.add(day)
		w.work(t)
		if diff := cmp.Diff([]string{"secret.expiring 7d", "secret.expiring 7d"}, w.named(t)); diff != "" {
			t.Error(diff)
		}
		if info := w.mustWrite(t, "a", value(`{}`)); info.NotifyBefore != "7d,2d" || len(w.queued(t, "")) != 0 {
			t.Errorf("%+v, jobs %+v", info, w.queued(t, ""))
		}
		w.clock.add(100 * day)
		w.work(t)
		if n := len(w.named(t)); n != 2 {
			t.Errorf("%q", w.named(t))
		}
	})
}

// While a secret is deleted its expiry is not announced; what was missed is told once when it is restored.
func TestRestoredSecretsAreAnnounced(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		in := value(`{}`)
		in.Options.ExpiresIn = "40d"
		w.mustWrite(t, "a", in)
		w.clock.add(11 * day)
		w.work(t) // 30d
		w.mustDelete(t, "a", false)
		w.clock.add(2 * day)
		w.restore(t, "a") // nothing was missed
		w.work(t)
		w.mustDelete(t, "a", false)
		w.clock.add(26*day + 12*time.Hour) // 7d and 1d pass
		w.work(t)
		w.restore(t, "a")
		w.work(t)
		w.clock.add(day)
		w.work(t)
		w.mustDelete(t, "a", false)
		w.restore(t, "a") // has expired, was said
		w.work(t)
		want := []string{"secret.expiring 30d", "secret.expiring 1d", "secret.expired"}
		if diff := cmp.Diff(want, w.named(t)); diff != "" {
			t.Error(diff)
		}
		w.mustDelete(t, "a", true)
		if left := w.queued(t, ""); len(left) != 0 {
			t.Errorf("jobs left: %+v", left)
		}
	})
}

func (w *world) restore(tb testing.TB, path string) {
	tb.Helper()
	if _, err := w.Restore(tb.Context(), root, at(tb, path)); err != nil {
		tb.Fatal(err)
	}
}

// Several queues announce the expiries of many secrets: each once.
func TestReplicasAnnounceOnce(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		const n = 60
		in := value(`{}`)
		in.Options.ExpiresIn = "3d"
		var want []string
		for i := range n {
			path := fmt.Sprintf("app/%02d", i)
			w.mustWrite(t, path, in)
			want = append(want, path)
		}
		w.clock.add(2 * day)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 3)
		for range 3 {
			q := jobs.New(jobs.Options{DB: w.db, Now: w.clock.now})
			for _, k := range w.Jobs() {
				q.Register(k)
			}
			go func() { ended <- q.Run(ctx) }()
		}
		deadline := time.After(20 * time.Second)
		for len(w.due(t)) > 0 || len(w.named(t)) < n {
			select {
			case <-deadline:
				t.Fatalf("%d notices", len(w.named(t)))
			default:
			}
		}
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		var got []string
		for _, e := range w.events(t) {
			if e.Type == "secret.expiring" {
				got = append(got, e.Path)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
