package operator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/test/operator"
)

// An operator that is killed in the middle makes an old version live longer, never shorter; started again it goes on
// where it was, and rotates nothing twice.
func TestRotationOutlivesTheOperator(t *testing.T) {
	w := running(t)
	node := w.kubelet()
	w.allowed()
	w.rotator()
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("first")})
	w.create("db", path, restarting(brief))
	w.synced("db")
	w.deploy("web", byEnv("db"))
	w.until("ready pods of web", "1", func() string { return w.readyPods("web") })
	w.schedule("db", []string{path}, waiting("1s", "1h"))
	w.rotationIs("db", "True/Scheduled")

	node.works(false)
	w.forced("db", "first")
	w.phasesAre("db", "db=Distributed")
	w.restOwed("") // the Deployment has its new template
	w.operator.Kill()
	node.works(true)
	w.until("ready pods of web", "1", func() string { return w.readyPods("web") })
	w.pass(2 * time.Second)
	if got := w.readable(path, 1); got != "yes" {
		t.Fatalf("version 1 ended while no operator looked: %s", got)
	}
	w.operator.Start()
	w.phasesAre("db", "db=Retired")
	w.until("the old version", "version_not_found", func() string { return w.readable(path, 1) })
	w.learn("db")

	// Killed when the vault has rotated and before the operator learns of it, and before the vault saw the request.
	rotates := func(c operator.Call) bool { return c.Method == "POST" && strings.HasSuffix(c.Path, "/rotate") }
	for i, after := range []bool{true, false} {
		w.pass(1100 * time.Millisecond) // times of rotations are whole seconds
		killed := w.wire.Trap(after, rotates, w.operator.Kill)
		request := fmt.Sprint("killed-", i)
		w.force("db", request)
		<-killed
		w.operator.Start()
		w.until("the echo of "+request, request, func() string { return w.rotation("db").Status.LastHandledRequest })
		if v, want := w.version(path), fmt.Sprint(3+i); v != want {
			t.Errorf("version %s after the request was carried out once more, want %s", v, want)
		}
		w.phasesAre("db", "db=Retired")
		w.learn("db")
	}
	if st := w.rotation("db").Status; st.Forced != nil {
		t.Errorf("still forced: %+v", st.Forced)
	}
	w.still()
}

// rotationPolicies names what the vault holds for RotationSchedules of this cluster.
func (w *world) rotationPolicies() string {
	l, err := w.admin.Rotation.Policies(w.Context(), client.RotationPolicyFilter{Owner: "k8s:home/RotationSchedule"})
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, p := range l.Policies {
		out = append(out, fmt.Sprintf("%s:%d", p.Name, p.SecretsCount))
	}
	return strings.Join(out, " ")
}

// A schedule that goes takes its policy from the vault, also when the vault or the operator was away; its secrets stay.
// One of the same name that is made anew begins anew.
func TestRotationScheduleDeleted(t *testing.T) {
	w := running(t)
	w.rotator()
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("first")})
	mine := "home." + w.ns + ".db:1"
	holds := func(want string) {
		t.Helper()
		w.until("rotation policies in the vault", want, w.rotationPolicies)
	}
	w.schedule("db", []string{path})
	holds(mine)
	w.remove(w.rotation("db"))
	holds("")

	for what, away := range map[string]struct{ down, up func() }{
		"vault":    {w.vault.Stop, w.vault.Start},
		"operator": {w.operator.Kill, w.operator.Start},
	} {
		w.schedule("db", []string{path})
		holds(mine)
		away.down()
		w.remove(w.rotation("db"))
		if what == "operator" {
			holds(mine)
		}
		away.up()
		holds("")
	}

	w.schedule("db", []string{path})
	holds(mine)
	w.operator.Kill()
	w.remove(w.rotation("db"))
	w.schedule("db", []string{path}, func(s *v1alpha1.RotationScheduleSpec) { s.Mode, s.Generate = v1alpha1.RotationNotify, nil })
	w.operator.Start()
	w.rotationIs("db", "True/Scheduled")
	p, err := w.admin.Rotation.Policy(t.Context(), "home."+w.ns+".db")
	if err != nil || p.AutoGenerate || p.Owner != "k8s:home/RotationSchedule/"+w.ns+"/db/"+string(w.rotation("db").UID) {
		t.Errorf("%+v, %v", p, err)
	}
	if v := w.version(path); v != "1" {
		t.Errorf("version %s", v)
	}
}

