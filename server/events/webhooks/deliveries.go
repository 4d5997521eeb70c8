package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

const (
	eventTest = "webhook.test"

	deliveryColumns = `id, event_id, event_type, path, status, created_at, due_at, attempts, attempted_at, response_code, duration, problem`
	// selectDeliveries goes from the newest back: ids sort by time.
	selectDeliveries = `SELECT ` + deliveryColumns + ` FROM deliveries
WHERE tenant = $1 AND webhook_id = $2 AND id < $3 AND ($4 = '' OR status = $4) ORDER BY id DESC LIMIT $5`
	selectLast = `SELECT ` + deliveryColumns + ` FROM deliveries
WHERE tenant = $1 AND webhook_id = $2 AND attempted_at IS NOT NULL ORDER BY id DESC LIMIT 1`
	selectStatistics = `SELECT COUNT(*), COALESCE(SUM(CASE WHEN status = 'success' THEN 1 ELSE 0 END), 0),
COALESCE(SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN status = 'success' THEN duration ELSE 0 END), 0)
FROM deliveries WHERE tenant = $1 AND webhook_id = $2 AND id >= $3`
	countPending = `SELECT COUNT(*) FROM deliveries WHERE tenant = $1 AND webhook_id = $2 AND due_at IS NOT NULL`
	countDepth   = `SELECT COUNT(*) FROM deliveries WHERE due_at IS NOT NULL`
	insertTest   = `INSERT INTO deliveries (tenant, id, webhook_id, event_id, event_type, path, body, status, created_at)
VALUES ($1, $2, $3, $4, $5, '', '', $6, $7)`

	afterAll = deliveryPrefix + "\x7f" // behind every id
)

// DeliveryFilter selects deliveries.
type DeliveryFilter struct {
	Status string // success | failed | pending; "": all
	Limit  int    // default 100, at most 1000
	Cursor string // as a page before gave it
}

func (f *DeliveryFilter) check() (err error) {
	switch f.Status {
	case "", succeeded, failed, pending:
	default:
		return fault.Validation(map[string]string{"status": "must be success, failed or pending"})
	}
	switch {
	case f.Cursor == "":
		f.Cursor = afterAll
	case !events.IsID(deliveryPrefix, f.Cursor):
		return badCursor()
	}
	f.Limit, err = pageSize(f.Limit)
	return err
}

// Deliveries returns a page of a webhook's deliveries, newest first; those that are over are kept for a week.
// Errors: webhook_not_found, invalid_cursor, validation_error.
func (s *Service) Deliveries(ctx context.Context, who guard.Caller, id string, f DeliveryFilter) (vaultapi.WebhookDeliveryList, error) {
	a := guard.Access{Action: ActionDeliveries, Scope: Scope, Target: id}
	return guard.Do(ctx, s.Guard, who, a, func(*guard.Call) (vaultapi.WebhookDeliveryList, error) {
		var list vaultapi.WebhookDeliveryList
		if err := f.check(); err != nil {
			return list, err
		}
		w, err := s.find(ctx, who.Tenant, id)
		if err != nil {
			return list, err
		}
		found, err := scanDeliveries(s.DB.Query(ctx, selectDeliveries, w.tenant, w.id, f.Cursor, f.Status, f.Limit+1))
		if err != nil {
			return list, err
		}
		if list.HasMore = len(found) > f.Limit; list.HasMore {
			found = found[:f.Limit]
			list.Cursor = &found[f.Limit-1].ID
		}
		list.Deliveries, list.Data = found, found
		return list, nil
	})
}

