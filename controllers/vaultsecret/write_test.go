package vaultsecret

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
)

func conflictsOf(n int, manager string) (all []target.Conflict) {
	for i := range n {
		all = append(all, target.Conflict{Key: fmt.Sprintf("k%02d", i), Manager: manager})
	}
	return all
}

// What others hold is told with its number, however much it is; and where no watch would tell of its end, it is looked
// at again.
func TestReport(t *testing.T) {
	at := target.State{Name: "it", UID: "s1", ResourceVersion: "1"}
	cases := []struct {
		name  string
		left  target.Result
		says  string // "": all is well
		again bool
	}{
		{"nothing", target.Result{State: at}, "", false},
		{"some", target.Result{State: at, Conflicts: conflictsOf(2, "argocd")}, "others hold 2 of the keys that this object wants in Secret it, such as k00 (argocd); the rest is applied", false},
		{"many", target.Result{State: at, Conflicts: conflictsOf(60, "argocd")}, "others hold 60", false},
		{"all", target.Result{Conflicts: conflictsOf(1, "argocd")}, "nothing is left to apply", true},
		{"by nobody knows whom", target.Result{State: at, Conflicts: conflictsOf(1, target.Unknown)}, "k00 (unknown)", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newRun(evidence{})
			s.obj.Name, s.obj.Namespace = "it", "ns"
			s.obj.Spec.Target = &v1alpha1.SecretTarget{Mode: v1alpha1.SharedTarget}
			s.note(c.left)
			st := s.obj.Status
			if len(st.Conflicts) > v1alpha1.StatusListLimit || int(st.ConflictCount) != len(c.left.Conflicts) {
				t.Errorf("%d of %d listed", len(st.Conflicts), st.ConflictCount)
			}
			err := s.report(t.Context())
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !reconcile.IsStalled(err) || reconcile.ReasonOf(err) != v1alpha1.ReasonConflict || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v", err)
			}
			if (s.recheck() > 0) != c.again {
				t.Errorf("looked at again after %s", s.recheck())
			}
		})
	}
}

// What others do to a Shared target is nothing to write down; what we did is, with the time.
func TestNote(t *testing.T) {
	clock := time.Unix(1000, 0)
	s := newRun(evidence{})
	s.Now = func() time.Time { return clock }
	s.obj.Name, s.obj.Spec.Target = "it", &v1alpha1.SecretTarget{Mode: v1alpha1.SharedTarget}
	left := func(version string, wrote bool) string {
		clock = clock.Add(time.Minute)
		s.note(target.Result{State: target.State{Name: "it", UID: "s1", ResourceVersion: version}, Wrote: wrote})
		st := s.obj.Status
		return fmt.Sprint(st.Target.ResourceVersion, " ", st.Target.Mode, " ", st.LastSyncTime.Unix(), " ", st.Binding.Name)
	}
	for _, c := range []struct {
		version string
		wrote   bool
		want    string
	}{
		{"1", true, "1 Shared 1060 it"},
		{"2", false, "1 Shared 1060 it"}, // somebody else
		{"3", true, "3 Shared 1180 it"},
	} {
		if got := left(c.version, c.wrote); got != c.want {
			t.Errorf("%s: %s, want %s", c.version, got, c.want)
		}
	}
	s.obj.Spec.Target.Mode = v1alpha1.ExclusiveTarget
	if got := left("4", false); got != "4  1240 it" { // an Exclusive one differs only by what we wrote
		t.Errorf("%s", got)
	}
	if shares(&s.obj) {
		t.Error("it is Shared still")
	}
}
