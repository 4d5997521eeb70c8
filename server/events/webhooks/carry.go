package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/store"
)

const (
	maxDeliveries = 2000 // of one transaction

	insertDelivery = `INSERT INTO deliveries (tenant, id, webhook_id, event_id, event_type, path, body, status, created_at, due_at)
VALUES %s ON CONFLICT (tenant, webhook_id, event_id) DO NOTHING`
	columnsOfDelivery = 10
	rowsPerInsert     = 100

	// dispatcherLock is the first key of the advisory locks of tenants whose events are being dispatched.
	dispatcherLock = 0x5ca1_0002
)

// carryOut makes the deliveries, some webhooks at a time, so that no transaction grows without bound. It is not ours
// to do while another replica does it.
func (s *Service) carryOut(ctx context.Context, tenant string, plans []plan) (mine bool, err error) {
	partner, err := s.partner(ctx, tenant)
	if err != nil {
		return false, err
	}
	for len(plans) > 0 {
		n, deliveries := 0, 0
		for n < len(plans) && (n == 0 || deliveries+len(plans[n].entries) <= maxDeliveries) {
			deliveries += len(plans[n].entries)
			n++
		}
		some := plans[:n]
		err := s.DB.Update(ctx, func(tx *store.Tx) (err error) {
			if mine, err = s.mine(tx, tenant); err != nil || !mine {
				return err
			}
			return s.deliverAll(tx, tenant, partner, some)
		})
		if err != nil || !mine {
			return mine, err
		}
		plans = plans[n:]
	}
	return true, nil
}

// mine takes the tenant's turn until tx ends, without waiting for another who has it.
func (s *Service) mine(tx *store.Tx, tenant string) (mine bool, err error) {
	if s.DB.Exclusive() {
		return true, nil
	}
	if err := tx.QueryRow(`SELECT pg_try_advisory_xact_lock($1, hashtext($2))`, dispatcherLock, tenant).Scan(&mine); err != nil {
		return false, fmt.Errorf("dispatcher's lock: %w", err)
	}
	return mine, nil
}

// deliverAll moves cursors and makes deliveries, but for webhooks that another replica moved, or somebody changed,
// since they were read.
func (s *Service) deliverAll(tx *store.Tx, tenant, partner string, plans []plan) error {
	moved, err := move(tx, tenant, plans)
	if err != nil {
		return fmt.Errorf("move cursors: %w", err)
	}
	bodies := map[string]string{}
	var keys []string
	var args []any
	now := tx.Now().UnixMicro()
	for _, p := range plans {
		if !moved[p.id] {
			continue
		}
		if p.gone > 0 {
			tx.AfterCommit(func() { s.tellLost(p) })
		}
		if len(p.entries) > 0 {
			keys = append(keys, p.id)
		}
		for _, e := range p.entries {
			if bodies[e.ID] == "" {
				if bodies[e.ID], err = envelope(tenant, partner, e); err != nil {
					return err
				}
			}
			args = append(args, tenant, events.NewID(deliveryPrefix, tx.Now()), p.id, e.ID, e.Type, e.Path, bodies[e.ID], pending, now, now)
		}
	}
	if err := insertDeliveries(tx, args); err != nil {
		return fmt.Errorf("insert deliveries: %w", err)
	}
	return s.Queue.ScheduleAll(tx, kindDelivery, tenant, keys, tx.Now())
}

// move moves the cursors of plans and tells whose it moved.
func move(tx *store.Tx, tenant string, plans []plan) (map[string]bool, error) {
	type step struct{ from, to, gone int64 }
	same := map[step][]any{}
	for _, p := range plans {
		at := step{p.position, p.to, p.gone}
		same[at] = append(same[at], p.id, p.revision)
	}
	moved := map[string]bool{}
	for at, pairs := range same {
		args := append([]any{tenant, at.from, at.to, at.gone, tx.Now().UnixMicro()}, pairs...)
		values := make([]string, len(pairs)/2)
		for i := range values {
			values[i] = fmt.Sprintf("($%d, CAST($%d AS BIGINT))", 2*i+6, 2*i+7)
		}
		rows, err := tx.Query(fmt.Sprintf(moveCursors, strings.Join(values, ", ")), args...)
		if err != nil {
			return nil, err
		}
		if err := ids(rows, moved); err != nil {
			return nil, err
		}
	}
	return moved, nil
}

func ids(rows *sql.Rows, into map[string]bool) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		into[id] = true
	}
	return rows.Err()
}

// insertDeliveries takes the columns of insertDelivery, row after row.
func insertDeliveries(tx *store.Tx, args []any) error {
	for len(args) > 0 {
		some := args[:min(len(args), columnsOfDelivery*rowsPerInsert)]
		args = args[len(some):]
		values := make([]string, len(some)/columnsOfDelivery)
		for i := range values {
			var row []string
			for c := range columnsOfDelivery {
				row = append(row, fmt.Sprintf("$%d", i*columnsOfDelivery+c+1))
			}
			values[i] = "(" + strings.Join(row, ", ") + ")"
		}
		if _, err := tx.Exec(fmt.Sprintf(insertDelivery, strings.Join(values, ", ")), some...); err != nil {
			return err
		}
	}
	return nil
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
func envelope(tenant, partner string, e events.Entry) (string, error) {
	raw, err := json.Marshal(vaultapi.Event{
		EventID: e.ID, EventType: e.Type, Timestamp: vaultapi.MicroTime{Time: e.At}, TenantID: tenant, PartnerID: partner,
		IdentityID: e.IdentityID, Path: e.Path, Data: e.Data, RequestID: e.RequestID,
	})
	return string(raw), err
}
