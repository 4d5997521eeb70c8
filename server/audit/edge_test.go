package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// notebook is a recorder that keeps what it gets.
type notebook struct {
	mu      sync.Mutex
	entries []guard.Entry
	err     error
}

func (n *notebook) Append(_ context.Context, entries ...guard.Entry) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return n.err
	}
	n.entries = append(n.entries, entries...)
	return nil
}

func (n *notebook) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
}

// taken returns what came since the last call: entries written one by one, and the sum and number of the folded.
func (n *notebook) taken() (single, foldedSum, folded int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.entries {
		if e.Count == 0 {
			single++
		} else {
			folded++
			foldedSum += e.Count
		}
	}
	n.entries = nil
	return single, foldedSum, folded
}

// pass lets time go by in a bubble, and what falls due in it happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func failure(source, action string) guard.Entry {
	return guard.Entry{Action: action, SourceIP: source, Path: strings.Repeat("p", 500), UserAgent: strings.Repeat("u", 5000), Code: "token_invalid"}
}

func TestEdgeFoldsPerSourceAndAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		g := newEdge(book, time.Now, slog.New(slog.DiscardHandler))
		for range 25 {
			must(t, g.Record(t.Context(), failure("10.0.0.1", "auth_failed")))
		}
		for range 4 {
			must(t, g.Record(t.Context(), failure("10.0.0.1", "request_invalid")))
		}
		must(t, g.Record(t.Context(), failure("10.0.0.2", "auth_failed")))
		if single, sum, folded := book.taken(); single != 10+4+1 || folded != 0 {
			t.Errorf("at once: %d, folded %d of %d", single, sum, folded)
		}
		pass(edgeWindow)
		if single, sum, folded := book.taken(); single != 0 || sum != 15 || folded != 1 {
			t.Errorf("after a second: %d, %d in %d folded, want 15 in one", single, sum, folded)
		}
		pass(10 * edgeWindow) // no entries, no timer, no writes
		must(t, g.Record(t.Context(), failure("10.0.0.1", "auth_failed")))
		if single, sum, folded := book.taken(); single != 1 || folded != 0 {
			t.Errorf("later: %d, %d in %d folded, want one by itself", single, sum, folded)
		}
		must(t, g.Close(t.Context()))
	})
}

// However many sources a flood has, memory and disk are bounded and every event is counted.
func TestEdgeFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		g := newEdge(book, time.Now, slog.New(slog.DiscardHandler))
		const sources, each = 20000, 3
		for i := range sources * each {
			must(t, g.Record(t.Context(), failure(fmt.Sprintf("10.%d.%d.%d", i/65536%256, i/256%256, i%256), "auth_failed")))
		}
		if n := len(g.sources); n > maxSources+1 {
			t.Errorf("%d sources in memory", n)
		}
		for _, e := range book.entries {
			if len(e.UserAgent) > edgeField || len(e.Path) > edgeField {
				t.Fatalf("a stranger wrote %d and %d bytes", len(e.UserAgent), len(e.Path))
			}
		}
		pass(edgeWindow)
		single, sum, folded := book.taken()
		if single+sum != sources*each {
			t.Errorf("%d events are recorded, want %d", single+sum, sources*each)
		}
		if single > oneByOne || folded > maxSources+1 {
			t.Errorf("%d entries by themselves and %d folded in a second", single, folded)
		}
	})
}

// One IPv6 host has 2^64 addresses: it counts as one source.
func TestEdgeCountsANetworkOfIPv6AsOne(t *testing.T) {
	for source, want := range map[string]string{
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2:ffff::": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "::ffff:10.0.0.1": "10.0.0.1", "10.0.0.1": "10.0.0.1", "": "?", "x": "?",
	} {
		if got := network(source); got != want {
			t.Errorf("network(%q) = %q, want %q", source, got, want)
		}
	}
}

// While the trail cannot be written Record says so, and what was folded waits.
func TestEdgeKeepsCountsWhileTheTrailIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		g := newEdge(book, time.Now, slog.New(slog.DiscardHandler))
		down := errors.New("disk full")
		for range 30 {
			must(t, g.Record(t.Context(), failure("10.0.0.1", "auth_failed")))
		}
		book.fail(down)
		if err := g.Record(t.Context(), failure("10.0.0.2", "auth_failed")); !errors.Is(err, down) {
			t.Errorf("Record: %v, want the failure", err)
		}
		pass(5 * edgeWindow)
		book.fail(nil)
		must(t, g.Close(t.Context()))
		if single, sum, folded := book.taken(); single != 10 || sum != 20 || folded != 1 {
			t.Errorf("%d, %d in %d folded, want 10 and 20 in one", single, sum, folded)
		}
		pass(5 * edgeWindow) // a closed edge starts no timer
	})
}

// Tenants share sources, but no entry.
func TestEdgeKeepsTenantsApart(t *testing.T) {
	book := &notebook{}
	g := newEdge(book, time.Now, slog.New(slog.DiscardHandler))
	for _, tn := range []string{"", "tnt_other"} {
		for range 12 {
			e := failure("10.0.0.1", "rate_limited")
			e.Tenant = tn
			must(t, g.Record(t.Context(), e))
		}
	}
	must(t, g.Close(t.Context()))
	got := map[string]int64{}
	for _, e := range book.entries {
		got[e.Tenant] += max(e.Count, 1)
	}
	if got[guard.DefaultTenant] != 12 || got["tnt_other"] != 12 || len(got) != 2 {
		t.Errorf("events per tenant: %v", got)
	}
}

func TestEdgeWritesToTheTrail(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		g := NewEdge(l, time.Now)
		for range 13 {
			must(t, g.Record(t.Context(), failure("10.0.0.1", "auth_failed")))
		}
		must(t, g.Close(t.Context()))
		list, err := l.page(t.Context(), tenant, "", Query{Actions: []string{"auth_failed"}})
		must(t, err)
		if len(list.Logs) != 11 {
			t.Fatalf("%d entries, want ten and a folded one", len(list.Logs))
		}
		counts := 0
		for _, e := range list.Logs {
			if e.ExtraData["count"] == int64(3) {
				counts++
			}
		}
		if counts != 1 {
			t.Errorf("no entry counts the three that were folded: %+v", list.Logs[0])
		}
	})
}
