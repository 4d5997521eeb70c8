package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

const notDue = 100_000

// fill adds jobs of a kind that are due in an hour and later.
func fill(tb testing.TB, db *store.DB, kind string, n int, now time.Time) {
	tb.Helper()
	const perUpdate = 5000
	for from := 0; from < n; from += perUpdate {
		err := db.Update(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO jobs (kind, tenant, key, due_at, scheduled_at, attempt, failures)
WITH RECURSIVE n(i) AS (SELECT CAST($2 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($3 AS BIGINT))
SELECT CAST($1 AS TEXT), 'tnt_a', 'job-' || i, CAST($4 AS BIGINT) + i, CAST($4 AS BIGINT) + i, 0, 0 FROM n`,
				kind, from+1, min(from+perUpdate, n), now.Add(time.Hour).UnixMicro())
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	if db.Engine() == store.Postgres {
		if err := db.Update(context.Background(), func(tx *store.Tx) error { _, err := tx.Exec(`ANALYZE jobs`); return err }); err != nil {
			tb.Fatal(err)
		}
	}
}

// Both queries of a turn go by the index of due times, and the claim finds its rows by their key; neither reads
// the table, however many jobs are not due.
func TestPlansOfATurn(t *testing.T) {
	each(t, func(w *world) {
		fill(t, w.db, "k", notDue, w.clock.now())
		first, claim := w.idle(w.db).Queries()
		now := w.clock.now()
		checkPlan(w, w.plan(first, "k"))
		checkPlan(w, w.plan(claim, "k", now.UnixMicro(), now.Add(time.Minute).UnixMicro(), 16))
	})
}

func checkPlan(w *world, plan string) {
	w.Helper()
	if strings.Count(plan, "jobs_due") != 1 {
		w.Errorf("the index of due times is not used once:\n%s", plan)
	}
	for line := range strings.Lines(plan) {
		if strings.Contains(line, "SCAN jobs") || strings.Contains(line, "Seq Scan on jobs") || strings.Contains(line, "Sort") || strings.Contains(line, "TEMP B-TREE") {
			w.Errorf("reads or sorts all jobs:\n%s", plan)
		}
	}
}

// plan is how the engine would run a query.
func (w *world) plan(query string, args ...any) string {
	w.Helper()
	explain, columns := "EXPLAIN ", 1
	if w.db.Engine() == store.SQLite {
		explain, columns = "EXPLAIN QUERY PLAN ", 4
	}
	var plan strings.Builder
	undone := errors.New("undone")
	err := w.db.Update(w.Context(), func(tx *store.Tx) error {
		plan.Reset() // what failed runs again alone
		rows, err := tx.Query(explain+query, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var line string
			dest := []any{new(any), new(any), new(any), &line}
			if err := rows.Scan(dest[4-columns:]...); err != nil {
				return err
			}
			fmt.Fprintln(&plan, line)
		}
		return errors.Join(rows.Err(), undone)
	})
	if !errors.Is(err, undone) {
		w.Fatal(err)
	}
	return plan.String()
}

// BenchmarkTurn is one job from Schedule to Finish, with and without 10^5 jobs of its kind that are not due.
func BenchmarkTurn(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		for _, waiting := range []int{0, notDue} {
			b.Run(fmt.Sprintf("%s/waiting=%d", engine, waiting), func(b *testing.B) { benchmarkTurn(b, engine, waiting) })
		}
	}
}

func benchmarkTurn(b *testing.B, engine store.Engine, waiting int) {
	db, c := storetest.Open(b, storetest.Options(b, engine)), newClock()
	fill(b, db, "k", waiting, c.now())
	ran := make(chan struct{}, 1)
	q := jobs.New(jobs.Options{DB: db, Now: c.now})
	q.Register(jobs.Kind{Name: "k", Lease: time.Minute, Workers: 1, Run: func(ctx context.Context, j jobs.Job) error {
		err := db.Update(ctx, func(tx *store.Tx) error { return q.Finish(tx, j, time.Time{}) })
		ran <- struct{}{}
		return err
	}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	defer func() { cancel(); <-done }()
	for b.Loop() {
		if err := db.Update(ctx, func(tx *store.Tx) error { return q.Schedule(tx, "k", "tnt_a", "one", c.now()) }); err != nil {
			b.Fatal(err)
		}
		<-ran
	}
}
