package rotationschedule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func at(d time.Duration) *vaultapi.Time { return &vaultapi.Time{Time: noon.Add(d)} }
func when(d time.Duration) *metav1.Time { return &metav1.Time{Time: noon.Add(d)} }
func assigned(old int64, last, ends time.Duration) *vaultapi.RotationAssignment {
	return &vaultapi.RotationAssignment{Path: "a/b", PreviousVersion: old, CurrentVersion: old + 1, LastRotatedAt: at(last), GraceEnds: at(ends)}
}

// A rotation is followed while its old version is readable, and on when it was followed before.
func TestBegun(t *testing.T) {
	followed := &v1alpha1.RotationProgress{Path: "a/b", Phase: v1alpha1.PhaseDistributed, OldVersion: 3, Version: 4, OldUntil: when(-time.Minute)}
	for name, c := range map[string]struct {
		a     *vaultapi.RotationAssignment
		was   *v1alpha1.RotationProgress
		phase v1alpha1.RotationPhase // empty: nothing to follow
		old   int64
	}{
		"never rotated":                 {a: &vaultapi.RotationAssignment{Path: "a/b"}},
		"just rotated":                  {a: assigned(3, -time.Second, time.Hour), phase: v1alpha1.PhaseNew, old: 3},
		"over before it was seen":       {a: assigned(3, -time.Hour, -time.Second)},
		"over, and was followed":        {a: assigned(3, -time.Hour, -time.Second), was: followed, phase: v1alpha1.PhaseDistributed, old: 3},
		"the vault forgot":              {a: &vaultapi.RotationAssignment{Path: "a/b"}, was: followed, phase: v1alpha1.PhaseDistributed, old: 3},
		"rotated again":                 {a: assigned(4, -time.Second, time.Hour), was: followed, phase: v1alpha1.PhaseNew, old: 4},
		"rotated again and over unseen": {a: assigned(4, -time.Hour, -time.Second), was: followed},
	} {
		got := begun(c.a, c.was, noon)
		switch {
		case c.phase == "" && got != nil:
			t.Errorf("%s: followed as %+v", name, got)
		case c.phase != "" && (got == nil || got.Phase != c.phase || got.OldVersion != c.old):
			t.Errorf("%s: %+v, want %s of %d", name, got, c.phase, c.old)
		}
	}
}

// What is seen moves a rotation on, one phase after the other; the deadline is told and ends nothing that is not seen.
func TestAdvance(t *testing.T) {
	const (
		fresh, spread, rolled, retired = v1alpha1.PhaseNew, v1alpha1.PhaseDistributed, v1alpha1.PhaseRolled, v1alpha1.PhaseRetired
		soon, past                     = time.Hour, -time.Second
	)
	behind, lag, good := proof{undistributed: "VaultSecret"}, proof{unrolled: "Deployment"}, proof{}
	for name, c := range map[string]struct {
		was     v1alpha1.RotationPhase
		nowait  bool
		ends    time.Duration
		seen    proof
		phase   v1alpha1.RotationPhase
		waiting string
		late    bool
	}{
		"nobody waits":                     {was: fresh, nowait: true, ends: soon, phase: fresh},
		"nobody waits, over":               {was: fresh, nowait: true, ends: past, phase: retired},
		"not distributed":                  {was: fresh, ends: soon, seen: behind, phase: fresh, waiting: "VaultSecret"},
		"distributed":                      {was: fresh, ends: soon, seen: lag, phase: spread, waiting: "Deployment"},
		"distributed and rolled at once":   {was: fresh, ends: soon, seen: good, phase: rolled},
		"rolled":                           {was: spread, ends: soon, seen: good, phase: rolled},
		"a VaultSecret that fell behind":   {was: spread, ends: soon, seen: behind, phase: spread, waiting: "VaultSecret"},
		"rolled stays rolled":              {was: rolled, ends: soon, seen: behind, phase: rolled},
		"rolled and over":                  {was: rolled, ends: past, phase: retired},
		"the deadline, not distributed":    {was: fresh, ends: past, seen: behind, phase: fresh, waiting: "VaultSecret", late: true},
		"the deadline, not rolled":         {was: spread, ends: past, seen: lag, phase: spread, waiting: "Deployment", late: true},
		"after the deadline they came all": {was: spread, ends: past, seen: good, phase: retired},
	} {
		p := &v1alpha1.RotationProgress{Phase: c.was, OldUntil: when(c.ends), RotatedAt: when(-2 * time.Hour)}
		advance(p, !c.nowait, c.seen, noon)
		if p.Phase != c.phase || p.WaitingFor != c.waiting || p.DeadlinePassed != c.late {
			t.Errorf("%s: %s, waits for %q, late %t; want %s, %q, %t", name, p.Phase, p.WaitingFor, p.DeadlinePassed, c.phase, c.waiting, c.late)
		}
	}
}

