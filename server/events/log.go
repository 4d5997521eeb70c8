// Package events keeps the log of what changed and lets subscribers follow it.
//
// An event becomes part of its change's transaction. On SQLite, where there is one writer, that transaction
// also gives it the next position of its tenant's log. On PostgreSQL it goes to the outbox, with a sequence
// number that is taken while the change still holds its rows locked; a sequencer then moves committed
// events into the log in that order. Positions are dense per tenant and only ever appended, so a reader that
// goes by position sees every event once, the versions of a path in their order, and nothing ever appears
// before what he has read. Writers wait for none of this (architecture section 7).
package events

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Retention is how long an event can be read.
const Retention = 24 * time.Hour

// rowsPerInsert bounds one statement; both engines take far more parameters than this needs.
const rowsPerInsert = 64

// Log is the event log of all tenants. Make it with NewLog before the store serves; then Run it.
type Log struct {
	db    *store.DB
	stage *store.Stage
	log   *slog.Logger

	tails    tails
	kicked   chan struct{} // this process committed something to the outbox
	released chan struct{}
	release  sync.Once
}

// NewLog registers the log with the store's writer.
func NewLog(db *store.DB, log *slog.Logger) *Log {
	l := &Log{db: db, log: log, kicked: make(chan struct{}, 1), released: make(chan struct{})}
	finish := l.toOutbox
	if db.Exclusive() {
		finish = l.toLog
	}
	l.stage = db.NewStage("events", finish)
	return l
}

// Release ends every wait for events, now and later: at shutdown, before connections are drained.
func (l *Log) Release() { l.release.Do(func() { close(l.released) }) }

// record is an event on its way into the log.
type record struct {
	ID     string          `json:"id"`
	Tenant string          `json:"-"`
	Type   string          `json:"type"`
	Path   string          `json:"path,omitempty"`
	At     int64           `json:"at"`
	Body   json.RawMessage `json:"body"`
}

// body is what the log keeps besides its columns.
type body struct {
	IdentityID string          `json:"identity_id"`
	RequestID  string          `json:"request_id,omitempty"`
	Data       json.RawMessage `json:"data"`
	To         []string        `json:"to,omitempty"` // webhooks; never delivered
}

// Emit implements guard.Emitter.
func (l *Log) Emit(tx *store.Tx, events ...guard.Event) error {
	for _, e := range events {
		raw, err := json.Marshal(body{IdentityID: e.IdentityID, RequestID: e.RequestID, Data: e.Data, To: e.To})
		if err != nil {
			return fmt.Errorf("event %s: %w", e.Type, err)
		}
		tx.Stage(l.stage, record{
			ID: newEventID(e.Time), Tenant: e.Tenant, Type: e.Type, Path: e.Path, At: e.Time.UnixMicro(), Body: raw,
		})
	}
	return nil
}

// toLog gives a batch's events their positions, where this process is the only writer.
func (l *Log) toLog(tx *store.Tx, values []any) error {
	records := make([]record, len(values))
	for i, v := range values {
		records[i] = v.(record)
	}
	return l.append(tx, records)
}

// toOutbox takes the sequence numbers of a batch's events. The batch's row locks are held until it is
// committed, so the order of the numbers is the order of the versions of a path.
func (l *Log) toOutbox(tx *store.Tx, values []any) error {
	args := make([]any, 0, 2*len(values))
	for _, v := range values {
		r := v.(record)
		raw, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("event %s: %w", r.Type, err)
		}
		args = append(args, r.Tenant, string(raw))
	}
	if err := insert(tx, `INSERT INTO outbox (tenant, event) VALUES `, 2, args); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	tx.AfterCommit(l.kick)
	return nil
}

func (l *Log) kick() {
	select {
	case l.kicked <- struct{}{}:
	default: // a kick is pending already
	}
}

// The head of a tenant's log is a row of its own, which only the log writes: nothing a change locks.
const advanceHead = `INSERT INTO event_heads (tenant, position, event_id) VALUES ($1, $2, $3)
ON CONFLICT (tenant) DO UPDATE SET position = event_heads.position + excluded.position, event_id = excluded.event_id
RETURNING position`

const insertEvents = `INSERT INTO events (tenant, position, id, type, path, at, event) VALUES `

// append gives records the next positions of their tenants and wakes those who wait for them.
func (l *Log) append(tx *store.Tx, records []record) error {
	for len(records) > 0 {
		tenant := records[0].Tenant
		own, others := split(records, tenant)
		if err := l.appendTo(tx, tenant, own); err != nil {
			return fmt.Errorf("event log of %s: %w", tenant, err)
		}
		records = others
	}
	return nil
}

// split keeps the order on both sides.
func split(records []record, tenant string) (own, others []record) {
	if !slices.ContainsFunc(records, func(r record) bool { return r.Tenant != tenant }) {
		return records, nil
	}
	for _, r := range records {
		if r.Tenant == tenant {
			own = append(own, r)
		} else {
			others = append(others, r)
		}
	}
	return own, others
}

func (l *Log) appendTo(tx *store.Tx, tenant string, records []record) error {
	var head int64
	newest := records[len(records)-1].ID
	if err := tx.QueryRow(advanceHead, tenant, int64(len(records)), newest).Scan(&head); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	position := head - int64(len(records))
	args := make([]any, 0, 7*len(records))
	for _, r := range records {
		position++
		args = append(args, tenant, position, r.ID, r.Type, r.Path, r.At, string(r.Body))
	}
	if err := insert(tx, insertEvents, 7, args); err != nil {
		return err
	}
	tx.AfterCommit(func() { l.tails.advance(tenant, head) })
	return nil
}

// insert adds rows of so many columns, as few statements as the limit allows.
func insert(tx *store.Tx, into string, columns int, args []any) error {
	for len(args) > 0 {
		n := min(len(args), columns*rowsPerInsert)
		if _, err := tx.Exec(into+placeholders(n/columns, columns), args[:n]...); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		args = args[n:]
	}
	return nil
}

// placeholders writes ($1,$2),($3,$4) and so on.
func placeholders(rows, columns int) string {
	var b strings.Builder
	b.Grow(rows * columns * 5)
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteString("($")
		case i%columns == 0:
			b.WriteString("),($")
		default:
			b.WriteString(",$")
		}
		b.WriteString(strconv.Itoa(i + 1))
	}
	b.WriteByte(')')
	return b.String()
}
