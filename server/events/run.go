package events

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

const (
	// wakeChannel carries the news of a grown log to other replicas.
	wakeChannel = "scaivault_events"

	// pollEvery is how often committed events and other replicas' progress are looked for unasked.
	pollEvery = 100 * time.Millisecond
	// busyPause comes before another try while another replica sequences.
	busyPause = 5 * time.Millisecond

	sweepEvery   = time.Minute
	sweepLease   = 5 * time.Minute
	sequenceRows = 1000
	sweepRows    = 500 // as in oldestQuery

	// sequencerLock is the key of the advisory lock of the one who sequences.
	sequencerLock = 0x5ca1_0001
)

// Jobs are what the log does later: it removes events that are past their retention.
func (l *Log) Jobs() []jobs.Kind {
	return []jobs.Kind{{Name: "event.purge", Lease: sweepLease, Every: sweepEvery, Run: func(ctx context.Context, _ jobs.Job) error {
		return l.sweep(ctx)
	}}}
}

// Run sequences committed events (on PostgreSQL) until ctx ends. Every replica runs it. It returns nil; its failures
// are logged and tried again.
func (l *Log) Run(ctx context.Context) error {
	defer l.Release()
	poll := time.NewTimer(pollEvery)
	defer poll.Stop()
	for {
		pause, wake := pollEvery, l.db.Wake(wakeChannel)
		if !l.db.Exclusive() {
			pause = l.follow(ctx)
		}
		poll.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-l.kicked:
		case <-wake:
		case <-l.ticks(poll):
		}
	}
}

// ticks is the poll's channel where there is something to poll for.
func (l *Log) ticks(poll *time.Timer) <-chan time.Time {
	if l.db.Exclusive() {
		return nil
	}
	return poll.C
}

func (l *Log) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		l.log.WarnContext(ctx, what, "error", err)
	}
}

// follow moves what is committed into the log, and wakes those who wait for what other replicas moved.
// It returns when to look again.
func (l *Log) follow(ctx context.Context) time.Duration {
	pause := pollEvery
	turn, err := l.sequenceAll(ctx)
	if err == nil && !turn {
		pause = busyPause
	}
	l.report(ctx, "events wait for the sequencer", err)
	l.report(ctx, "waiting subscribers are not told", l.refresh(ctx))
	return pause
}

// sequenceAll works until the outbox is empty; turn is false if another replica has the turn.
func (l *Log) sequenceAll(ctx context.Context) (turn bool, err error) {
	for {
		var waiting int64
		err := l.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT 1) AS any_row`).Scan(&waiting)
		if err != nil {
			return true, fmt.Errorf("outbox: %w", err)
		}
		if waiting == 0 {
			return true, nil
		}
		if turn, err := l.sequence(ctx); err != nil || !turn {
			return turn, err
		}
	}
}

// sequence gives one run of committed events their positions. It never waits for a lock, so whatever else is
// in its transaction cannot form a circle with it; while it holds the advisory lock no other sequencer works.
func (l *Log) sequence(ctx context.Context) (turn bool, err error) {
	err = l.db.Update(ctx, func(tx *store.Tx) error {
		turn = false
		if err := tx.QueryRow(`SELECT pg_try_advisory_xact_lock($1)`, int64(sequencerLock)).Scan(&turn); err != nil {
			return fmt.Errorf("sequencer's lock: %w", err)
		}
		if !turn {
			return nil
		}
		records, err := taken(tx)
		if err != nil || len(records) == 0 {
			return err
		}
		if err := l.append(tx, records); err != nil {
			return err
		}
		return l.db.Notify(tx, wakeChannel)
	})
	return turn, err
}

// taken removes the first committed rows of the outbox and returns them by sequence number.
func taken(tx *store.Tx) ([]record, error) {
	rows, err := tx.Query(`DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox ORDER BY seq LIMIT $1) RETURNING seq, tenant, event`, sequenceRows)
	if err != nil {
		return nil, fmt.Errorf("take from the outbox: %w", err)
	}
	defer func() { _ = rows.Close() }()
	type row struct {
		seq int64
		record
	}
	var all []row
	for rows.Next() {
		var r row
		var raw, tenant string
		if err := rows.Scan(&r.seq, &tenant, &raw); err != nil {
			return nil, fmt.Errorf("take from the outbox: %w", err)
		}
		if err := json.Unmarshal([]byte(raw), &r.record); err != nil {
			return nil, fmt.Errorf("outbox row %d: %w", r.seq, err)
		}
		r.Tenant = tenant
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("take from the outbox: %w", err)
	}
	slices.SortFunc(all, func(a, b row) int { return cmp.Compare(a.seq, b.seq) })
	records := make([]record, len(all))
	for i, r := range all {
		records[i] = r.record
	}
	return records, nil
}

// refresh looks at the heads of the logs that are waited for here.
func (l *Log) refresh(ctx context.Context) error {
	for _, tenant := range l.tails.watched() {
		h, err := l.head(ctx, tenant)
		if err != nil {
			return err
		}
		l.tails.advance(tenant, h.position)
	}
	return nil
}

// head is the end of a tenant's log.
type head struct {
	position int64
	eventID  string // "" before the first event
}

const headQuery = `SELECT position, event_id FROM event_heads WHERE tenant = $1`

func (l *Log) head(ctx context.Context, tenant string) (head, error) {
	var h head
	err := l.db.QueryRow(ctx, headQuery, tenant).Scan(&h.position, &h.eventID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return head{}, fmt.Errorf("head of the event log: %w", err)
	}
	return h, nil
}

// sweep removes events past their retention, few at a time, so that no writer waits long behind it.
func (l *Log) sweep(ctx context.Context) error {
	tenants, err := l.tenants(ctx)
	if err != nil {
		return err
	}
	before := l.db.Now().Add(-Retention).UnixMicro()
	for _, tenant := range tenants {
		for {
			n, err := l.sweepSome(ctx, tenant, before)
			if err != nil {
				return fmt.Errorf("remove old events of %s: %w", tenant, err)
			}
			if n < sweepRows {
				break
			}
		}
	}
	return nil
}

// sweepSome removes only from the log's beginning, so that positions stay dense.
func (l *Log) sweepSome(ctx context.Context, tenant string, before int64) (int64, error) {
	var old int64
	if err := l.db.QueryRow(ctx, oldestQuery, tenant, before).Scan(&old); err != nil || old == 0 {
		return 0, err
	}
	var n int64
	err := l.db.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(`DELETE FROM events WHERE tenant = $1 AND position <= $2`, tenant, old)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}

// oldestQuery gives the last of the first 500 rows up to which all are old; 0 if the first is not. The newest
// event stays whatever its age: it is where those who have read all go on from.
const oldestQuery = `SELECT COALESCE(MAX(position), 0) FROM (
  SELECT position, SUM(CASE WHEN at < $2 THEN 0 ELSE 1 END) OVER (ORDER BY position) AS young
  FROM (SELECT position, at FROM events
    WHERE tenant = $1 AND position < (SELECT position FROM event_heads WHERE tenant = $1) ORDER BY position LIMIT 500) AS first_rows
) AS marked WHERE young = 0`

func (l *Log) tenants(ctx context.Context) ([]string, error) {
	rows, err := l.db.Query(ctx, `SELECT tenant FROM event_heads`)
	if err != nil {
		return nil, fmt.Errorf("tenants with events: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var tenants []string
	for rows.Next() {
		var t string
		if err := rows.Scan(&t); err != nil {
			return nil, fmt.Errorf("tenants with events: %w", err)
		}
		tenants = append(tenants, t)
	}
	return tenants, rows.Err()
}
