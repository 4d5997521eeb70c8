package events

import (
	"context"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Ack acknowledges events: the cursor moves past them, up to the first event for this subscriber that is not
// acknowledged, which comes again. After a gap, acknowledging resume_event_id moves the cursor there. Ids that
// the log does not hold (any more) are passed over. It returns how many it knew. Only the owner may.
// Errors: subscription_not_found, validation_error.
func (s *Service) Ack(ctx context.Context, who guard.Caller, id string, ack vaultapi.Ack) (int, error) {
	a := guard.Access{Action: "subscription_ack", Scope: scopeRead, AltScopes: []string{scopeWrite}, Target: id}
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (int, error) {
		if n := len(ack.EventIDs); n == 0 || n > MaxEvents {
			return 0, fault.Validation(map[string]string{"event_ids": fmt.Sprintf("needs 1 to %d ids", MaxEvents)})
		}
		sub, err := scanSubscription(c.Tx.QueryRow(selectSubscription+s.guard.DB.ForUpdate(), who.Tenant, id))
		if sub, err = polled(who, sub, err); err != nil {
			return 0, err
		}
		acked, err := positions(c.Tx, who.Tenant, ack.EventIDs)
		if err != nil || len(acked) == 0 {
			return 0, err
		}
		to, err := s.acknowledged(ctx, c, sub, acked)
		if err != nil {
			return 0, err
		}
		return len(acked), advanceCursor(c.Tx, sub, to)
	})
}

// positions finds the events that the tenant's log holds, its newest one in any case.
func positions(tx *store.Tx, tenant string, ids []string) (map[int64]bool, error) {
	args := make([]any, 0, len(ids)+1)
	args = append(args, tenant)
	for _, id := range ids {
		if isEventID(id) {
			args = append(args, id)
		}
	}
	if len(args) == 1 {
		return nil, nil
	}
	in := strings.Trim(placeholders(1, len(args)), "()")
	in = strings.TrimPrefix(in, "$1,")
	rows, err := tx.Query(`SELECT position FROM events WHERE tenant = $1 AND id IN (`+in+`)
UNION SELECT position FROM event_heads WHERE tenant = $1 AND event_id IN (`+in+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("acknowledged events: %w", err)
	}
	defer func() { _ = rows.Close() }()
	found := make(map[int64]bool, len(ids))
	for rows.Next() {
		var position int64
		if err := rows.Scan(&position); err != nil {
			return nil, fmt.Errorf("acknowledged events: %w", err)
		}
		found[position] = true
	}
	return found, rows.Err()
}

// acknowledged gives the cursor's new position.
func (s *Service) acknowledged(ctx context.Context, c *guard.Call, sub subscription, acked map[int64]bool) (int64, error) {
	var last int64
	for p := range acked {
		last = max(last, p)
	}
	f, err := s.filter(ctx, c.Who, sub)
	if err != nil {
		return 0, err
	}
	to := sub.acked
	for to < last && last-to <= sub.bufferSize {
		run, err := entriesIn(c.Tx, sub.tenant, to, scanRows)
		if err != nil {
			return 0, err
		}
		if len(run) == 0 || run[0].position != to+1 {
			return last, nil // a gap: nothing before can come again
		}
		for _, e := range run {
			if e.position > last || !acked[e.position] && f.passes(e) {
				return to, nil
			}
			to = e.position
		}
	}
	return max(to, last), nil
}
