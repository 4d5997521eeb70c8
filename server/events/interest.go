package events

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

const (
	// interestChannel tells every replica that subscriptions or webhooks changed.
	interestChannel = "scaivault_webhooks"

	// foldTime is how long what is alike is folded into one event.
	foldTime = time.Second
	// maxFolded bounds what is kept until then; what comes beyond is counted, not told.
	maxFolded = 10_000
	flushTime = 5 * time.Second
)

// Glimpses announces calls that change nothing, reads of secrets and refusals, to those who asked for them by name.
// Where nobody did, a call costs one look at a map. Alike events of a second become one with a count. They are not
// part of a transaction: a server that is killed loses those of its last second, which the audit trail holds.
type Glimpses struct {
	db  *store.DB
	log *Log
	out *slog.Logger

	wanted atomic.Pointer[map[wish]bool]
	mu     sync.Mutex
	folded map[alike]*seen
	missed int
}

// wish is a loud event of a tenant that somebody asked for.
type wish struct{ tenant, event string }

// alike is what folded events have in common.
type alike struct{ tenant, event, path, identity, data string }

type seen struct {
	first guard.Event
	count int64
}

// NewGlimpses announces in log. Run it.
func NewGlimpses(db *store.DB, log *Log, out *slog.Logger) *Glimpses {
	return &Glimpses{db: db, log: log, out: out, folded: map[alike]*seen{}}
}

// Wants implements guard.Glimpser.
func (g *Glimpses) Wants(tenant, event string) bool {
	wanted := g.wanted.Load()
	return wanted != nil && (*wanted)[wish{tenant, event}]
}

// Glimpse implements guard.Glimpser.
func (g *Glimpses) Glimpse(e guard.Event) {
	key := alike{e.Tenant, e.Type, e.Path, e.IdentityID, string(e.Data)}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch s := g.folded[key]; {
	case s != nil:
		s.count++
	case len(g.folded) >= maxFolded:
		g.missed++
	default:
		g.folded[key] = &seen{first: e, count: 1}
	}
}

// Run learns who asks and announces, until ctx ends. Every replica runs it. It returns nil; its failures are logged
// and tried again.
func (g *Glimpses) Run(ctx context.Context) error {
	tick := time.NewTicker(foldTime)
	defer tick.Stop()
	for {
		wake := g.db.Wake(interestChannel)
		if err := g.learn(ctx); err != nil && ctx.Err() == nil {
			g.out.WarnContext(ctx, "who asks for reads and refusals is not known", "error", err)
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
			defer cancel()
			g.announce(last)
			return nil
		case <-wake:
		case <-tick.C:
			g.announce(ctx)
		}
	}
}

// learn reads which loud events are asked for. Few rows name one.
func (g *Glimpses) learn(ctx context.Context) error {
	rows, err := g.db.Query(ctx, `SELECT tenant, events FROM subscriptions WHERE events LIKE $1 OR events LIKE $2
UNION ALL SELECT tenant, events FROM webhooks WHERE enabled = 1 AND (events LIKE $1 OR events LIKE $2)`, `%"`+Accessed+`"%`, `%"`+Violation+`"%`)
	if err != nil {
		return fmt.Errorf("selected events: %w", err)
	}
	defer func() { _ = rows.Close() }()
	wanted := map[wish]bool{}
	for rows.Next() {
		var tenant, raw string
		var names []string
		if err := rows.Scan(&tenant, &raw); err != nil {
			return fmt.Errorf("selected events: %w", err)
		}
		if err := json.Unmarshal([]byte(raw), &names); err != nil {
			return fmt.Errorf("selected events: %w", err)
		}
		for _, event := range []string{Accessed, Violation} {
			if slices.Contains(names, event) {
				wanted[wish{tenant, event}] = true
			}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("selected events: %w", err)
	}
	g.wanted.Store(&wanted)
	return nil
}

// announce puts what was folded into the log.
func (g *Glimpses) announce(ctx context.Context) {
	g.mu.Lock()
	folded, missed := g.folded, g.missed
	if len(folded) > 0 {
		g.folded = map[alike]*seen{}
	}
	g.missed = 0
	g.mu.Unlock()
	if missed > 0 {
		g.out.WarnContext(ctx, "too many reads and refusals to announce; the audit trail holds all of them", "not_announced", missed)
	}
	if len(folded) == 0 {
		return
	}
	all, err := counted(folded)
	if err == nil {
		err = g.db.Update(ctx, func(tx *store.Tx) error { return g.log.Emit(tx, all...) })
	}
	if err != nil {
		g.out.WarnContext(ctx, "reads and refusals are not announced; the audit trail holds them", "events", len(folded), "error", err)
	}
}

// counted are folded events, in the order of their times, each with how often it happened.
func counted(folded map[alike]*seen) ([]guard.Event, error) {
	all := make([]guard.Event, 0, len(folded))
	for _, s := range folded {
		e := s.first
		if s.count > 1 {
			var data map[string]any
			if err := json.Unmarshal(e.Data, &data); err != nil {
				return nil, err
			}
			data["count"] = s.count
			raw, err := json.Marshal(data)
			if err != nil {
				return nil, err
			}
			e.Data = raw
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b guard.Event) int { return a.Time.Compare(b.Time) })
	return all, nil
}
