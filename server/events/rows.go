package events

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

const (
	storedColumns = `tenant, id, name, identity_type, identity_id, paths, events, buffer_size, acked, owner, created_at, updated_at,
delivery_type, judged_as`
	// subscriptionColumns has besides what its receiver's row says, where it is delivered by webhook.
	subscriptionColumns = storedColumns + `,
COALESCE((SELECT w.url FROM webhooks w WHERE w.tenant = subscriptions.tenant AND w.id = subscriptions.id), ''),
COALESCE((SELECT CASE WHEN w.enabled = 0 THEN 'disabled' WHEN w.troubled = 1 THEN 'degraded' ELSE 'active' END
  FROM webhooks w WHERE w.tenant = subscriptions.tenant AND w.id = subscriptions.id), 'active')`

	selectSubscription = `SELECT ` + subscriptionColumns + ` FROM subscriptions WHERE tenant = $1 AND id = $2`
)

// scanner is a row of either kind of query.
type scanner interface{ Scan(dest ...any) error }

func scanSubscription(row scanner) (subscription, error) {
	var s subscription
	var paths, events string
	err := row.Scan(&s.tenant, &s.id, &s.name, &s.identityType, &s.identityID, &paths, &events,
		&s.bufferSize, &s.acked, &s.owner, &s.createdAt, &s.updatedAt, &s.delivery, &s.judgedAs, &s.url, &s.status)
	if errors.Is(err, sql.ErrNoRows) {
		return subscription{}, notFound()
	}
	if err != nil {
		return subscription{}, fmt.Errorf("read subscription: %w", err)
	}
	if err := errors.Join(json.Unmarshal([]byte(paths), &s.paths), json.Unmarshal([]byte(events), &s.events)); err != nil {
		return subscription{}, fmt.Errorf("subscription %s: %w", s.id, err)
	}
	return s, nil
}

func notFound() error {
	return fault.NotFound(fault.CodeSubscriptionNotFound, "there is no such subscription of yours")
}

// administers tells whether who may see and delete the subscriptions of others in his tenant.
func administers(who guard.Caller) bool { return who.HasScope("admin") }

// owns tells whether s is the caller's own. The type is part of an identity.
func owns(who guard.Caller, s subscription) bool {
	return who.Tenant == s.tenant && who.Type == s.identityType && who.ID == s.identityID
}

// mayDelete tells whether who may delete s.
func mayDelete(who guard.Caller, s subscription) bool {
	switch {
	case administers(who), who.Type == guard.TypeSystem, who.HasScope(scopeWrite) && owns(who, s):
		return true
	}
	return who.HasScope(scopeRelease) && who.Cluster != "" && strings.HasPrefix(s.owner, "k8s:"+who.Cluster+"/")
}

// visible returns s if who may know of it.
func visible(who guard.Caller, s subscription, err error) (subscription, error) {
	if err == nil && !owns(who, s) && !administers(who) {
		return subscription{}, notFound()
	}
	return s, err
}

// own returns s if it is the caller's own.
func own(who guard.Caller, s subscription, err error) (subscription, error) {
	if err == nil && !owns(who, s) {
		return subscription{}, notFound()
	}
	return s, err
}

func insertSubscription(tx *store.Tx, s subscription) error {
	paths, events, err := s.lists()
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO subscriptions (`+storedColumns+`)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		s.tenant, s.id, s.name, s.identityType, s.identityID, paths, events,
		s.bufferSize, s.acked, s.owner, s.createdAt, s.updatedAt, s.delivery, s.judgedAs)
	if err != nil {
		return fmt.Errorf("insert subscription: %w", err)
	}
	return nil
}

func updateSubscription(tx *store.Tx, s subscription) error {
	paths, events, err := s.lists()
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE subscriptions SET name = $3, paths = $4, events = $5, buffer_size = $6, updated_at = $7,
delivery_type = $8, judged_as = $9, acked = $10 WHERE tenant = $1 AND id = $2`,
		s.tenant, s.id, s.name, paths, events, s.bufferSize, s.updatedAt, s.delivery, s.judgedAs, s.acked)
	if err != nil {
		return fmt.Errorf("update subscription: %w", err)
	}
	return nil
}

func (s subscription) lists() (paths, events string, err error) {
	p, err1 := json.Marshal(s.paths)
	e, err2 := json.Marshal(s.events)
	return string(p), string(e), errors.Join(err1, err2)
}

// advanceCursor only ever moves forward.
func advanceCursor(tx *store.Tx, s subscription, to int64) error {
	_, err := tx.Exec(`UPDATE subscriptions SET acked = $3 WHERE tenant = $1 AND id = $2 AND acked < $3`, s.tenant, s.id, to)
	if err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	return nil
}

// entry is one event of the log.
type entry struct {
	position            int64
	id, eventType, path string
	at                  int64
	body                string
}

const entriesQuery = `SELECT position, id, type, path, at, event FROM events WHERE tenant = $1 AND position > $2 ORDER BY position LIMIT $3`

// entries reads the log after a position, at most limit events.
func (l *Log) entries(ctx context.Context, tenant string, after int64, limit int) ([]entry, error) {
	rows, err := l.db.Query(ctx, entriesQuery, tenant, after, limit)
	return scanEntries(rows, err)
}

// entriesIn is entries within a transaction.
func entriesIn(tx *store.Tx, tenant string, after int64, limit int) ([]entry, error) {
	rows, err := tx.Query(entriesQuery, tenant, after, limit)
	return scanEntries(rows, err)
}

func scanEntries(rows *sql.Rows, err error) ([]entry, error) {
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []entry
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.position, &e.id, &e.eventType, &e.path, &e.at, &e.body); err != nil {
			return nil, fmt.Errorf("event log: %w", err)
		}
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	return all, nil
}

// positionOf finds an event of the tenant's log; 0 if there is none.
func (l *Log) positionOf(ctx context.Context, tenant, eventID string) (int64, error) {
	if !isEventID(eventID) {
		return 0, nil
	}
	var position int64
	err := l.db.QueryRow(ctx, `SELECT position FROM events WHERE tenant = $1 AND id = $2`, tenant, eventID).Scan(&position)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("event log: %w", err)
	}
	return position, nil
}
