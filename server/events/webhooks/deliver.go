package webhooks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

const (
	// kindDelivery is the job of sending what is due to one webhook; its key is the webhook's id.
	kindDelivery = "webhook.delivery"
	// kindSecret removes a signing secret whose overlap is over.
	kindSecret = "webhook.secret"
	// kindPurge removes deliveries past their retention.
	kindPurge = "webhook.purge"

	// receivers is how many webhooks of a process are sent to at once. A receiver that hangs holds one of them for
	// ten seconds at most before it is left for its pause.
	receivers = 256
	// width is how many deliveries to one webhook are tried at once; one that is in trouble gets them singly.
	width = 4

	runLease     = 20 * time.Second
	attemptLease = 20 * time.Second // longer than an attempt and its record

	// Retention is how long deliveries that are over can be read.
	Retention  = 7 * 24 * time.Hour
	purgeEvery = time.Hour
	purgeRows  = 500

	claimDue = `WITH due AS MATERIALIZED (SELECT id FROM deliveries
WHERE tenant = $1 AND webhook_id = $2 AND due_at <= $3 ORDER BY due_at LIMIT $5%s)
UPDATE deliveries SET due_at = $4, fence = fence + 1 WHERE tenant = $1 AND id IN (SELECT id FROM due)
RETURNING id, event_id, event_type, body, attempts, fence`
	nextDue = `SELECT COALESCE(MIN(due_at), 0), (SELECT COUNT(*) FROM webhooks WHERE tenant = $1 AND id = $2)
FROM deliveries WHERE tenant = $1 AND webhook_id = $2 AND due_at IS NOT NULL`
	deleteSome = `DELETE FROM deliveries WHERE tenant = $1 AND id IN (SELECT id FROM deliveries WHERE tenant = $1 AND webhook_id = $2 LIMIT $3)`
	purgeSome  = `DELETE FROM deliveries WHERE tenant = $1 AND id IN
(SELECT id FROM deliveries WHERE tenant = $1 AND id < $2 AND due_at IS NULL ORDER BY id LIMIT $3)`
)

func (s *Service) kinds() []jobs.Kind {
	return []jobs.Kind{
		{Name: kindDelivery, Lease: runLease, Workers: receivers, Run: s.deliver},
		{Name: kindSecret, Lease: runLease, Workers: 1, Run: s.endOverlap},
		{Name: kindPurge, Lease: 10 * time.Minute, Workers: 1, Every: purgeEvery, Run: s.purge},
	}
}

// ref names a webhook.
type ref struct{ tenant, id string }

// flights keeps each webhook to one worker of this process.
type flights struct {
	mu sync.Mutex
	of map[ref]*flight
}

type flight struct{ again bool }

// join tells whether the caller is to send. Otherwise somebody does already, and will look once more.
func (f *flights) join(r ref) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if own := f.of[r]; own != nil {
		own.again = true
		return false
	}
	f.of[r] = &flight{}
	return true
}

// leave tells whether the flight is over; otherwise somebody joined since it was asked last.
func (f *flights) leave(r ref, whatever bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if own := f.of[r]; own.again && !whatever {
		own.again = false
		return false
	}
	delete(f.of, r)
	return true
}

// deliver sends what is due to one webhook. It does not finish its job: the row is set to the next delivery's time,
// whoever claimed it last, because deliveries have leases of their own.
func (s *Service) deliver(ctx context.Context, j jobs.Job) error {
	r := ref{j.Tenant, j.Key}
	if !s.flights.join(r) {
		return nil
	}
	for {
		err := s.drain(ctx, r, j.Due)
		if s.flights.leave(r, err != nil) {
			return err
		}
	}
}

// drain sends until nothing is due. The job's own time counts as come, whatever this machine's clock says.
func (s *Service) drain(ctx context.Context, r ref, due time.Time) error {
	for ctx.Err() == nil {
		w, err := scanWebhook(s.DB.QueryRow(ctx, selectAny, r.tenant, r.id))
		if fault.Is(err, fault.CodeWebhookNotFound) {
			return s.clear(ctx, r)
		}
		if err != nil {
			return err
		}
		if !w.enabled {
			return s.DB.Update(ctx, func(tx *store.Tx) error { return s.Queue.Cancel(tx, kindDelivery, r.tenant, r.id) })
		}
		more, err := s.round(ctx, w, due)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if again, err := s.settle(ctx, r, due); err != nil || !again {
			return err
		}
	}
	return ctx.Err()
}

