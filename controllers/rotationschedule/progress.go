package rotationschedule

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// graceSlack is how much later than wanted an end may be: times on the wire are whole seconds.
const graceSlack = 2 * time.Second

// metadataChunk is how many secrets one call tells of, by contract.
const metadataChunk = 100

// progress follows each rotation from the new version to the end of the old one, and says in events when it comes to
// another phase and what is next.
func (s *run) progress(ctx context.Context) error {
	known := map[string]*v1alpha1.RotationProgress{}
	for _, p := range s.obj.Status.Rotations {
		known[p.Path] = &p
	}
	var all []v1alpha1.RotationProgress
	var paths []string
	for _, path := range slices.Sorted(maps.Keys(s.have)) {
		a := s.have[path]
		if p := begun(&a, known[path], s.Now()); p != nil {
			all = append(all, *p)
			if waits(&s.obj.Spec) && awaits(p) {
				paths = append(paths, path)
			}
		}
	}
	etags, err := s.etags(ctx, paths)
	if err != nil {
		return err
	}
	for i := range all {
		if p := &all[i]; unfinished(p) {
			if err := s.follow(ctx, p, etags[p.Path]); err != nil {
				return err
			}
		}
	}
	s.show(all)
	for i := range s.obj.Status.Rotations { // what has no room is told when it has: what was told is known from here
		s.tell(known[s.obj.Status.Rotations[i].Path], &s.obj.Status.Rotations[i])
	}
	return nil
}

// etags are those of the newest versions; a secret that is gone has none.
func (s *run) etags(ctx context.Context, paths []string) (map[string]string, error) {
	etags := map[string]string{}
	for chunk := range slices.Chunk(paths, metadataChunk) {
		got, err := s.Secrets.BatchMetadata(ctx, vaultapi.BatchRequest{Paths: chunk})
		if err != nil {
			return nil, s.explain(err, "look at the newest versions")
		}
		for path, info := range got.Secrets {
			etags[path] = info.Etag
		}
	}
	return etags, nil
}

// follow looks at one rotation.
func (s *run) follow(ctx context.Context, p *v1alpha1.RotationProgress, etag string) error {
	waiting := waits(&s.obj.Spec)
	var seen proof
	switch {
	case waiting && awaits(p) && etag == "":
		seen.undistributed = "the secret is not in the vault any more"
	case waiting && awaits(p):
		var err error
		if seen, err = s.prove(ctx, p.Path, etag); err != nil {
			return err
		}
	}
	advance(p, waiting, seen, s.Now())
	if waiting && p.Phase == v1alpha1.PhaseRolled {
		if err := s.retire(ctx, p); err != nil {
			return err
		}
		if p.OldUntil != nil && !p.OldUntil.After(s.Now()) {
			p.Phase = v1alpha1.PhaseRetired
		}
	}
	return nil
}

// show puts rotations into the status: those that are going on first, the longest first, then those that ended last.
func (s *run) show(all []v1alpha1.RotationProgress) {
	slices.SortStableFunc(all, func(a, b v1alpha1.RotationProgress) int {
		if unfinished(&a) != unfinished(&b) {
			if unfinished(&a) {
				return -1
			}
			return 1
		}
		at := func(p v1alpha1.RotationProgress) int64 {
			if p.RotatedAt == nil {
				return 0
			}
			return p.RotatedAt.Unix()
		}
		if unfinished(&a) {
			return cmp.Compare(at(a), at(b))
		}
		return cmp.Compare(at(b), at(a))
	})
	st := &s.obj.Status
	st.Rotating = 0
	for i := range all {
		if unfinished(&all[i]) {
			st.Rotating++
		}
	}
	st.Rotations = all[:min(len(all), v1alpha1.StatusListLimit)]
}

// tell says in an event each phase that a rotation came to, and what is next.
func (s *run) tell(was, is *v1alpha1.RotationProgress) {
	if was != nil && was.OldVersion != is.OldVersion {
		was = nil
	}
	for _, phase := range passed(was, is, waits(&s.obj.Spec)) {
		s.announce(phase, is)
	}
	if is.DeadlinePassed && (was == nil || !was.DeadlinePassed) {
		s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeWarning, "GraceDeadlinePassed", "Rotate", "%s: version %d ended at the deadline, and not everything was seen to run with version %d: %s",
			is.Path, is.OldVersion, is.Version, is.WaitingFor)
	}
}

func (s *run) announce(phase v1alpha1.RotationPhase, p *v1alpha1.RotationProgress) {
	switch phase {
	case v1alpha1.PhaseNew:
		s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeNormal, "Rotated", "Rotate", "%s has version %d; version %d stays readable until %s; %s",
			p.Path, p.Version, p.OldVersion, ends(p), s.afterwards())
	case v1alpha1.PhaseDistributed:
		s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeNormal, "Distributed", "Rotate", "%s: every VaultSecret of this cluster that reads it holds version %d; next: %s",
			p.Path, p.Version, cmp.Or(p.WaitingFor, "what uses their Secrets, of which all runs with it already"))
	case v1alpha1.PhaseRolled:
		s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeNormal, "Rolled", "Rotate", "%s: what uses it in this cluster runs with version %d; next: version %d ends at %s",
			p.Path, p.Version, p.OldVersion, ends(p))
	case v1alpha1.PhaseRetired:
		s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeNormal, "Retired", "Rotate", "%s: version %d is not readable any more", p.Path, p.OldVersion)
	}
}

// afterwards is what comes after a new version.
func (s *run) afterwards() string {
	if waits(&s.obj.Spec) {
		return "next: every VaultSecret of this cluster that reads it writes it into its Secret"
	}
	return "then it ends, whoever uses it"
}

func ends(p *v1alpha1.RotationProgress) string {
	if p.OldUntil == nil {
		return "its deadline"
	}
	return p.OldUntil.UTC().Format(time.RFC3339)
}

// graceOf moves the end of an old version to a time.
func graceOf(p *v1alpha1.RotationProgress, at, now time.Time) vaultapi.RotationGrace {
	g := vaultapi.RotationGrace{Version: p.OldVersion, EndsAt: at.UTC().Format(time.RFC3339)}
	if !at.After(now) {
		g.EndsAt, g.EndsIn = "", "0s"
	}
	return g
}

// refusal tells whether the vault said that the ServiceAccount may not.
func refusal(err error) bool { return vaultapi.IsForbidden(err) }

// until is when to look again without being told: at the next rotation, when an old version ends, at consumers that
// are waited for, and at once for a request that was only noted.
func (s *run) until() time.Time {
	now := s.Now()
	if s.pending {
		return now
	}
	var first time.Time
	sooner := func(t time.Time) {
		if t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if n := s.obj.Status.Next; n != nil {
		sooner(n.Add(time.Second))
	}
	for i := range s.obj.Status.Rotations {
		p := &s.obj.Status.Rotations[i]
		if unfinished(p) && p.OldUntil != nil {
			sooner(p.OldUntil.Add(time.Second))
		}
		if waits(&s.obj.Spec) && awaits(p) {
			sooner(now.Add(pause(p, now)))
		}
	}
	return first
}
