package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/store"
)

const (
	// lookEvery is how often tenants with webhooks, and the ends of their logs, are looked for unasked.
	lookEvery = time.Second
	// breath lets a busy tenant's events gather, so that one transaction serves many.
	breath = 5 * time.Millisecond

	runEvents     = 200
	maxDeliveries = 2000 // of one transaction

	insertDelivery = `INSERT INTO deliveries (tenant, id, webhook_id, event_id, event_type, path, body, status, created_at, due_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant, webhook_id, event_id) DO NOTHING`
)

// Run turns events into deliveries, and keeps the depth of the queue as a metric, until ctx ends. Every replica runs
// it. It returns nil: failures are logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	var followers sync.WaitGroup
	defer followers.Wait()
	followed := map[string]context.CancelFunc{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake := s.DB.Wake(wakeChannel)
		if err := s.supervise(ctx, followed, &followers); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "webhooks wait for the database", "error", err)
		}
		timer.Reset(lookEvery)
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
	}
}

// supervise has a follower for each tenant that has webhooks, and for no other.
func (s *Service) supervise(ctx context.Context, followed map[string]context.CancelFunc, followers *sync.WaitGroup) error {
	tenants, err := s.tenants(ctx, `SELECT DISTINCT tenant FROM webhooks WHERE enabled = 1`)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, tenant := range tenants {
		have[tenant] = true
		if followed[tenant] != nil {
			continue
		}
		own, cancel := context.WithCancel(ctx)
		followed[tenant] = cancel
		followers.Go(func() { s.follow(own, tenant) })
	}
	for tenant, cancel := range followed {
		if !have[tenant] {
			cancel()
			delete(followed, tenant)
		}
	}
	return s.measure(ctx)
}

func (s *Service) tenants(ctx context.Context, query string) ([]string, error) {
	rows, err := s.DB.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("tenants: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var tenant string
		if err := rows.Scan(&tenant); err != nil {
			return nil, fmt.Errorf("tenants: %w", err)
		}
		all = append(all, tenant)
	}
	return all, rows.Err()
}

// follow turns the events of one tenant into deliveries as they come.
func (s *Service) follow(ctx context.Context, tenant string) {
	watch := s.Events.Watch(tenant)
	defer watch.Close()
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for ctx.Err() == nil {
		grown := watch.Grown() // taken before looking, so that nothing is missed between
		more, err := s.turn(ctx, tenant)
		if err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "events wait to be delivered", "tenant", tenant, "error", err)
		}
		if more && err == nil {
			continue
		}
		timer.Reset(lookEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-grown:
			timer.Reset(breath)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
	}
}

// plan is what one webhook gets of a run of events.
type plan struct {
	webhook
	to, gone int64 // its cursor after the run; events that retention took before their turn
	entries  []events.Entry
}

// turn looks at one run of the log, for all webhooks of the tenant that are behind. It tells whether there is more.
func (s *Service) turn(ctx context.Context, tenant string) (more bool, err error) {
	end, err := s.Events.End(ctx, tenant)
	if err != nil {
		return false, err
	}
	behind, err := scanWebhooks(s.DB.Query(ctx, selectBehind, tenant, end))
	if err != nil || len(behind) == 0 {
		return false, err
	}
	from := behind[0].position
	for _, w := range behind {
		from = min(from, w.position)
	}
	run, err := s.Events.After(ctx, tenant, from, runEvents)
	if err != nil || len(run) == 0 {
		return false, err
	}
	plans, err := s.plans(ctx, behind, run)
	if err != nil {
		return false, err
	}
	return run[len(run)-1].Position < end, s.carryOut(ctx, tenant, plans)
}

