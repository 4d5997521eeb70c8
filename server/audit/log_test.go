package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

const tenant = guard.DefaultTenant

// box wraps by flipping bits: enough to see that the key in the table is not the key.
type box struct{}

func (box) Seal(_ context.Context, plain []byte) ([]byte, error) { return flipped(plain), nil }
func (box) Open(_ context.Context, b []byte) ([]byte, error)     { return flipped(b), nil }

func flipped(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newLog(tb testing.TB, db *store.DB, now func() time.Time, emit func(Checkpoint)) *Log {
	return New(db, Options{
		Keys: box{}, Now: now, Emit: emit,
		Log: slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// all reads every entry of a tenant straight from the table, in no order.
func all(tb testing.TB, db *store.DB, tenant string) []found {
	tb.Helper()
	rows, err := db.Query(tb.Context(), `SELECT writer, first_seq, body FROM audit_blocks WHERE tenant = $1`, tenant)
	must(tb, err)
	defer func() { _ = rows.Close() }()
	var out []found
	for rows.Next() {
		var p position
		var body []byte
		must(tb, rows.Scan(&p.writer, &p.seq, &body))
		must(tb, lines(body, func(line []byte) error {
			e, err := decodeLine(line)
			p.at, e.Tenant = e.Time.UnixMicro(), tenant
			out = append(out, found{p, e})
			p.seq++
			return err
		}))
	}
	must(tb, rows.Err())
	return out
}

func verified(tb testing.TB, l *Log, tenant string) {
	tb.Helper()
	v, err := l.Verify(tb.Context(), tenant)
	must(tb, err)
	if !v.Valid {
		tb.Errorf("the trail does not verify: %q", v.Problems)
	}
}

func entryOf(action, path string) guard.Entry {
	return guard.Entry{Tenant: tenant, Action: action, IdentityType: "user", IdentityID: "user:a@b", Path: path, Success: true, RequestID: "req_1"}
}

func TestAppendReturnsAfterCommit(t *testing.T) {
	gate, gated := make(chan error), atomic.Bool{}
	hold := func() error {
		if !gated.Load() {
			return nil
		}
		return <-gate
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		for _, commit := range []error{errors.New("no space left on device"), nil} {
			gated.Store(true)
			done := make(chan error, 1)
			go func() { done <- l.Append(t.Context(), entryOf("read", "a/b")) }()
			select {
			case gate <- commit: // the commit has been waiting here
			case err := <-done:
				t.Fatalf("answered before COMMIT: %v", err)
			}
			for answered := false; !answered; {
				select {
				case gate <- commit: // the store tries again alone
				case err := <-done:
					answered = true
					if (err == nil) != (commit == nil) {
						t.Errorf("commit: %v, Append: %v", commit, err)
					}
				}
			}
			gated.Store(false)
		}
		if got := all(t, db, tenant); len(got) != 1 {
			t.Errorf("%d entries, want the one that was acknowledged", len(got))
		}
		verified(t, l, tenant)
	}, func(o *store.Options) { o.BeforeCommit = hold })
}

// Poisoned batches, refused closures, cancelled callers and failing commits leave chains that verify and hold every
// acknowledged entry exactly once.
func TestChainsHoldUnderTrouble(t *testing.T) {
	var commits storetest.Commits
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		commits.Fail(nil)
		l := newLog(t, db, time.Now, nil)
		var mu sync.Mutex
		acknowledged := map[string]bool{}
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := range 40 {
					id := fmt.Sprintf("req_%d_%d", w, i)
					if err := trouble(t.Context(), l, db, w*40+i, id); err == nil {
						mu.Lock()
						acknowledged[id] = true
						mu.Unlock()
					}
					if w == 0 && i%10 == 3 {
						commits.Fail(errors.New("disk full"))
					} else if w == 0 && i%10 == 5 {
						commits.Fail(nil)
					}
				}
			})
		}
		wg.Wait()
		commits.Fail(nil)
		must(t, l.Append(t.Context(), entryOf("read", "last")))
		seen := map[string]int{}
		for _, tn := range []string{tenant, "tnt_other"} {
			for _, f := range all(t, db, tn) {
				seen[f.entry.RequestID]++
			}
			verified(t, l, tn)
		}
		for id := range acknowledged {
			if seen[id] != 1 {
				t.Errorf("acknowledged %s is there %d times", id, seen[id])
			}
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s is there %d times", id, n)
			}
		}
		if len(acknowledged) < 100 {
			t.Errorf("only %d calls succeeded: the test shows nothing", len(acknowledged))
		}
	}, commits.Option)
}

func trouble(ctx context.Context, l *Log, db *store.DB, n int, id string) error {
	e := entryOf("write", "a/b")
	e.RequestID = id
	if n%3 == 0 {
		e.Tenant = "tnt_other"
	}
	switch n % 7 {
	case 0, 1, 2:
		return l.Append(ctx, e)
	case 3: // a caller that goes away at some moment
		gone, cancel := context.WithCancel(ctx)
		go cancel()
		return l.Append(gone, e)
	case 4: // a change that fails after its entry was staged: poisons the batch
		return db.Update(ctx, func(tx *store.Tx) error {
			l.Stage(tx, e)
			return errors.New("refused")
		})
	case 5: // a statement that fails
		return db.UpdateFallible(ctx, func(tx *store.Tx) error {
			l.Stage(tx, e)
			_, err := tx.Exec(`INSERT INTO meta (name, value) VALUES ('instance_id', 'x')`)
			return err
		})
	default:
		return db.Update(ctx, func(tx *store.Tx) error {
			l.Stage(tx, e)
			return nil
		})
	}
}

// A connection lost during COMMIT leaves open what became of the batch: the lane finds out before it goes on.
func TestUncertainCommitIsSettled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		cases := map[string]func(ln *lane, lost *block){
			"it was committed":      func(ln *lane, lost *block) { ln.pending = []*block{lost} },
			"it was found too late": func(ln *lane, lost *block) {},
		}
		for name, forget := range cases {
			l := newLog(t, db, time.Now, nil)
			must(t, l.Append(t.Context(), entryOf("read", "a/1")))
			ln := l.lanes[0]
			if ln == nil {
				t.Fatal("the entry did not go through lane 0")
			}
			before := ln.chains[tenant]
			var lost *block
			must(t, l.Append(t.Context(), entryOf("read", "a/2")))
			lost = &block{tenant: tenant, writer: ln.writer, last: 2, ref: ref{first: 2}, head: ln.chains[tenant].head}
			ln.chains[tenant] = before // as if nobody had told the lane
			forget(ln, lost)
			err := l.Append(t.Context(), entryOf("read", "a/3"))
			if err != nil { // the first meets the block, the next begins new chains
				err = l.Append(t.Context(), entryOf("read", "a/3"))
			}
			if err != nil {
				t.Errorf("%s: appending does not recover: %v", name, err)
			}
			verified(t, l, tenant)
		}
		if got := len(all(t, db, tenant)); got != 6 {
			t.Errorf("%d entries, want 6", got)
		}
	}, func(o *store.Options) { o.Lanes = 1 })
}
