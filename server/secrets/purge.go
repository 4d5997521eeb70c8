package secrets

import (
	"context"
	"errors"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

// Kinds of jobs of this package; their key is the secret's path. Migrations name them too.
const (
	jobPurge  = "secret.purge"  // of a soft-deleted secret, due when its retention ends
	jobExpiry = "secret.expiry" // of a secret that expires, due at its next notice
)

const (
	jobLease   = 20 * time.Second // of one transaction; what a killed replica had claimed waits so long
	jobWorkers = 8
)

// component is who does the jobs of this package: system:secrets.
const component = "secrets"

// Jobs are what this package does later: it removes soft-deleted secrets whose retention is over, and announces
// expiries.
func (s *Service) Jobs() []jobs.Kind {
	return []jobs.Kind{
		{Name: jobPurge, Lease: jobLease, Workers: jobWorkers, Run: s.purge},
		{Name: jobExpiry, Lease: jobLease, Workers: jobWorkers, Run: s.announceExpiry},
	}
}

// purge is a job: it removes a secret for good, with its audit entry and event, once its retention is over.
func (s *Service) purge(ctx context.Context, j jobs.Job) error {
	a := guard.Access{Action: ActionPurge, Path: j.Key}
	_, err := guard.Change(ctx, s.guard, guard.System(component, j.Tenant), a, func(c *guard.Call) (struct{}, error) {
		h, err := lockHead(s.db, c.Tx, j.Tenant, j.Key)
		if err != nil {
			return struct{}{}, err
		}
		if h == nil || h.purge == nil {
			return struct{}{}, &notDueError{}
		}
		if at := timeOf(h.purge); at.After(later(c.Now(), j.Due)) {
			return struct{}{}, &notDueError{at}
		}
		if err := s.jobs.Finish(c.Tx, j, time.Time{}); err != nil {
			return struct{}{}, err
		}
		_, err = s.removeForGood(c, *h)
		return struct{}{}, err
	})
	return s.settled(ctx, j, err)
}

// later is the time of a job: where the claim goes by the database's clock, ours may be behind it.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// notDueError says that a job is for another time than its secret.
type notDueError struct{ next time.Time }

func (*notDueError) Error() string { return "the secret has nothing that is due" }

// Moot tells the guard that there was nothing to do, so that there is nothing to record.
func (*notDueError) Moot() bool { return true }

// settled brings a job in line with a secret that had nothing due; next of the error is zero where it never has.
// Whoever changes the secret changes the job with it, so that this is for rows that somebody repaired by hand.
func (s *Service) settled(ctx context.Context, j jobs.Job, err error) error {
	var not *notDueError
	if !errors.As(err, &not) {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error { return s.jobs.Finish(tx, j, not.next) })
}
