package events

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// filter decides which events a caller gets of a subscription: those it selects, on paths that the caller may
// list at this moment. Events without a path need scope policies:read.
type filter struct {
	selection selection
	allowed   func(path string) bool
	policies  bool
}

// filter is made after its events were read, so that a permission taken away before they happened is gone.
func (s *Service) filter(ctx context.Context, who guard.Caller, sub subscription) (filter, error) {
	sel, err := sub.selection(who.Namespace)
	if err != nil {
		return filter{}, err
	}
	allowed, _, err := s.guard.Allowed(ctx, who, policy.List, policy.ClassSecrets)
	if err != nil {
		return filter{}, err
	}
	return filter{selection: sel, allowed: allowed, policies: who.HasScope(scopePolicies)}, nil
}

func (f filter) passes(e entry) bool {
	if !f.selection.wants(e.eventType, e.path) {
		return false
	}
	if e.path == "" {
		return f.policies
	}
	return f.allowed(e.path)
}

// scan goes through the log up to its end, or until the answer is full and one more is known of.
func (p *poll) scan(ctx context.Context, sub subscription, h head) (vaultapi.Poll, error) {
	var got []entry
	start := p.position
	more := false
	for !more && p.position < h.position {
		run, err := p.log.entries(ctx, p.who.Tenant, p.position, scanRows)
		if err != nil {
			return vaultapi.Poll{}, err
		}
		if len(run) == 0 || run[0].position != p.position+1 {
			return p.gap(h), nil // retention took what comes next
		}
		f, err := p.filter(ctx, p.who, sub)
		if err != nil {
			return vaultapi.Poll{}, err
		}
		got, more = p.take(run, f, got)
	}
	if p.request.SinceEventID == "" && len(got) == 0 {
		if err := p.skip(ctx, sub, start); err != nil {
			return vaultapi.Poll{}, err
		}
	}
	return p.filled(got, more)
}

// take adds the entries that pass, up to the most that was asked for; more says that another one passes.
func (p *poll) take(run []entry, f filter, got []entry) (_ []entry, more bool) {
	for _, e := range run {
		if f.passes(e) {
			if len(got) == p.request.MaxEvents {
				return got, true
			}
			got = append(got, e)
		}
		p.position, p.resume = e.position, e.id
	}
	return got, false
}

// skip moves the cursor of a subscriber who goes by acknowledgements past events that are not for him, before
// they make him lag. It seldom writes.
func (p *poll) skip(ctx context.Context, sub subscription, start int64) error {
	if p.position-max(sub.acked, start) < max(sub.bufferSize/4, 1) {
		return nil
	}
	return p.guard.DB.Update(ctx, func(tx *store.Tx) error { return advanceCursor(tx, sub, p.position) })
}

func (p *poll) filled(got []entry, more bool) (vaultapi.Poll, error) {
	a := p.answer()
	a.HasMore = more
	for _, e := range got {
		item, err := e.wire(p.who)
		if err != nil {
			return vaultapi.Poll{}, err
		}
		a.Events = append(a.Events, item)
	}
	return a, nil
}

func (e entry) wire(who guard.Caller) (vaultapi.Event, error) {
	var b body
	if err := json.Unmarshal([]byte(e.body), &b); err != nil {
		return vaultapi.Event{}, fmt.Errorf("event %s: %w", e.id, err)
	}
	return vaultapi.Event{
		EventID: e.id, EventType: e.eventType, Timestamp: vaultapi.MicroTime{Time: time.UnixMicro(e.at).UTC()},
		TenantID: who.Tenant, PartnerID: who.Partner, IdentityID: b.IdentityID, Path: e.path,
		Data: b.Data, RequestID: b.RequestID,
	}, nil
}
