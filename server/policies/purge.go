package policies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
)

// KeepEnded is how long a binding that has ended is still listed, so that people see what ended.
const KeepEnded = 24 * time.Hour

const (
	purgeEvery = 10 * time.Minute
	purgeLease = 5 * time.Minute
	purgeBatch = 100
)

// Jobs are what this package does later: it removes bindings that ended long ago. That they have ended does not
// wait for it: every decision looks at the time.
func (s *Service) Jobs() []jobs.Kind {
	return []jobs.Kind{{Name: "binding.purge", Lease: purgeLease, Every: purgeEvery, Run: func(ctx context.Context, _ jobs.Job) error {
		return s.PurgeEnded(ctx)
	}}}
}

// ended is a binding by its key.
type ended struct{ tenant, policyID, bindingID string }

const endedQuery = `SELECT tenant, policy_id, id FROM bindings WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`

// PurgeEnded removes the bindings that ended before KeepEnded, as system:policies, each in a transaction of its own
// with its audit entry and event. Several replicas may call it at once.
func (s *Service) PurgeEnded(ctx context.Context) error {
	before := s.guard.Now().Add(-KeepEnded)
	for {
		some, err := s.endedBindings(ctx, before)
		if err != nil {
			return err
		}
		for _, e := range some {
			if err := s.purgeBinding(ctx, e); err != nil && !errors.Is(err, errTakenAway) {
				return fmt.Errorf("remove binding %s: %w", e.bindingID, err)
			}
		}
		if len(some) < purgeBatch {
			return nil
		}
	}
}

func (s *Service) endedBindings(ctx context.Context, before time.Time) ([]ended, error) {
	rows, err := s.db.Query(ctx, endedQuery, before.UnixMicro(), purgeBatch)
	if err != nil {
		return nil, fmt.Errorf("bindings that ended: %w", err)
	}
	some, err := collect(rows, func(row scanner) (e ended, err error) { return e, row.Scan(&e.tenant, &e.policyID, &e.bindingID) })
	if err != nil {
		return nil, fmt.Errorf("bindings that ended: %w", err)
	}
	return some, nil
}

func (s *Service) purgeBinding(ctx context.Context, e ended) error {
	who := guard.System("policies", e.tenant)
	_, err := guard.Change(ctx, s.guard, who, access(ActionUnbind, ScopeWrite, e.policyID), func(c *guard.Call) (struct{}, error) {
		r, revision, err := s.locked(c, e.policyID)
		if err != nil {
			return struct{}{}, takenAway(err)
		}
		h, err := findBinding(c, r, e.bindingID)
		if err != nil {
			return struct{}{}, takenAway(err)
		}
		c.Note("binding_id", h.ID)
		if err := s.unbind(c, r, h); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.raise(c, revision, exchange(r.ID, h.ID, nil))
	})
	return err
}

// errTakenAway says that a binding went, with or without its policy, before it was purged.
var errTakenAway error = takenAwayError{}

type takenAwayError struct{}

func (takenAwayError) Error() string { return "the binding is gone already" }

// Moot tells the guard that there was nothing to do, so that there is nothing to record.
func (takenAwayError) Moot() bool { return true }

func takenAway(err error) error {
	if fault.Is(err, fault.CodeBindingNotFound) || fault.Is(err, fault.CodePolicyNotFound) {
		return errTakenAway
	}
	return err
}