// Each phase is told once, also when several are passed between two looks.
func TestPassed(t *testing.T) {
	at := func(p v1alpha1.RotationPhase) *v1alpha1.RotationProgress { return &v1alpha1.RotationProgress{Phase: p} }
	for name, c := range map[string]struct {
		was, is *v1alpha1.RotationProgress
		nowait  bool
		want    string
	}{
		"first seen":             {nil, at("New"), false, "[New]"},
		"first seen, far on":     {nil, at("Retired"), false, "[New Distributed Rolled Retired]"},
		"as before":              {at("Distributed"), at("Distributed"), false, "[]"},
		"one on":                 {at("New"), at("Distributed"), false, "[Distributed]"},
		"two on":                 {at("New"), at("Rolled"), false, "[Distributed Rolled]"},
		"nobody waits":           {nil, at("New"), true, "[New]"},
		"nobody waits, over":     {at("New"), at("Retired"), true, "[Retired]"},
		"nobody waits any more":  {at("Distributed"), at("Retired"), true, "[Retired]"},
		"nobody waits, as it is": {at("Retired"), at("Retired"), true, "[]"},
	} {
		if got := fmt.Sprint(passed(c.was, c.is, !c.nowait)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// An old version ends after the period and not before, however soon everybody has the new one.
func TestEnd(t *testing.T) {
	for rotated, want := range map[time.Duration]time.Duration{-time.Hour: 47 * time.Hour, -48 * time.Hour: 0, -72 * time.Hour: 0} {
		if got := end(&v1alpha1.RotationProgress{RotatedAt: when(rotated)}, 48*time.Hour, noon); !got.Equal(noon.Add(want)) {
			t.Errorf("rotated %s: ends %s, want %s", rotated, got, noon.Add(want))
		}
	}
	g := graceOf(&v1alpha1.RotationProgress{OldVersion: 3}, noon, noon)
	if g.EndsIn != "0s" || g.EndsAt != "" || g.Version != 3 {
		t.Errorf("%+v", g)
	}
}

// A request rotates each secret once: not what was rotated since, nor what was tried, nor what waits for a write.
func TestOwing(t *testing.T) {
	all := map[string]vaultapi.RotationAssignment{
		"never":     {},
		"before":    {LastRotatedAt: at(-time.Hour)},
		"the last":  {LastRotatedAt: at(0)},
		"since":     {LastRotatedAt: at(time.Second)},
		"tried":     {LastRotatedAt: at(-time.Hour)},
		"open":      {LastRotatedAt: at(-time.Hour), State: vaultapi.RotationOpen},
		"suspended": {State: vaultapi.RotationSuspended},
		"failed":    {State: vaultapi.RotationFailed},
	}
	got := owing(all, newest(map[string]vaultapi.RotationAssignment{"a": all["before"], "b": all["the last"], "c": all["never"]}), map[string]bool{"tried": true})
	if want := []string{"before", "failed", "never", "the last"}; !slices.Equal(got, want) {
		t.Errorf("owed %v, want %v", got, want)
	}
	if newest(map[string]vaultapi.RotationAssignment{"a": {}}) != nil {
		t.Error("a rotation that never was")
	}
}

// The older object has a secret that two select, whatever their names, and of two of one second always the same one.
func TestBefore(t *testing.T) {
	made := func(d time.Duration, uid string) *v1alpha1.RotationSchedule {
		o := &v1alpha1.RotationSchedule{}
		o.CreationTimestamp, o.UID = *when(d), types.UID(uid)
		return o
	}
	for _, c := range []struct {
		a, b *v1alpha1.RotationSchedule
		want bool
	}{
		{made(0, "b"), made(time.Second, "a"), true}, {made(time.Second, "a"), made(0, "b"), false},
		{made(0, "a"), made(0, "b"), true}, {made(0, "b"), made(0, "a"), false},
	} {
		if before(c.a, c.b) != c.want {
			t.Errorf("%s %s before %s %s: %t", c.a.CreationTimestamp, c.a.UID, c.b.CreationTimestamp, c.b.UID, !c.want)
		}
	}
}
