package rotation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
)

// atOnce is how many assignments one transaction changes. The rest of a large policy follows in a job, so that the
// store does not wait for all of them.
const atOnce = 500

// replan plans the secrets of a changed policy anew, in the order of their paths behind one.
func (s *Service) replan(c *guard.Call, p policy, after string) error {
	rows, err := s.pageOf(c, p.id, after)
	if err != nil {
		return err
	}
	for i := range rows {
		h, err := s.book.timed(c.Who.Tenant, &rows[i], p)
		if err != nil {
			return err
		}
		h.planAnew(c.Now())
		if err := s.book.keep(c, h); err != nil {
			return err
		}
	}
	if len(rows) < atOnce {
		return nil
	}
	return s.book.queue.Schedule(c.Tx, kindPolicy, c.Who.Tenant, p.id+" "+rows[len(rows)-1].path, c.Now())
}

// planAnew keeps what is under way: a rotation that is open or failing goes on, if it is still due.
func (h *held) planAnew(now time.Time) {
	if h.state == vaultapi.RotationSuspended {
		return
	}
	before := *h.assignment
	h.timing.first(h.assignment, now)
	if h.next <= now.UnixMicro() && before.next <= now.UnixMicro() {
		h.due, h.announced, h.warned, h.retry = before.due, before.announced, before.warned, before.retry
	} else {
		h.failures, h.code, h.message = 0, "", "" // of a time that does not stand any more
	}
	h.timing.resume(h.assignment)
}

// empty detaches the secrets of a policy that is being deleted, and removes it with the last one.
func (s *Service) empty(c *guard.Call, id string) error {
	rows, err := s.pageOf(c, id, "")
	if err != nil {
		return err
	}
	for _, a := range rows {
		if _, err := s.heads.Assign(c, a.path, ""); err != nil && !fault.Is(err, fault.CodeSecretNotFound) {
			return err
		}
		if err := s.book.end(c, a.path); err != nil {
			return err
		}
	}
	if len(rows) == atOnce {
		return s.book.queue.Schedule(c.Tx, kindPolicy, c.Who.Tenant, id+" ", c.Now())
	}
	if _, err := c.Tx.Exec(removePolicy, c.Who.Tenant, id); err != nil {
		return fmt.Errorf("remove rotation policy %s: %w", id, err)
	}
	return nil
}

func (s *Service) pageOf(c *guard.Call, policyID, after string) ([]assignment, error) {
	rows, err := c.Tx.Query(pageAssignments+s.db.ForUpdate(), c.Who.Tenant, policyID, after, atOnce)
	if err != nil {
		return nil, fmt.Errorf("assignments of %s: %w", policyID, err)
	}
	page, err := collect(rows, func(row scanner) (a assignment, err error) {
		err = row.Scan(a.dest()...)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("assignments of %s: %w", policyID, err)
	}
	return page, nil
}

// replanRest is the job that goes on where a change of a policy stopped. Its key is the policy's id and the last path.
func (s *Service) replanRest(ctx context.Context, j jobs.Job) error {
	id, after, _ := strings.Cut(j.Key, " ")
	a := guard.Access{Action: ActionReplan, Target: id}
	_, err := guard.Change(ctx, s.guard, scheduler(j.Tenant), a, func(c *guard.Call) (struct{}, error) {
		if err := s.book.queue.Finish(c.Tx, j, time.Time{}); err != nil {
			return struct{}{}, err
		}
		var hidden bool
		err := c.Tx.QueryRow(hiddenPolicy, j.Tenant, id).Scan(&hidden)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return struct{}{}, nil
		case err != nil:
			return struct{}{}, fmt.Errorf("rotation policy %s: %w", id, err)
		case hidden:
			return struct{}{}, s.empty(c, id)
		}
		p, err := s.book.policyOf(c.Tx.QueryRow, j.Tenant, id)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.replan(c, p, after)
	})
	return err
}