// A change of the spec reaches the vault, and what is not given any more is taken away; at rest nothing is written.
func TestRotationScheduleChanges(t *testing.T) {
	w := running(t)
	w.rotator()
	w.account(w.ns, "other")
	one, two := w.path("one"), w.path("two")
	for _, p := range []string{one, two} {
		w.put(p, map[string]any{"k": w.value("of-" + p)})
	}
	w.schedule("db", []string{one, two}, waiting("1h", "2d"), func(s *v1alpha1.RotationScheduleSpec) {
		s.When = v1alpha1.RotationTimes{Cron: "0 3 * * 6", TimeZone: "Europe/Amsterdam", Window: "2h", Spread: "30m"}
		s.WarnBefore = []v1alpha1.Duration{"1d"}
	})
	w.rotationIs("db", "True/Scheduled")
	p, err := w.admin.Rotation.Policy(t.Context(), "home."+w.ns+".db")
	if err != nil || p.Cron != "0 3 * * 6" || p.TimeZone != "Europe/Amsterdam" || p.Window != "2h" || p.Spread != "30m" ||
		p.GraceHoldSeconds != 2*24*3600 || p.WarnBefore != "1d" || p.SecretsCount != 2 || p.Generate == nil {
		t.Fatalf("%+v, %v", p, err)
	}
	w.still()
	w.forgetCalls()
	w.annotate(w.rotation("db"), "example.com/x", "y")
	w.pass(2 * time.Second)
	if calls := w.wire.Calls(func(c operator.Call) bool { return c.Writes() && strings.Contains(c.Path, "/rotation/") }); len(calls) > 0 {
		t.Errorf("at rest: %v", calls)
	}

	r := w.rotation("db")
	r.Spec.When, r.Spec.Grace, r.Spec.WarnBefore, r.Spec.Generate = v1alpha1.RotationTimes{Every: "30d"}, nil, nil, nil
	r.Spec.Secrets.Paths = r.Spec.Secrets.Paths[:1]
	if err := w.kube.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.until("the policy in the vault", "30d   172800 0 [] false 1", func() string {
		p, err := w.admin.Rotation.Policy(t.Context(), "home."+w.ns+".db")
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s %s %s %d %d %v %t %d", p.Interval, p.Cron, p.Window, p.GracePeriodSeconds, p.GraceHoldSeconds, p.WarnBefore.List(), p.Generate != nil, p.SecretsCount)
	})
	w.rotationIs("db", "True/Scheduled")
}

// With mode Notify the vault says that it is time, and the write is the rotation; who does not write is late.
func TestRotationNotify(t *testing.T) {
	w := running(t)
	w.allowed()
	w.rotator()
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("first")})
	w.create("db", path)
	w.synced("db")
	w.schedule("db", []string{path}, waiting("3s", "1h"), func(s *v1alpha1.RotationScheduleSpec) { s.Mode, s.Generate = v1alpha1.RotationNotify, nil })
	w.rotationIs("db", "True/Scheduled")
	w.forced("db", "now")
	w.until("due", "1", func() string { return fmt.Sprint(w.rotation("db").Status.Due) })
	w.rotationIs("db", "False/RotationOverdue")
	w.put(path, map[string]any{"k": w.value("second")})
	w.rotationIs("db", "True/Scheduled")
	w.phasesAre("db", "db=Retired")
	w.holds("db", "k="+w.value("second"))
	w.until("the old version", "version_not_found", func() string { return w.readable(path, 1) })
}
