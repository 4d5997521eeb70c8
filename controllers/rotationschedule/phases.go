package rotationschedule

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// proof is what was seen of a new version in the cluster.
type proof struct {
	undistributed string // why not every VaultSecret that reads the secret holds it; empty: all do
	unrolled      string // why not everything that uses their Secrets runs with it; empty: all does
}

// begun is the rotation that an assignment tells of, nil if none is going on: the old version has ended.
func begun(a *vaultapi.RotationAssignment, was *v1alpha1.RotationProgress, now time.Time) *v1alpha1.RotationProgress {
	if was != nil && (a.PreviousVersion == 0 || was.OldVersion == a.PreviousVersion) {
		p := was.DeepCopy()
		if a.GraceEnds != nil && !a.GraceEnds.IsZero() {
			p.OldUntil = &metav1.Time{Time: a.GraceEnds.Time}
		}
		return p
	}
	if a.PreviousVersion == 0 || a.GraceEnds == nil || !a.GraceEnds.After(now) {
		return nil
	}
	p := &v1alpha1.RotationProgress{
		Path: a.Path, Phase: v1alpha1.PhaseNew, Version: a.CurrentVersion, OldVersion: a.PreviousVersion,
		OldUntil: &metav1.Time{Time: a.GraceEnds.Time},
	}
	if a.LastRotatedAt != nil {
		p.RotatedAt = &metav1.Time{Time: a.LastRotatedAt.Time}
	}
	return p
}

// advance moves a rotation on by what was seen. Without waiting for consumers nothing comes between New and Retired.
// A phase that was reached is not left again: a consumer that came later started with the new version.
func advance(p *v1alpha1.RotationProgress, waiting bool, seen proof, now time.Time) {
	over := p.OldUntil != nil && !p.OldUntil.After(now)
	p.WaitingFor = ""
	if !waiting {
		if over {
			p.Phase, p.DeadlinePassed = v1alpha1.PhaseRetired, false
		}
		return
	}
	if p.Phase == v1alpha1.PhaseNew && seen.undistributed == "" {
		p.Phase = v1alpha1.PhaseDistributed
	}
	if p.Phase == v1alpha1.PhaseDistributed && seen == (proof{}) {
		p.Phase = v1alpha1.PhaseRolled
	}
	if awaits(p) {
		p.WaitingFor, p.DeadlinePassed = cmp.Or(seen.undistributed, seen.unrolled), over
		return
	}
	if p.DeadlinePassed = false; over {
		p.Phase = v1alpha1.PhaseRetired
	}
}

// passed are the phases that a rotation came to since it was seen last, in order. Without waiting for consumers there
// are two.
func passed(was, is *v1alpha1.RotationProgress, waiting bool) []v1alpha1.RotationPhase {
	order := []v1alpha1.RotationPhase{v1alpha1.PhaseNew, v1alpha1.PhaseDistributed, v1alpha1.PhaseRolled, v1alpha1.PhaseRetired}
	if !waiting {
		order = []v1alpha1.RotationPhase{v1alpha1.PhaseNew, v1alpha1.PhaseRetired}
	}
	from := 0
	if was != nil {
		from = max(slices.Index(order, was.Phase), 0) + 1
	}
	return order[from:max(from, slices.Index(order, is.Phase)+1)]
}

// end is when the old version of a rotation may end once its consumers run with the new one: after the period, or now
// if that is over.
func end(p *v1alpha1.RotationProgress, period time.Duration, now time.Time) time.Time {
	if p.RotatedAt == nil {
		return now
	}
	if at := p.RotatedAt.Add(period); at.After(now) {
		return at
	}
	return now
}

// unfinished tells whether a rotation still has to be looked at.
func unfinished(p *v1alpha1.RotationProgress) bool { return p.Phase != v1alpha1.PhaseRetired }

// awaits tells whether consumers of a rotation are still to be seen with the new version.
func awaits(p *v1alpha1.RotationProgress) bool {
	return p.Phase == v1alpha1.PhaseNew || p.Phase == v1alpha1.PhaseDistributed
}

// pause is how long after now to look at the consumers of a rotation again: often as long as it is young.
func pause(p *v1alpha1.RotationProgress, now time.Time) time.Duration {
	age := time.Hour
	if p.RotatedAt != nil {
		age = now.Sub(p.RotatedAt.Time)
	}
	switch {
	case age < time.Minute:
		return time.Second
	case age < 15*time.Minute:
		return 5 * time.Second
	}
	return 30 * time.Second
}
