package webhooks

import (
	"context"

	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
)

// plan is what one webhook gets of a run of events.
type plan struct {
	webhook
	to, gone int64 // its cursor after the run; events that retention took before their turn
	entries  []events.Entry
}

func (s *Service) plans(ctx context.Context, behind []webhook, run []events.Entry) ([]plan, error) {
	first, last := run[0].Position, run[len(run)-1].Position
	known := labels{secrets: s.Secrets, of: map[string]*Labels{}}
	var plans []plan
	for _, w := range behind {
		if w.position >= last {
			continue
		}
		p := plan{webhook: w, to: last, gone: max(first-1-w.position, 0)}
		gets, err := s.chooser(ctx, w, known)
		if err != nil {
			return nil, err
		}
		for _, e := range run {
			if e.Position <= w.position {
				continue
			}
			yes, err := gets(e)
			if err != nil {
				return nil, err
			}
			if yes {
				p.entries = append(p.entries, e)
			}
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// chooser tells which events a webhook gets.
func (s *Service) chooser(ctx context.Context, w webhook, known labels) (func(events.Entry) (bool, error), error) {
	if !w.subscription {
		return func(e events.Entry) (bool, error) {
			wanted, needLabels := w.wants(e)
			if !wanted || !needLabels {
				return wanted, nil
			}
			l, err := known.get(ctx, w.tenant, e.Path)
			return l == nil || w.fits(*l), err
		}, nil
	}
	passes, err := s.Subscriptions.Judge(ctx, w.tenant, w.id)
	if fault.Is(err, fault.CodeSubscriptionNotFound) {
		return func(events.Entry) (bool, error) { return false, nil }, nil // deleted meanwhile
	}
	return func(e events.Entry) (bool, error) { return passes(e), nil }, err
}

// labels remembers the labels of a run's secrets.
type labels struct {
	secrets Secrets
	of      map[string]*Labels
}

// get returns nil for a secret that no longer exists: what is not known narrows nothing. Events without a path have
// no labels.
func (l labels) get(ctx context.Context, tenant, path string) (*Labels, error) {
	if path == "" {
		return &Labels{}, nil
	}
	if known, ok := l.of[path]; ok {
		return known, nil
	}
	secretType, tags, found, err := l.secrets.Labels(ctx, tenant, path)
	if err != nil {
		return nil, err
	}
	l.of[path] = nil
	if found {
		l.of[path] = &Labels{SecretType: secretType, Tags: tags}
	}
	return l.of[path], nil
}