func (s *Service) plans(ctx context.Context, behind []webhook, run []events.Entry) ([]plan, error) {
	first, last := run[0].Position, run[len(run)-1].Position
	known := labels{secrets: s.Secrets, of: map[string]*Labels{}}
	var plans []plan
	for _, w := range behind {
		if w.position >= last {
			continue
		}
		p := plan{webhook: w, to: last, gone: max(first-1-w.position, 0)}
		gets, err := s.chooser(ctx, w, known)
		if err != nil {
			return nil, err
		}
		for _, e := range run {
			if e.Position <= w.position {
				continue
			}
			yes, err := gets(e)
			if err != nil {
				return nil, err
			}
			if yes {
				p.entries = append(p.entries, e)
			}
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// chooser tells which events a webhook gets.
func (s *Service) chooser(ctx context.Context, w webhook, known labels) (func(events.Entry) (bool, error), error) {
	if !w.subscription {
		return func(e events.Entry) (bool, error) {
			wanted, needLabels := w.wants(e)
			if !wanted || !needLabels {
				return wanted, nil
			}
			l, err := known.get(ctx, w.tenant, e.Path)
			return l == nil || w.fits(*l), err
		}, nil
	}
	passes, err := s.Subscriptions.Judge(ctx, w.tenant, w.id)
	if fault.Is(err, fault.CodeSubscriptionNotFound) {
		return func(events.Entry) (bool, error) { return false, nil }, nil // deleted meanwhile
	}
	return func(e events.Entry) (bool, error) { return passes(e), nil }, err
}

// labels remembers the labels of a run's secrets.
type labels struct {
	secrets Secrets
	of      map[string]*Labels
}

// get returns nil for a secret that no longer exists: what is not known narrows nothing. Events without a path have
// no labels.
func (l labels) get(ctx context.Context, tenant, path string) (*Labels, error) {
	if path == "" {
		return &Labels{}, nil
	}
	if known, ok := l.of[path]; ok {
		return known, nil
	}
	secretType, tags, found, err := l.secrets.Labels(ctx, tenant, path)
	if err != nil {
		return nil, err
	}
	l.of[path] = nil
	if found {
		l.of[path] = &Labels{SecretType: secretType, Tags: tags}
	}
	return l.of[path], nil
}

// carryOut makes the deliveries, some webhooks at a time, so that no transaction grows without bound.
func (s *Service) carryOut(ctx context.Context, tenant string, plans []plan) error {
	partner, err := s.partner(ctx, tenant)
	if err != nil {
		return err
	}
	for len(plans) > 0 {
		n, deliveries := 0, 0
		for n < len(plans) && (n == 0 || deliveries+len(plans[n].entries) <= maxDeliveries) {
			deliveries += len(plans[n].entries)
			n++
		}
		some := plans[:n]
		err := s.DB.Update(ctx, func(tx *store.Tx) error {
			var errs []error
			for _, p := range some {
				errs = append(errs, s.deliverAll(tx, p, partner))
			}
			return errors.Join(errs...)
		})
		if err != nil {
			return fmt.Errorf("make deliveries: %w", err)
		}
		plans = plans[n:]
	}
	return nil
}

// deliverAll moves the cursor of one webhook and makes its deliveries, unless another replica did so, or the webhook
// was changed, since it was read.
func (s *Service) deliverAll(tx *store.Tx, p plan, partner string) error {
	now := tx.Now().UnixMicro()
	moved, err := tx.Exec(moveCursor, p.tenant, p.id, p.position, p.to, p.revision, p.gone, now)
	if err != nil {
		return err
	}
	if n, err := moved.RowsAffected(); err != nil || n == 0 {
		return err
	}
	if p.gone > 0 {
		tx.AfterCommit(func() { s.tellLost(p) })
	}
	for _, e := range p.entries {
		body, err := envelope(p.tenant, partner, e)
		if err != nil {
			return err
		}
		id := events.NewID(deliveryPrefix, tx.Now())
		if _, err := tx.Exec(insertDelivery, p.tenant, id, p.id, e.ID, e.Type, e.Path, string(body), pending, now, now); err != nil {
			return fmt.Errorf("insert delivery: %w", err)
		}
	}
	if len(p.entries) == 0 {
		return nil
	}
	return s.Queue.Schedule(tx, kindDelivery, p.tenant, p.id, tx.Now())
}

func (s *Service) tellLost(p plan) {
	s.metrics.lost.Add(float64(p.gone))
	s.Log.Error("events were too old to be delivered: the webhook's cursor stood still for longer than the log is kept",
		"tenant", p.tenant, "webhook", p.id, "events", p.gone)
}

func (s *Service) partner(ctx context.Context, tenant string) (string, error) {
	var partner string
	if err := s.DB.QueryRow(ctx, `SELECT partner_id FROM tenants WHERE id = $1`, tenant).Scan(&partner); err != nil {
		return "", fmt.Errorf("partner of %s: %w", tenant, err)
	}
	return partner, nil
}

// envelope is an event as it is sent (contract section 12.3).
func envelope(tenant, partner string, e events.Entry) ([]byte, error) {
	return json.Marshal(vaultapi.Event{
		EventID: e.ID, EventType: e.Type, Timestamp: vaultapi.MicroTime{Time: e.At}, TenantID: tenant, PartnerID: partner,
		IdentityID: e.IdentityID, Path: e.Path, Data: e.Data, RequestID: e.RequestID,
	})
}