// round tries some deliveries that are due; more says that there may be others.
func (s *Service) round(ctx context.Context, w webhook, due time.Time) (more bool, err error) {
	size := width
	if w.troubled {
		size = 1
	}
	batch, err := s.claim(ctx, w, due, size)
	if err != nil || len(batch) == 0 {
		return false, err
	}
	sign, err := openSecrets(ctx, s.DB, s.Keys, w, s.now())
	if err != nil {
		return false, err
	}
	errs := make([]error, len(batch))
	var attempts sync.WaitGroup
	for i, d := range batch {
		attempts.Go(func() {
			o := s.attempt(ctx, w, sign, d)
			errs[i] = s.record(ctx, w, d, o)
		})
	}
	attempts.Wait()
	return len(batch) == size, errors.Join(errs...)
}

// delivery is one that was claimed.
type delivery struct {
	id, eventID, eventType string
	body                   string
	attempts, fence        int64
}

// claim leases deliveries that are due. Whoever's lease is over loses what came of his attempt.
func (s *Service) claim(ctx context.Context, w webhook, due time.Time, size int) (batch []delivery, err error) {
	lock := s.DB.ForUpdate()
	if lock != "" {
		lock += " SKIP LOCKED"
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		batch = nil
		now := tx.Now()
		rows, err := tx.Query(fmt.Sprintf(claimDue, lock), w.tenant, w.id, latest(now, due).UnixMicro(), now.Add(attemptLease).UnixMicro(), size)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var d delivery
			if err := rows.Scan(&d.id, &d.eventID, &d.eventType, &d.body, &d.attempts, &d.fence); err != nil {
				return err
			}
			batch = append(batch, d)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	return batch, nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// settle makes the webhook's job due with its next delivery; again says that it is due already, or that the webhook was
// deleted meanwhile. The job's row is taken first: a dispatcher that is adding a delivery at the same time, or somebody
// who deletes the webhook, writes it too, so one waits for the other and neither overlooks what the other did.
func (s *Service) settle(ctx context.Context, r ref, due time.Time) (again bool, err error) {
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		again = false
		now := tx.Now()
		if err := s.Queue.Schedule(tx, kindDelivery, r.tenant, r.id, now.Add(runLease)); err != nil {
			return err
		}
		var at, webhooks int64
		if err := tx.QueryRow(nextDue, r.tenant, r.id).Scan(&at, &webhooks); err != nil {
			return fmt.Errorf("next delivery: %w", err)
		}
		switch next := time.UnixMicro(at); {
		case webhooks == 0:
			again = true
			return nil
		case at == 0:
			return s.Queue.Cancel(tx, kindDelivery, r.tenant, r.id)
		case !next.After(latest(now, due)):
			again = true
			return nil
		default:
			return s.Queue.Schedule(tx, kindDelivery, r.tenant, r.id, next)
		}
	})
	return again, err
}

// clear removes what is left of a webhook that was deleted.
func (s *Service) clear(ctx context.Context, r ref) error {
	err := s.deleteRows(ctx, deleteSome, r.tenant, r.id)
	if err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error { return s.Queue.Cancel(tx, kindDelivery, r.tenant, r.id) })
}

// deleteRows repeats a statement that deletes few rows at a time, so that no writer waits long behind it.
func (s *Service) deleteRows(ctx context.Context, query, tenant, key string) error {
	for {
		var n int64
		err := s.DB.Update(ctx, func(tx *store.Tx) error {
			done, err := tx.Exec(query, tenant, key, purgeRows)
			if err != nil {
				return err
			}
			n, err = done.RowsAffected()
			return err
		})
		if err != nil {
			return fmt.Errorf("delete deliveries: %w", err)
		}
		if n < purgeRows {
			return nil
		}
	}
}
