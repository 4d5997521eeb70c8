package events

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/server/store"
)

// Entry is one event of a tenant's log.
type Entry struct {
	Position              int64
	ID, Type, Path        string // Path is "" for events without one
	At                    time.Time
	IdentityID, RequestID string
	Data                  json.RawMessage
	To                    []string // webhooks that get it whatever they select
}

// After reads the log of a tenant behind a position, at most limit events. Positions are dense: a first entry that
// is not the next one says that retention took those between.
func (l *Log) After(ctx context.Context, tenant string, position int64, limit int) ([]Entry, error) {
	rows, err := l.entries(ctx, tenant, position, limit)
	if err != nil {
		return nil, err
	}
	all := make([]Entry, len(rows))
	for i, row := range rows {
		if all[i], err = row.exported(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (e entry) exported() (Entry, error) {
	var b body
	if err := json.Unmarshal([]byte(e.body), &b); err != nil {
		return Entry{}, fmt.Errorf("event %s: %w", e.id, err)
	}
	return Entry{
		Position: e.position, ID: e.id, Type: e.eventType, Path: e.path, At: time.UnixMicro(e.at).UTC(),
		IdentityID: b.IdentityID, RequestID: b.RequestID, Data: b.Data, To: b.To,
	}, nil
}

// End is the last position of a tenant's log, 0 before the first event.
func (l *Log) End(ctx context.Context, tenant string) (int64, error) {
	h, err := l.head(ctx, tenant)
	return h.position, err
}

// EndIn is End within a transaction.
func EndIn(tx *store.Tx, tenant string) (int64, error) {
	var position int64
	if err := tx.QueryRow(`SELECT COALESCE(MAX(position), 0) FROM event_heads WHERE tenant = $1`, tenant).Scan(&position); err != nil {
		return 0, fmt.Errorf("head of the event log: %w", err)
	}
	return position, nil
}

// Watcher is one who waits for a tenant's next event. It must be closed.
type Watcher struct{ watcher }

// Watch begins to wait for events of a tenant.
func (l *Log) Watch(tenant string) Watcher { return Watcher{l.tails.watch(tenant)} }

// Grown returns a channel that is closed once the log has grown after this call.
func (w Watcher) Grown() <-chan struct{} { return w.grown() }

// Close ends the wait.
func (w Watcher) Close() { w.close() }
