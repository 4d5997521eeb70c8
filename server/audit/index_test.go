package audit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// reads is what secret_reads says: reads and time of the last, by path and day.
func reads(t *testing.T, db *store.DB) map[string][2]int64 {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT tenant, path, day, reads, last FROM secret_reads`)
	must(t, err)
	defer func() { _ = rows.Close() }()
	out := map[string][2]int64{}
	for rows.Next() {
		var tn, path string
		var day int64
		var v [2]int64
		must(t, rows.Scan(&tn, &path, &day, &v[0], &v[1]))
		out[fmt.Sprintf("%s %s %d", tn, path, day)] = v
	}
	must(t, rows.Err())
	return out
}

// counted is what secret_reads should say, counted from the entries one by one.
func counted(entries []found) map[string][2]int64 {
	out := map[string][2]int64{}
	for _, f := range entries {
		e := f.entry
		if !e.Success || e.Path == "" || e.Action != "read" && e.Action != "batch_read" {
			continue
		}
		k := fmt.Sprintf("%s %s %d", e.Tenant, e.Path, e.Time.Unix()/86400)
		out[k] = [2]int64{out[k][0] + max(e.Count, 1), max(out[k][1], f.at)}
	}
	return out
}

var actions = []string{"read", "read", "read", "batch_read", "write", "list", "delete", "auth_failed", "policy_create"}

// randomEntry is spread over a few days, tenants, paths and identities, and not in order of time.
func randomEntry(r *rand.Rand, base time.Time) guard.Entry {
	e := guard.Entry{
		Tenant: []string{tenant, tenant, "tnt_other"}[r.IntN(3)], Action: actions[r.IntN(len(actions))],
		IdentityType: []string{"user", "service_account"}[r.IntN(2)], IdentityID: fmt.Sprintf("user:%d@x", r.IntN(12)),
		Path: []string{"", "a/b", "a/bc", "x"}[r.IntN(4)], SourceIP: fmt.Sprintf("10.0.0.%d", r.IntN(4)),
		RequestID: fmt.Sprintf("req_%d", r.IntN(500)), Success: r.IntN(4) > 0,
		Time: base.Add(-time.Duration(r.IntN(40)) * time.Minute).Add(-time.Duration(r.IntN(3)) * time.Microsecond),
	}
	if e.Path == "x" {
		e.Path = fmt.Sprintf("x/%d", r.IntN(60))
	}
	if r.IntN(20) == 0 {
		e.Time = e.Time.Add(-time.Duration(r.IntN(50)) * time.Hour)
	}
	if r.IntN(10) == 0 {
		e.Count = r.Int64N(9)
	}
	return e
}

func appendRandom(t *testing.T, l *Log, r *rand.Rand, base time.Time, n int) {
	t.Helper()
	for range n {
		batch := make([]guard.Entry, 1+r.IntN(6))
		for i := range batch {
			batch[i] = randomEntry(r, base)
		}
		must(t, l.Append(t.Context(), batch...))
	}
}

// supply lets so many commits pass and fails the rest.
type supply struct{ left atomic.Int64 }

func (s *supply) option(o *store.Options) {
	o.BeforeCommit = func() error {
		if s.left.Add(-1) < 0 {
			return errors.New("the process ends here")
		}
		return nil
	}
}

func (s *supply) allow(n int64) { s.left.Store(n) }

const plenty = 1 << 40

// The process ends after any number of the indexer's transactions. Another one goes on, and every read is counted once.
func TestReadsAreCountedOnceWhereverItStops(t *testing.T) {
	var commits supply
	commits.allow(plenty)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := rand.New(rand.NewPCG(1, 2))
		clk := newClock()
		l := newLog(t, db, clk.now, nil)
		l.chunk = 100
		stopped := 0
		for stop := range int64(9) {
			for range 10 { // 300 paths: several transactions per run
				batch := make([]guard.Entry, 60)
				for i := range batch {
					batch[i] = randomEntry(r, clk.now())
					batch[i].Path = fmt.Sprintf("many/%d", r.IntN(300))
				}
				must(t, l.Append(t.Context(), batch...))
			}
			commits.allow(stop)
			if l.index(t.Context()) != nil {
				stopped++
			}
			commits.allow(plenty)
			if stop%3 != 0 { // a new process takes over, or else the old one goes on
				l = newLog(t, db, clk.now, nil)
				l.chunk = 70
				takeOver(t, l, clk)
			}
		}
		if stopped < 4 {
			t.Fatalf("stopped %d times only: the test shows little", stopped)
		}
		must(t, l.index(t.Context()))
		entries := append(all(t, db, tenant), all(t, db, "tnt_other")...)
		if diff := cmp.Diff(counted(entries), reads(t, db)); diff != "" {
			t.Errorf("reads (-counted one by one +kept):\n%s", diff)
		}
		if l.Lag() != 0 {
			t.Errorf("lag %d after everything is indexed", l.Lag())
		}
	}, commits.option, func(o *store.Options) { o.Lanes = 1 })
}

// takeOver has l claim the writers of processes that are gone.
func takeOver(t *testing.T, l *Log, clk *clock) {
	t.Helper()
	must(t, l.tend(t.Context()))
	clk.add(deadAfter)
	must(t, l.tend(t.Context()))
}

// The table is asked for the ends of chains while a commit is being reported: its block must not be indexed twice.
func TestBlockThatWasFoundBeforeItWasReported(t *testing.T) {
	l := &Log{feeds: map[chainID]*feed{}, heads: map[chainID]chain{}}
	id := chainID{tenant, "w_a"}
	one := chain{}.extend(tenant, "w_a", []*line{ptr(encode(entryOf("read", "a")))})
	l.publish([]*block{one})
	two := chain{seq: 1}.extend(tenant, "w_a", []*line{ptr(encode(entryOf("read", "b")))})
	l.found(id, 0, 2)
	f := l.feeds[id]
	f.reached(2) // the indexer read both from the table
	f.lost = false
	l.publish([]*block{two})
	if len(f.blocks) != 0 || !f.lost || f.indexed != 2 || f.head != 2 {
		t.Errorf("%d blocks wait in memory, lost %v, %d of %d indexed", len(f.blocks), f.lost, f.indexed, f.head)
	}
}

// What waits for the indexer in memory is bounded; beyond it the table is read.
func TestFeedIsBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		batch := slices.Repeat([]guard.Entry{entryOf("read", "a/b")}, maxHeld/8)
		for range maxHeld/len(batch) + 2 {
			must(t, l.Append(t.Context(), batch...))
		}
		l.mu.Lock()
		for _, f := range l.feeds {
			if f.held > maxHeld {
				t.Errorf("%d facts in memory", f.held)
			}
		}
		l.mu.Unlock()
		must(t, l.index(t.Context()))
		must(t, l.Append(t.Context(), batch...))
		must(t, l.index(t.Context()))
		if diff := cmp.Diff(counted(all(t, db, tenant)), reads(t, db)); diff != "" || l.Lag() != 0 {
			t.Errorf("lag %d, reads (-counted +kept):\n%s", l.Lag(), diff)
		}
	}, func(o *store.Options) { o.Lanes = 1 })
}

// Many distinct paths make runs rarer instead of dearer; however many they are, the lag is bounded.
func TestIndexerRestsAfterMuchWork(t *testing.T) {
	for rows, want := range map[int64]time.Duration{0: 0, 3000: 200 * time.Millisecond, 60000: 4 * time.Second, 1 << 40: longestRest} {
		if got := rest(rows); got != want {
			t.Errorf("rest(%d) = %v, want %v", rows, got, want)
		}
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clk := newClock()
		l := newLog(t, db, clk.now, nil)
		batch := make([]guard.Entry, 5000)
		for i := range batch {
			batch[i] = entryOf("read", fmt.Sprintf("many/%d", i))
		}
		must(t, l.Append(t.Context(), batch...))
		must(t, l.indexWhenDue(t.Context())) // three rows an entry: a second
		must(t, l.Append(t.Context(), batch[0]))
		must(t, l.indexWhenDue(t.Context()))
		if l.Lag() != 1 {
			t.Errorf("lag %d right after much work, want 1", l.Lag())
		}
		clk.add(time.Second + 10*time.Millisecond)
		must(t, l.indexWhenDue(t.Context()))
		if l.Lag() != 0 {
			t.Errorf("lag %d after the rest, want 0", l.Lag())
		}
	})
}

// The index is derived: emptied and reset as docs/adr/0002-audit-blocks.md says, it comes back as it was.
func TestIndexCanBeRebuilt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := rand.New(rand.NewPCG(7, 8))
		clk := newClock()
		appendRandom(t, newLog(t, db, clk.now, nil), r, clk.now(), 50) // of a process that is gone
		l := newLog(t, db, clk.now, nil)
		appendRandom(t, l, r, clk.now(), 50)
		for range 2 { // takes the writer over, and closes it
			takeOver(t, l, clk)
			must(t, l.Flush(t.Context()))
		}
		want := reads(t, db)
		for _, query := range []string{
			`DELETE FROM audit_index`, `DELETE FROM audit_activity`, `DELETE FROM secret_reads`,
			`UPDATE audit_chains SET indexed_seq = 0, target_seq = 0, step = ''`, `UPDATE audit_writers SET closed = 0`,
		} {
			execute(t, db, query)
		}
		again := newLog(t, db, clk.now, nil)
		takeOver(t, again, clk)
		must(t, again.index(t.Context()))
		if diff := cmp.Diff(want, reads(t, db)); diff != "" || len(want) == 0 {
			t.Errorf("reads of %d secrets (-before +rebuilt):\n%s", len(want), diff)
		}
		entries := all(t, db, tenant)
		for range 20 {
			path, q := randomQuery(r, clk.now())
			if diff := cmp.Diff(naive(entries, path, q), pages(t, again, r, path, q)); diff != "" {
				t.Fatalf("path %q, %+v (-naive +got):\n%s", path, q, diff)
			}
		}
	}, func(o *store.Options) { o.Lanes = 1 })
}
