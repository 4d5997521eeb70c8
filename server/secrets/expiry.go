package secrets

import (
	"context"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
)

// plan decides when the expiry of h, which a write has just made, is first announced.
func (h *head) plan(now time.Time) error {
	h.notice = nil
	if h.expires == nil {
		return nil
	}
	all, err := notices(h.notifyBefore, time.UnixMicro(*h.expires))
	if err != nil {
		return err
	}
	h.notice = firstNotice(all, now)
	return nil
}

// scheduleNotice brings the job of h's next notice in line with h; had tells whether there may be one from before.
func (s *Service) scheduleNotice(c *guard.Call, h head, had bool) error {
	switch {
	case h.notice != nil:
		return s.jobs.Schedule(c.Tx, jobExpiry, c.Who.Tenant, h.path, time.UnixMicro(*h.notice))
	case had:
		return s.jobs.Cancel(c.Tx, jobExpiry, c.Who.Tenant, h.path)
	}
	return nil
}

// announceExpiry is a job: it emits the newest notice that has passed, and comes back for the next. The notice, its
// event, its audit entry and the job's end are one transaction, so each notice is announced once or not yet.
func (s *Service) announceExpiry(ctx context.Context, j jobs.Job) error {
	a := guard.Access{Action: ActionExpiryNotice, Path: j.Key}
	_, err := guard.Change(ctx, s.guard, guard.System(component, j.Tenant), a, func(c *guard.Call) (struct{}, error) {
		h, err := lockHead(s.db, c.Tx, j.Tenant, j.Key)
		if err != nil {
			return struct{}{}, err
		}
		if h == nil || h.deleted != nil || h.notice == nil {
			return struct{}{}, &notDueError{}
		}
		if at := timeOf(h.notice); at.After(later(c.Now(), j.Due)) {
			return struct{}{}, &notDueError{at}
		}
		return struct{}{}, s.announce(c, j, *h)
	})
	return s.settled(ctx, j, err)
}

func (s *Service) announce(c *guard.Call, j jobs.Job, h head) error {
	all, err := notices(h.notifyBefore, time.UnixMicro(*h.expires))
	if err != nil {
		return err
	}
	now := later(c.Now(), j.Due)
	n, next := passed(all, time.UnixMicro(*h.notice), now)
	if err := updateNotice(c.Tx, j.Tenant, h.path, next); err != nil {
		return err
	}
	if err := s.jobs.Finish(c.Tx, j, timeOf(next)); err != nil || n == nil {
		return err
	}
	c.Note("threshold", n.threshold)
	if n.threshold == "" {
		return c.Emit(EventExpired, h.path, expiredData{ExpiresAt: vaultapi.MaybeAt(h.expires), Version: h.version})
	}
	return c.Emit(EventExpiring, h.path, expiringData{
		ExpiresAt: vaultapi.MaybeAt(h.expires), DaysRemaining: daysRemaining(time.UnixMicro(*h.expires).Sub(now)), Threshold: n.threshold,
	})
}

// timeOf is the zero time where there is none.
func timeOf(micros *int64) time.Time {
	if micros == nil {
		return time.Time{}
	}
	return time.UnixMicro(*micros)
}
