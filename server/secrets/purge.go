package secrets

import (
	"context"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
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
		if h == nil || h.purge == nil || time.UnixMicro(*h.purge).After(j.Due) { // whoever made it so has moved the job
			return struct{}{}, jobs.ErrLost
		}
		if err := s.jobs.Finish(c.Tx, j, time.Time{}); err != nil {
			return struct{}{}, err
		}
		_, err = s.removeForGood(c, *h)
		return struct{}{}, err
	})
	return err
}
