package audit

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/scailabs/scaivault/server/guard"
)

const (
	edgeWindow   = time.Second
	perSource    = 10  // entries per window of one source and action that are written one by one
	oneByOne     = 100 // of all sources together
	maxSources   = 64  // sources and actions that are counted apart per window
	edgeField    = 64  // bytes of a path and a user agent, which strangers choose
	flushTimeout = 5 * time.Second
)

// recorder is the trail as the edge needs it.
type recorder interface {
	Append(ctx context.Context, entries ...guard.Entry) error
}

// Edge records what never reaches a domain: auth_failed, request_invalid and rate_limited (contract section 25).
// Anybody can cause these without a token, so what they cost is bounded. Up to 10 a second of one source and
// action, and 100 of all together, are durable when Record returns. What goes beyond is counted and written
// as one entry with `count` per second, source and action; sources beyond the 64th in a second share one
// entry per action and tenant. All told a flood writes fewer than 170 short entries a second.
type Edge struct {
	log  recorder
	now  func() time.Time
	slog *slog.Logger

	mu      sync.Mutex
	timer   *time.Timer // runs while a window is open
	closed  bool
	entries int // written one by one in this window
	sources map[edgeKey]*fold
}

type edgeKey struct{ tenant, source, action string }

// fold is what one source did in a window.
type fold struct {
	seen   int
	excess int64
	entry  guard.Entry // the first of those that were folded
}

// NewEdge makes an Edge that writes to l.
func NewEdge(l *Log, now func() time.Time) *Edge { return newEdge(l, now, l.slog) }

func newEdge(r recorder, now func() time.Time, log *slog.Logger) *Edge {
	return &Edge{log: r, now: now, slog: log, sources: map[edgeKey]*fold{}}
}

// Record returns once e is durable, or counted into an entry that will be written within a second. Entries of
// callers who are not known belong to the default tenant.
func (g *Edge) Record(ctx context.Context, e guard.Entry) error {
	if e.Tenant == "" {
		e.Tenant = guard.DefaultTenant
	}
	if e.Time.IsZero() {
		e.Time = g.now()
	}
	e.Path, e.UserAgent = clean(e.Path, edgeField), clean(e.UserAgent, edgeField)
	if g.admit(e) {
		return g.log.Append(ctx, e)
	}
	return nil
}

// admit tells whether e is written by itself; if not, it has been counted.
func (g *Edge) admit(e guard.Entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open()
	f := g.fold(edgeKey{e.Tenant, network(e.SourceIP), e.Action})
	if f.seen++; f.seen <= perSource && g.entries < oneByOne {
		g.entries++
		return true
	}
	if f.excess == 0 {
		f.entry = e
	}
	f.excess++
	return false
}

// open starts a window if none runs; g.mu is held.
func (g *Edge) open() {
	if g.timer == nil && !g.closed {
		g.timer = time.AfterFunc(edgeWindow, g.expire)
	}
}

// fold finds what a source did in this window, or what all those did that are not counted apart; g.mu is held.
func (g *Edge) fold(k edgeKey) *fold {
	f := g.sources[k]
	if f == nil && len(g.sources) >= maxSources {
		k.source = ""
		f = g.sources[k]
	}
	if f == nil {
		f = &fold{}
		g.sources[k] = f
	}
	return f
}

// network is a source as it is counted: one address, or the /64 that a single IPv6 host can fill.
func network(source string) string {
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return "?"
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr.WithZone(""), 64).Masked().String()
}

func (g *Edge) expire() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := g.flush(ctx); err != nil {
		g.slog.Error("folded audit entries wait for another second", "error", err)
	}
}

// Close writes what has been counted, and starts no window any more.
func (g *Edge) Close(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	return g.flush(ctx)
}

// flush ends the window and writes its folded entries. If that fails they count into the next one.
func (g *Edge) flush(ctx context.Context) error {
	g.mu.Lock()
	if g.timer != nil {
		g.timer.Stop()
	}
	sources := g.sources
	g.timer, g.entries, g.sources = nil, 0, map[edgeKey]*fold{}
	g.mu.Unlock()
	var entries []guard.Entry
	for k, f := range sources {
		if f.excess > 0 {
			entries = append(entries, f.folded(k))
		}
	}
	if len(entries) == 0 {
		return nil
	}
	err := g.log.Append(ctx, entries...)
	if err != nil {
		g.restore(sources)
	}
	return err
}

func (f *fold) folded(k edgeKey) guard.Entry {
	e := f.entry
	e.Count = f.excess
	if k.source == "" { // of many sources: no field is true of all
		e = guard.Entry{Tenant: e.Tenant, Time: e.Time, Action: e.Action, Success: e.Success, Count: e.Count}
	}
	return e
}

func (g *Edge) restore(sources map[edgeKey]*fold) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open()
	for k, old := range sources {
		if old.excess == 0 {
			continue
		}
		f := g.fold(k)
		if f.excess == 0 {
			f.entry = old.entry
		}
		f.excess += old.excess
	}
}
