package rotation

import (
	"context"
	"errors"
	"time"

	"github.com/scailabs/scaivault/internal/generate"
	permission "github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

const reasonScheduled = "scheduled"

// fire is the job of an assignment: what it needs now. An error is one of the database; what else can fail is
// recorded, and tried again by the assignment's own times.
func (s *Service) fire(ctx context.Context, j jobs.Job) error {
	h, err := s.find(ctx, j.Tenant, j.Key)
	if err != nil {
		return err
	}
	if h == nil {
		return s.db.Update(ctx, func(tx *store.Tx) error { return s.book.queue.Finish(tx, j, time.Time{}) })
	}
	if step, _ := h.timing.decide(h.assignment, s.moment(j)); step != stepGenerate {
		return s.announce(ctx, j)
	}
	err = s.generate(ctx, j, h)
	switch {
	case err == nil, errors.Is(err, jobs.ErrLost), store.IsUnavailable(err):
		return err
	}
	return s.failed(ctx, j, err)
}

// moment is the time that a job is judged by. The clock that found it due may be the database's, and this
// process's behind it.
func (s *Service) moment(j jobs.Job) time.Time {
	now := s.guard.Now()
	if now.Before(j.Due) {
		return j.Due
	}
	return now
}

// find reads an assignment with its policy; nil where there is none, or the policy is being deleted.
func (s *Service) find(ctx context.Context, tenant, path string) (*held, error) {
	a, err := scanAssignment(s.db.QueryRow(ctx, findAssignment, tenant, path))
	if a == nil || err != nil {
		return nil, err
	}
	p, err := s.book.policyOf(s.row(ctx), tenant, a.policyID)
	switch {
	case fault.Is(err, fault.CodeRotationPolicyNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return s.book.timed(tenant, a, p)
}

// generate rotates as the schedule says.
func (s *Service) generate(ctx context.Context, j jobs.Job, h *held) error {
	if err := s.stillAllowed(ctx, j.Tenant, h); err != nil {
		return err
	}
	r := rotating{who: scheduler(j.Tenant), path: h.path, reason: reasonScheduled, policyID: h.policyID, next: h.next}
	if h.reason != "" {
		r.reason = h.reason
	}
	return s.regenerate(ctx, r, h.policy.settings, func(c *guard.Call, h *held) error {
		if err := save(c.Tx, c.Who.Tenant, h.assignment); err != nil {
			return err
		}
		return s.book.queue.Finish(c.Tx, j, h.timing.wake(h.assignment))
	})
}

// stillAllowed decides anew, as the identity that attached the path, where the policy is somebody's own: an
// assignment must not outlive the right to make it.
func (s *Service) stillAllowed(ctx context.Context, tenant string, h *held) error {
	if h.policy.owner == "" {
		return nil
	}
	who, err := h.attacher(tenant)
	if err != nil {
		return err
	}
	return s.mayRotate(ctx, who, h.path, h.policy.settings.AutoGenerate)
}

// mayRotate asks for permission rotate on a path, and write where the server generates.
func (s *Service) mayRotate(ctx context.Context, who guard.Caller, path string, generates bool) error {
	wanted := []permission.Permission{permission.Rotate}
	if generates {
		wanted = append(wanted, permission.Write)
	}
	for _, p := range wanted {
		if _, err := s.guard.Check(ctx, who, guard.Access{Permission: p, Path: path}, 0); err != nil {
			return err
		}
	}
	return nil
}

// rotating is a rotation with a generated value: of an assignment as it was found, or of any.
type rotating struct {
	who          guard.Caller
	path, reason string
	policyID     string
	next         int64 // the due time that is met; 0: whatever it is
	result       *done // filled in when it is done
}

// regenerate makes a value and, in one transaction with the version, completes the assignment and has settle end
// its job.
func (s *Service) regenerate(ctx context.Context, r rotating, w settings, settle func(*guard.Call, *held) error) error {
	a := guard.Access{Action: ActionRotate, Scope: ScopeRotate, Permission: permission.Rotate, Path: r.path}
	fill := func(names []string) (generate.Result, error) { return s.made(ctx, r.who.Tenant, w, names) }
	return s.writer.Regenerate(ctx, r.who, a, fill, func(c *guard.Call, old, next int64) (time.Time, error) {
		h, err := s.book.hold(c, r.path)
		if err != nil {
			return time.Time{}, err
		}
		if h == nil || h.policyID != r.policyID || r.next != 0 && h.next != r.next {
			return time.Time{}, jobs.ErrLost // something has changed it meanwhile, and its job with it
		}
		d := done{old: old, now: next, reason: r.reason, generated: true}
		if err := s.book.complete(c, h, &d); err != nil {
			return time.Time{}, err
		}
		if r.result != nil {
			*r.result = d
		}
		return d.graceEnds, settle(c, h)
	})
}

// made makes the values of a rotation by the policy's recipe, else in the fields that the secret has.
func (s *Service) made(ctx context.Context, tenant string, w settings, names []string) (generate.Result, error) {
	if w.SecretPolicyID != "" {
		_, made, err := s.recipes.Generate(ctx, tenant, w.SecretPolicyID)
		return made, err
	}
	recipe := generate.Default(names)
	if w.Generate != nil {
		var err error
		if recipe, err = parseRecipe(w.Generate); err != nil {
			return generate.Result{}, err
		}
	}
	if recipe.Slow() {
		select {
		case s.slow <- struct{}{}:
			defer func() { <-s.slow }()
		case <-ctx.Done():
			return generate.Result{}, fault.Unavailable(ctx.Err(), "the call ended before a key could be made")
		}
	}
	return recipe.Generate(s.random, s.guard.Now())
}

// done is a rotation that is done.
type done struct {
	id        string // of its history item
	old, now  int64
	reason    string
	generated bool
	graceEnds time.Time
}

// reasonCompromise ends the grace period at once (contract OC-12).
const reasonCompromise = "compromise"

// complete records a rotation and plans the next one. It fills in the id and when the versions before stop being
// readable.
func (b *Book) complete(c *guard.Call, h *held, d *done) error {
	d.graceEnds = c.Now()
	if d.reason != reasonCompromise {
		d.graceEnds = c.Now().Add(h.timing.Hold)
	}
	d.id = h.pending
	if err := b.succeeded(c, h, d); err != nil {
		return err
	}
	last, ends := c.Now().UnixMicro(), d.graceEnds.UnixMicro()
	h.base, h.last, h.graceEnds = last, &last, &ends
	h.previous, h.current = d.old, d.now
	h.pending, h.reason, h.failures, h.code, h.message = "", "", 0, "", ""
	h.timing.expect(h.assignment, h.timing.Next(c.Now(), h.timing.offset), c.Now())
	h.timing.resume(h.assignment)
	return emitRotated(c, h, *d)
}

// failed records an attempt that came to nothing, and when the next one is.
func (s *Service) failed(ctx context.Context, j jobs.Job, cause error) error {
	problem := fault.From(cause)
	s.log.WarnContext(ctx, "a secret could not be rotated", "tenant", j.Tenant, "path", j.Key, "error", cause)
	return s.turn(ctx, j, ActionRotate, func(c *guard.Call, h *held) error {
		if problem.Code == fault.CodeSecretNotFound { // deleted, which ended the job, or expired: a write resumes it
			h.suspend()
			return nil
		}
		h.failures++
		h.code, h.message = problem.Code, problem.Message
		retry := c.Now().Add(pause(h.failures, s.jitter())).UnixMicro()
		h.retry = &retry
		h.timing.resume(h.assignment)
		c.Note("failure", problem.Code)
		if err := s.book.attemptFailed(c, h); err != nil {
			return err
		}
		return c.EmitTo(h.policy.settings.WebhookIDs, EventFailed, h.path, failedData{
			policyData: h.data(), Error: *h.failure(), Attempt: h.failures, RetryAt: vaultapi.AtMicros(retry), State: h.state,
		})
	})
}

// turn changes a claimed job's assignment, in one transaction with the end of the claim.
func (s *Service) turn(ctx context.Context, j jobs.Job, action string, change func(*guard.Call, *held) error) error {
	a := guard.Access{Action: action, Path: j.Key}
	_, err := guard.Change(ctx, s.guard, scheduler(j.Tenant), a, func(c *guard.Call) (struct{}, error) {
		h, err := s.book.hold(c, j.Key)
		if err != nil {
			return struct{}{}, err
		}
		if h == nil {
			return struct{}{}, s.book.queue.Finish(c.Tx, j, time.Time{})
		}
		if err := change(c, h); err != nil {
			return struct{}{}, err
		}
		if err := save(c.Tx, j.Tenant, h.assignment); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.book.queue.Finish(c.Tx, j, h.timing.wake(h.assignment))
	})
	return err
}
