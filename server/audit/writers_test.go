package audit

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

type writerRow struct {
	Owner  string
	Closed bool
}

func writerRows(t *testing.T, db *store.DB) map[string]writerRow {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT writer, owner, closed FROM audit_writers`)
	must(t, err)
	defer func() { _ = rows.Close() }()
	out := map[string]writerRow{}
	for rows.Next() {
		var name string
		var w writerRow
		must(t, rows.Scan(&name, &w.Owner, &w.Closed))
		out[name] = w
	}
	must(t, rows.Err())
	return out
}

func onlyWriter(t *testing.T, l *Log) string {
	t.Helper()
	names := l.ownWriters()
	if len(names) != 1 {
		t.Fatalf("writers %v, want one", names)
	}
	return names[0]
}

// A process ends without a word: another one indexes and signs what it left, and closes its writer.
func TestDeadWriterIsTakenOver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clk := newClock()
		dead := newLog(t, db, clk.now, nil)
		must(t, dead.Append(t.Context(), entryOf("read", "a/b"), entryOf("read", "a/b")))
		name := onlyWriter(t, dead)

		var emitted []Checkpoint
		l := newLog(t, db, clk.now, func(c Checkpoint) { emitted = append(emitted, c) })
		must(t, l.tend(t.Context()))
		if got := writerRows(t, db)[name].Owner; (got == l.owner) != db.Exclusive() {
			t.Errorf("taken over at first sight: %v, exclusive: %v", got == l.owner, db.Exclusive())
		}
		for range 2 {
			clk.add(deadAfter / 2)
			if got := writerRows(t, db)[name].Owner; (got == l.owner) != db.Exclusive() {
				t.Errorf("taken over before a minute is over: %v, exclusive: %v", got == l.owner, db.Exclusive())
			}
			must(t, l.tend(t.Context()))
		}
		must(t, l.Flush(t.Context()))
		if got := writerRows(t, db)[name]; got != (writerRow{Owner: l.owner}) {
			t.Errorf("after a minute: %+v, want owner %s", got, l.owner)
		}
		var s statement
		must(t, json.Unmarshal(emitted[len(emitted)-1].Body, &s))
		if len(s.Heads) != 1 || s.Heads[0].Writer != name || s.Heads[0].Seq != 2 {
			t.Errorf("signed %+v, want the dead writer's end", s.Heads)
		}
		must(t, l.tend(t.Context()))
		if got := writerRows(t, db)[name]; !got.Closed {
			t.Errorf("everything is done, and it is %+v", got)
		}
		if diff := cmp.Diff(counted(all(t, db, tenant)), reads(t, db)); diff != "" {
			t.Errorf("reads (-counted +kept):\n%s", diff)
		}
		verified(t, l, tenant)
	}, func(o *store.Options) { o.Lanes = 1 })
}

// A process that stood still for a minute goes on: what it appends is visible at once, indexed once, and its writer is its
// own again.
func TestWriterThatComesBack(t *testing.T) {
	db := storetest.Open(t, storetest.Options(t, store.Postgres), func(o *store.Options) { o.Lanes = 1 })
	clk := newClock()
	slow, l := newLog(t, db, clk.now, nil), newLog(t, db, clk.now, nil)
	must(t, slow.Append(t.Context(), entryOf("read", "a/b")))
	name := onlyWriter(t, slow)
	for range 2 {
		takeOver(t, l, clk)
		must(t, l.Flush(t.Context()))
	}
	if got := writerRows(t, db)[name]; got != (writerRow{l.owner, true}) {
		t.Fatalf("the writer that stood still is %+v", got)
	}
	must(t, slow.Append(t.Context(), entryOf("read", "a/b")))
	if list, err := l.page(t.Context(), tenant, "a/b", Query{}); err != nil || len(list.Logs) != 2 {
		t.Errorf("%d entries, %v, want both", len(list.Logs), err)
	}
	must(t, slow.tend(t.Context()))
	_ = slow.index(t.Context()) // finds that another process was here, and reads the table the next time
	must(t, slow.index(t.Context()))
	if got := writerRows(t, db)[name]; got != (writerRow{slow.owner, false}) {
		t.Errorf("the writer is %+v, want its own process's again", got)
	}
	if diff := cmp.Diff(counted(all(t, db, tenant)), reads(t, db)); diff != "" {
		t.Errorf("reads (-counted +kept):\n%s", diff)
	}
	verified(t, slow, tenant)
}

// A writer that shows itself from time to time is nobody else's, however slow the clock of whoever watches.
func TestLivingWriterIsLeftAlone(t *testing.T) {
	db := storetest.Open(t, storetest.Options(t, store.Postgres), func(o *store.Options) { o.Lanes = 1 })
	clk := newClock()
	alive, l := newLog(t, db, clk.now, nil), newLog(t, db, clk.now, nil)
	must(t, alive.Append(t.Context(), entryOf("read", "a/b")))
	for range 20 {
		must(t, alive.tend(t.Context()))
		must(t, l.tend(t.Context()))
		clk.add(deadAfter / 2)
	}
	if got := writerRows(t, db)[onlyWriter(t, alive)]; got != (writerRow{Owner: alive.owner}) {
		t.Errorf("a living writer is %+v", got)
	}
}

// Of several processes that see a writer die one gets it.
func TestOneClaimsADeadWriter(t *testing.T) {
	db := storetest.Open(t, storetest.Options(t, store.Postgres), func(o *store.Options) { o.Lanes = 1 })
	clk := newClock()
	dead := newLog(t, db, clk.now, nil)
	must(t, dead.Append(t.Context(), entryOf("read", "a/b")))
	watchers := []*Log{newLog(t, db, clk.now, nil), newLog(t, db, clk.now, nil), newLog(t, db, clk.now, nil)}
	for range 2 {
		for _, l := range watchers {
			must(t, l.tend(t.Context()))
		}
		clk.add(deadAfter)
	}
	owners := 0
	for _, l := range watchers {
		if l.tender.taken[onlyWriter(t, dead)] {
			owners++
		}
	}
	if owners != 1 {
		t.Errorf("%d processes took the writer", owners)
	}
}

// Run indexes and signs by itself, and leaves nothing unsigned behind.
func TestRunEndsWithEverythingSigned(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		emitted := make(chan Checkpoint, 100)
		l := newLog(t, db, time.Now, func(c Checkpoint) { emitted <- c })
		must(t, l.Append(t.Context(), entryOf("read", "a/b")))
		ctx, stop := contextWithStop(t)
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		<-emitted // it signs while it runs
		must(t, l.Append(t.Context(), entryOf("read", "a/b"), entryOf("write", "a/b")))
		stop()
		must(t, <-ended)
		v, err := l.Verify(t.Context(), tenant)
		must(t, err)
		if !v.Valid || v.Entries != 3 || v.Unsigned != 0 || l.Lag() != 0 {
			t.Errorf("%+v, lag %d, want 3 entries, all signed and indexed", v, l.Lag())
		}
	})
}
