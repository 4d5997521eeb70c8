package rotationschedule

import (
	"context"
	"fmt"

	"github.com/scailabs/scaivault/controllers/internal/consumers"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// prove looks for everything in the cluster that may hold an older version of a secret than the one that an etag marks.
func (s *run) prove(ctx context.Context, path, etag string) (proof, error) {
	readers, err := s.Readers.Of(ctx, path)
	if err != nil {
		return proof{}, err
	}
	var behind, unrolled []string
	for i := range readers {
		r := &readers[i]
		up, err := s.Readers.Uptake(ctx, r, path, etag)
		if err != nil {
			return proof{}, err
		}
		if up.Behind != "" {
			behind = append(behind, fmt.Sprintf("VaultSecret %s/%s %s", r.Namespace, r.Name, up.Behind))
			continue
		}
		lag, err := s.lagging(ctx, r.Namespace, up.Content)
		if err != nil {
			return proof{}, err
		}
		unrolled = append(unrolled, lag...)
	}
	return proof{undistributed: consumers.Shown(behind), unrolled: consumers.Shown(unrolled)}, nil
}

// lagging names what uses a Secret and does not run with its content.
func (s *run) lagging(ctx context.Context, namespace string, c consumers.Content) ([]string, error) {
	if c.Secret == "" {
		return nil, nil
	}
	view := s.surveys[namespace]
	if view == nil {
		var err error
		if view, err = consumers.Look(ctx, s.Live, namespace, s.Now()); err != nil {
			return nil, reconcile.Retrying(v1alpha1.ReasonRetrying, err)
		}
		s.surveys[namespace] = view
	}
	var all []string
	for _, lacks := range view.Behind(c) {
		all = append(all, fmt.Sprintf("in namespace %s, %s", namespace, lacks))
	}
	return all, nil
}

// retire ends the old version of a rotation whose consumers all run with the new one, as the ServiceAccount. Where that
// is refused the vault ends it at the deadline.
func (s *run) retire(ctx context.Context, p *v1alpha1.RotationProgress) error {
	at := end(p, period(&s.obj.Spec), s.Now())
	if p.OldUntil == nil || p.OldUntil.Sub(at) < graceSlack {
		return nil
	}
	got, err := s.as.EndGrace(ctx, s.obj.Status.PolicyID, p.Path, graceOf(p, at, s.Now()))
	switch {
	case refusal(err):
		p.WaitingFor = fmt.Sprintf("%s may not end the old version any more; the vault does at the deadline", s.as.Identity)
		return nil
	case err != nil:
		return vault.Explain(err, "end the old version of "+p.Path)
	}
	if got.GraceEnds != nil {
		p.OldUntil.Time = got.GraceEnds.Time
	}
	return nil
}
