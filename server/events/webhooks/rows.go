package webhooks

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

const (
	columns = `w.tenant, w.id, w.name, w.subscription, w.url, w.events, w.filters, w.enabled, w.position, w.revision,
w.failures, w.lost, w.troubled, w.lost_at, w.created_at, w.updated_at,
(SELECT MAX(s.expires_at) FROM signing_secrets s WHERE s.tenant = w.tenant AND s.webhook_id = w.id)`

	selectAny = `SELECT ` + columns + ` FROM webhooks w WHERE w.tenant = $1 AND w.id = $2`
	// selectOne finds a webhook by id or name, but none of a subscription.
	selectOne  = `SELECT ` + columns + ` FROM webhooks w WHERE w.tenant = $1 AND (w.id = $2 OR w.name = $2) AND w.subscription = 0`
	selectPage = `SELECT ` + columns + ` FROM webhooks w WHERE w.tenant = $1 AND w.id > $2 AND w.subscription = 0 ORDER BY w.id LIMIT $3`
	// selectBehind are the webhooks of a tenant for which the log holds something new.
	selectBehind = `SELECT ` + columns + ` FROM webhooks w WHERE w.tenant = $1 AND w.enabled = 1 AND w.position < $2 ORDER BY w.id`

	insertWebhook = `INSERT INTO webhooks (tenant, id, name, subscription, url, events, filters, enabled, position, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)`
	updateWebhook = `UPDATE webhooks SET name = $3, url = $4, events = $5, filters = $6, enabled = $7, position = $8, failures = $9,
troubled = $10, updated_at = $11, revision = revision + 1 WHERE tenant = $1 AND id = $2`
	deleteWebhook = `DELETE FROM webhooks WHERE tenant = $1 AND id = $2`

	// moveCursors takes the turn of webhooks that stand at the same position: of several dispatchers one finds a row as
	// it was read. The pairs of id and revision follow.
	moveCursors = `UPDATE webhooks SET position = $3, lost = lost + $4, lost_at = CASE WHEN $4 > 0 THEN $5 ELSE lost_at END
WHERE tenant = $1 AND position = $2 AND enabled = 1 AND (id, revision) IN (VALUES %s) RETURNING id`
)

type scanner interface{ Scan(dest ...any) error }

func scanWebhook(row scanner) (webhook, error) {
	var w webhook
	var names, filters string
	var subscription, enabled, troubled int64
	err := row.Scan(&w.tenant, &w.id, &w.name, &subscription, &w.url, &names, &filters, &enabled, &w.position, &w.revision,
		&w.failures, &w.lost, &troubled, &w.lostAt, &w.created, &w.updated, &w.previousEnd)
	if errors.Is(err, sql.ErrNoRows) {
		return webhook{}, notFound()
	}
	if err != nil {
		return webhook{}, fmt.Errorf("read webhook: %w", err)
	}
	w.subscription, w.enabled, w.troubled = subscription == 1, enabled == 1, troubled == 1
	if err := errors.Join(json.Unmarshal([]byte(names), &w.events), json.Unmarshal([]byte(filters), &w.filters)); err != nil {
		return webhook{}, fmt.Errorf("webhook %s: %w", w.id, err)
	}
	return w, nil
}

func notFound() error {
	return fault.NotFound(fault.CodeWebhookNotFound, "there is no such webhook: list them with GET /v1/webhooks")
}

func scanWebhooks(rows *sql.Rows, err error) ([]webhook, error) {
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []webhook
	for rows.Next() {
		w, err := scanWebhook(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	return all, nil
}

func (w webhook) lists() (names, filters string, err error) {
	n, err1 := json.Marshal(w.events)
	f, err2 := json.Marshal(w.filters)
	return string(n), string(f), errors.Join(err1, err2)
}

func insert(tx *store.Tx, w webhook) error {
	names, filters, err := w.lists()
	if err != nil {
		return err
	}
	_, err = tx.Exec(insertWebhook, w.tenant, w.id, w.name, flag(w.subscription), w.url, names, filters, flag(w.enabled), w.position, w.created)
	if err != nil {
		return fmt.Errorf("insert webhook: %w", err)
	}
	return nil
}

func update(tx *store.Tx, w webhook) error {
	names, filters, err := w.lists()
	if err != nil {
		return err
	}
	_, err = tx.Exec(updateWebhook, w.tenant, w.id, w.name, w.url, names, filters, flag(w.enabled), w.position, w.failures,
		flag(w.troubled), w.updated)
	if err != nil {
		return fmt.Errorf("update webhook: %w", err)
	}
	return nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Missing gives those of ids that no webhook of the caller's tenant has; those of subscriptions count as none.
func (s *Service) Missing(c *guard.Call, ids []string) ([]string, error) {
	var missing []string
	for _, id := range ids {
		w, err := scanWebhook(c.Tx.QueryRow(selectOne, c.Who.Tenant, id))
		if err != nil && !fault.Is(err, fault.CodeWebhookNotFound) {
			return nil, err
		}
		if err != nil || w.id != id { // a name is no id
			missing = append(missing, id)
		}
	}
	return missing, nil
}