func scanDeliveries(rows *sql.Rows, err error) ([]vaultapi.WebhookDelivery, error) {
	if err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := []vaultapi.WebhookDelivery{}
	for rows.Next() {
		d, err := scanDelivery(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	return all, nil
}

func scanDelivery(row scanner) (vaultapi.WebhookDelivery, error) {
	var d vaultapi.WebhookDelivery
	var created int64
	var due, attempted, took *int64
	err := row.Scan(&d.ID, &d.EventID, &d.EventType, &d.Path, &d.Status, &created, &due, &d.Attempts, &attempted, &d.ResponseCode, &took, &d.Error)
	if err != nil {
		return d, fmt.Errorf("delivery: %w", err)
	}
	d.Timestamp = vaultapi.MicroTime{Time: time.UnixMicro(created).UTC()}
	d.NextAttemptAt, d.LastAttemptAt = vaultapi.MaybeAt(due), vaultapi.MaybeAt(attempted)
	if took != nil {
		ms := float64(*took) / 1000
		d.DurationMS = &ms
	}
	return d, nil
}

func (s *Service) last(ctx context.Context, w webhook) (*vaultapi.LastDelivery, error) {
	d, err := scanDelivery(s.DB.QueryRow(ctx, selectLast, w.tenant, w.id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // nothing was delivered yet
	}
	if err != nil {
		return nil, err
	}
	return &vaultapi.LastDelivery{ID: d.ID, Timestamp: *d.LastAttemptAt, Status: d.Status, ResponseCode: d.ResponseCode}, nil
}

func (s *Service) statistics(ctx context.Context, w webhook, now time.Time) (*vaultapi.WebhookStatistics, error) {
	var all, good, bad, took int64
	since := idsFrom(now.Add(-24 * time.Hour))
	if err := s.DB.QueryRow(ctx, selectStatistics, w.tenant, w.id, since).Scan(&all, &good, &bad, &took); err != nil {
		return nil, fmt.Errorf("statistics: %w", err)
	}
	out := &vaultapi.WebhookStatistics{Deliveries24h: all}
	if over := good + bad; over > 0 {
		rate := float64(good) / float64(over)
		out.SuccessRate24h = &rate
	}
	if good > 0 {
		latency := float64(took) / float64(good) / 1000
		out.AvgLatencyMS = &latency
	}
	if err := s.DB.QueryRow(ctx, countPending, w.tenant, w.id).Scan(&out.Pending); err != nil {
		return nil, fmt.Errorf("statistics: %w", err)
	}
	return out, nil
}

// idsFrom is where the ids of a moment begin.
func idsFrom(at time.Time) string {
	const sixteenRandom = 16 // characters of a ULID that are not its time
	id := events.NewID(deliveryPrefix, at)
	return id[:len(id)-sixteenRandom]
}

// Test sends an event webhook.test once, whether or not the webhook is enabled, and answers what came of it.
// Errors: webhook_not_found.
func (s *Service) Test(ctx context.Context, who guard.Caller, id string) (vaultapi.WebhookTest, error) {
	a := guard.Access{Action: ActionTest, Scope: Scope, Target: id}
	return guard.Do(ctx, s.Guard, who, a, func(c *guard.Call) (vaultapi.WebhookTest, error) {
		w, err := s.find(ctx, who.Tenant, id)
		if err != nil {
			return vaultapi.WebhookTest{}, err
		}
		d, err := s.testDelivery(ctx, c, w)
		if err != nil {
			return vaultapi.WebhookTest{}, err
		}
		return s.try(ctx, w, d)
	})
}

// testDelivery makes a delivery that no job sends.
func (s *Service) testDelivery(ctx context.Context, c *guard.Call, w webhook) (delivery, error) {
	partner, err := s.partner(ctx, w.tenant)
	if err != nil {
		return delivery{}, err
	}
	data, err := json.Marshal(map[string]string{"webhook_id": w.id, "webhook_name": w.name})
	if err != nil {
		return delivery{}, err
	}
	e := events.Entry{ID: events.NewID(eventPrefix, c.Now()), Type: eventTest, At: c.Now().UTC(), IdentityID: c.Who.ID, RequestID: c.Who.RequestID, Data: data}
	body, err := envelope(w.tenant, partner, e)
	if err != nil {
		return delivery{}, err
	}
	d := delivery{id: events.NewID(deliveryPrefix, c.Now()), eventID: e.ID, eventType: e.Type, body: body}
	return d, s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(insertTest, w.tenant, d.id, w.id, d.eventID, d.eventType, pending, c.Now().UnixMicro())
		return err
	})
}

// try sends a test and keeps what came of it; the webhook's status does not change.
func (s *Service) try(ctx context.Context, w webhook, d delivery) (vaultapi.WebhookTest, error) {
	sign, err := openSecrets(ctx, s.DB, s.Keys, w, s.now())
	if err != nil {
		return vaultapi.WebhookTest{}, err
	}
	o := s.attempt(ctx, w, sign, d)
	status := succeeded
	if o.problem != "" {
		status = failed
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordOver)
	defer cancel()
	err = s.DB.Update(bound, func(tx *store.Tx) error {
		_, err := s.keep(tx, w, d, o, status, nil)
		return err
	})
	return vaultapi.WebhookTest{
		DeliveryID: d.id, Status: status, ResponseCode: o.answered(), DurationMS: float64(o.took.Microseconds()) / 1000, Error: o.problem,
	}, err
}

// endOverlap removes the secret before the one in use once its time is over.
func (s *Service) endOverlap(ctx context.Context, j jobs.Job) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(dropExpired, j.Tenant, j.Key, latest(tx.Now(), j.Due).UnixMicro()); err != nil {
			return fmt.Errorf("drop signing secret: %w", err)
		}
		return s.Queue.Finish(tx, j, time.Time{})
	})
}

// purge removes deliveries past their retention.
func (s *Service) purge(ctx context.Context, _ jobs.Job) error {
	tenants, err := s.tenants(ctx, `SELECT id FROM tenants`)
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		if err := s.deleteRows(ctx, purgeSome, tenant, idsFrom(s.now().Add(-Retention))); err != nil {
			return err
		}
	}
	return nil
}
