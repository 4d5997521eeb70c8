package vaultsecret

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// missingRecheck is how often a missing source is looked for; an event says sooner when it appears.
const missingRecheck = time.Minute

// writeIt is what to do about a missing source.
const writeIt = "write the secret, or correct spec.sources: this runs again when it appears"

// judgeMissing decides what is missing means: of a secret below a prefix, that its keys go once that is
// certain; of a source, nothing where every key from it is optional, else waiting, and removal of the target
// where the object asks for that and the absence is certain.
func (s *run) judgeMissing(ctx context.Context) error {
	if err := s.judgeBelow(); err != nil {
		return err
	}
	where, evidence := s.missingSources()
	if len(where) == 0 {
		s.Absences.Present(s.obj.UID)
		return nil
	}
	cause := noSecret(where)
	certain := s.Absences.Missing(s.obj.UID, evidence, s.Now())
	switch {
	case s.obj.Spec.WhenSourceMissing != v1alpha1.DeleteWhenMissing:
		return s.waiting(missingRecheck, cause, "is left as it is")
	case s.obj.Status.Target == nil:
		return s.waiting(missingRecheck, cause, "was deleted, or not made yet")
	case !certain:
		return s.waiting(missingRecheck/2, cause, "is deleted if a second look agrees")
	}
	return s.removeTarget(ctx, cause)
}

// waiting says what becomes of the target until the source is there.
func (s *run) waiting(again time.Duration, cause error, target string) error {
	return reconcile.Waiting(v1alpha1.ReasonSecretMissing, again, fmt.Errorf("%w; Secret %s %s; %s", cause, s.obj.TargetName(), target, writeIt))
}

// noSecret says that the vault has no secret at one place or several.
func noSecret(where []string) error {
	cause := fmt.Errorf("the vault has no secret %s", where[0])
	if n := len(where); n > 1 {
		cause = fmt.Errorf("%w, nor at %d other paths", cause, n-1)
	}
	return cause
}

// judgeBelow decides about secrets below prefixes that the target holds or the list showed, and that the vault
// says are not there. One that was listed has expired, unless it was deleted just now.
func (s *run) judgeBelow() error {
	for i := range s.wanted {
		w := &s.wanted[i]
		if w.outcome != missing || !w.below() || !w.held || s.Absences.Deleted(w.path) {
			continue
		}
		if w.listed && s.obj.Spec.WhenSourceMissing != v1alpha1.DeleteWhenMissing {
			return reconcile.Waiting(v1alpha1.ReasonSecretMissing, missingRecheck, fmt.Errorf(
				"the secret at %s has expired, if it was not deleted just now; Secret %s is left as it is: write a new version, or delete the secret", w.path, s.obj.TargetName()))
		}
		if !s.Absences.Missing(s.obj.UID, []string{w.path}, s.Now()) {
			return reconcile.Waiting(v1alpha1.ReasonSecretMissing, missingRecheck/2, fmt.Errorf(
				"the secret at %s is gone; its keys are removed from Secret %s if a second look agrees", w.path, s.obj.TargetName()))
		}
	}
	for i := range s.wanted {
		if w := &s.wanted[i]; w.outcome == missing && w.below() {
			w.outcome = refused // settled: it takes no part
		}
	}
	return nil
}

// missingSources lists the sources of which nothing is left and a key needs something, in words, and the paths
// whose deletion would prove it.
func (s *run) missingSources() (where, evidence []string) {
	values, held := s.values(), s.held()
	for _, src := range s.obj.Spec.Sources {
		if len(values[src.Name]) > 0 || !needed(&s.obj.Spec, src.Name) {
			continue
		}
		if src.PathPrefix == "" {
			where, evidence = append(where, "at "+string(src.Path)), append(evidence, string(src.Path))
			continue
		}
		where = append(where, "below "+string(src.PathPrefix))
		for p := range held[src.Name] {
			if strings.HasPrefix(p, string(src.PathPrefix)) {
				evidence = append(evidence, p)
			}
		}
	}
	return where, evidence
}

// removeTarget deletes the target because its source is gone for certain, in the pinned vault.
func (s *run) removeTarget(ctx context.Context, cause error) error {
	if err := s.Guard.CheckNow(ctx); err != nil {
		return err
	}
	if err := s.Writer.Release(ctx, s.owner(), s.obj.Status.Target.Name, false); err != nil {
		return err
	}
	name, fate := s.obj.Status.Target.Name, "was deleted"
	if s.obj.Shared() {
		fate = "has lost the keys of this object"
	}
	s.forget()
	return reconcile.Waiting(v1alpha1.ReasonSecretMissing, missingRecheck, fmt.Errorf("%w; Secret %s %s; %s", cause, name, fate, writeIt))
}
