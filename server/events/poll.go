package events

import (
	"context"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Bounds of a poll (contract section 13).
const (
	DefaultTimeout = 30 * time.Second
	MaxTimeout     = 60 * time.Second
	DefaultEvents  = 100
	MaxEvents      = 1000

	scanRows = 500
	// minPause keeps a waiter whose events seldom come from looking after every commit of a busy tenant.
	minPause = 20 * time.Millisecond
)

// PollRequest says how to poll.
type PollRequest struct {
	Timeout      time.Duration // 0 answers at once; at most MaxTimeout
	SinceEventID string        // "": from what is acknowledged
	MaxEvents    int           // 0: DefaultEvents
}

func (r *PollRequest) check() error {
	if r.MaxEvents == 0 {
		r.MaxEvents = DefaultEvents
	}
	broken := map[string]string{}
	if r.Timeout < 0 || r.Timeout > MaxTimeout {
		broken["timeout"] = fmt.Sprintf("must be from 0 to %d seconds", int(MaxTimeout.Seconds()))
	}
	if r.MaxEvents < 1 || r.MaxEvents > MaxEvents {
		broken["max_events"] = fmt.Sprintf("must be from 1 to %d", MaxEvents)
	}
	if len(broken) > 0 {
		return fault.Validation(broken)
	}
	return nil
}

// Poll returns the subscription's next events, and waits for one if there is none. Only its owner may. With
// Gap, events were lost to this cursor: too old, too far behind, or unknown here. ResumeEventID is the last
// event looked at, delivered or not: whoever goes on from there is never told of a gap for others' events.
// Errors: subscription_not_found, validation_error.
func (s *Service) Poll(ctx context.Context, who guard.Caller, id string, r PollRequest) (vaultapi.Poll, error) {
	a := guard.Access{Action: "subscription_poll", Scope: scopeRead, Target: id}
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.Poll, error) {
		if err := r.check(); err != nil {
			return vaultapi.Poll{}, err
		}
		p := &poll{Service: s, who: who, id: id, request: r}
		answer, err := p.run(ctx)
		if err != nil {
			return vaultapi.Poll{}, err
		}
		c.Note("events", len(answer.Events))
		return answer, nil
	})
}

// poll is one call's progress through the log.
type poll struct {
	*Service
	who     guard.Caller
	id      string
	request PollRequest

	begun    bool
	position int64  // everything up to here was looked at
	resume   string // the id of the event there
}

func (p *poll) run(ctx context.Context) (vaultapi.Poll, error) {
	watch := p.log.tails.watch(p.who.Tenant)
	defer watch.close()
	end := time.NewTimer(p.patience())
	defer end.Stop()
	for {
		grown := watch.grown() // taken before looking, so that nothing is missed between
		answer, err := p.look(ctx)
		if err != nil || answer.Gap || len(answer.Events) > 0 || p.request.Timeout == 0 {
			return answer, err
		}
		if again, err := p.wait(ctx, grown, end.C); err != nil || !again {
			return answer, err
		}
	}
}

// patience ends with the caller's token.
func (p *poll) patience() time.Duration {
	if t := p.who.TokenExpires; !t.IsZero() {
		return min(p.request.Timeout, t.Sub(p.guard.Now()))
	}
	return p.request.Timeout
}

// wait holds nothing but its goroutine. It tells whether to look again.
func (p *poll) wait(ctx context.Context, grown <-chan struct{}, end <-chan time.Time) (bool, error) {
	pause := time.NewTimer(minPause)
	defer pause.Stop()
	if again, err := until(ctx, p.log.released, end, grown); err != nil || !again {
		return false, err
	}
	return until(ctx, p.log.released, end, pause.C)
}

// until tells whether signal came before the end.
func until[T any](ctx context.Context, released <-chan struct{}, end <-chan time.Time, signal <-chan T) (bool, error) {
	select {
	case <-signal:
		return true, nil
	case <-end:
		return false, nil
	case <-released:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// look reads the log from where the poll has come to.
func (p *poll) look(ctx context.Context) (vaultapi.Poll, error) {
	sub, err := scanSubscription(p.guard.DB.QueryRow(ctx, selectSubscription, p.who.Tenant, p.id))
	if sub, err = polled(p.who, sub, err); err != nil {
		return vaultapi.Poll{}, err
	}
	h, err := p.log.head(ctx, p.who.Tenant)
	if err != nil {
		return vaultapi.Poll{}, err
	}
	found, err := p.begin(ctx, sub, h)
	if err != nil {
		return vaultapi.Poll{}, err
	}
	if !found || p.position > h.position || h.position-p.position > sub.bufferSize {
		return p.gap(h), nil
	}
	return p.scan(ctx, sub, h)
}

// begin finds the poll's first position; found is false for an event that is not in the log.
func (p *poll) begin(ctx context.Context, sub subscription, h head) (found bool, err error) {
	switch since := p.request.SinceEventID; {
	case p.begun:
		return true, nil
	case since == "":
		p.position = sub.acked
	case since == h.eventID:
		p.position = h.position
	default:
		if p.position, err = p.log.positionOf(ctx, p.who.Tenant, since); err != nil || p.position == 0 {
			return false, err
		}
	}
	p.begun = true
	return true, nil
}

func (p *poll) answer() vaultapi.Poll {
	identity := p.guard.DB.Identity()
	return vaultapi.Poll{
		Events: []vaultapi.Event{}, ResumeEventID: p.resume,
		InstanceID: identity.InstanceID, RestoreEpoch: identity.RestoreEpoch,
	}
}

func (p *poll) gap(h head) vaultapi.Poll {
	a := p.answer()
	a.Gap, a.ResumeEventID = true, h.eventID
	return a
}
