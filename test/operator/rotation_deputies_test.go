package operator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// A schedule of one namespace names what only another namespace may rotate. Being older gives it no right: it neither
// rotates the secret nor takes it from its owner's schedule, whatever is asked of it. (field.md 13, 14)
func TestScheduleRotatesNothingOfOthers(t *testing.T) {
	w := running(t)
	thief := w.ns
	w.rotator()
	owner := w.namespace("owner", nil)
	secret := "apps/" + owner + "/db"
	w.put(secret, map[string]any{"k": w.value("first")})
	w.schedule("grab", []string{secret})
	w.rotationIs("grab", "False/AccessDenied")
	w.pass(1100 * time.Millisecond)

	w.ns = owner
	w.rotator()
	w.schedule("mine", []string{secret})
	w.rotationIs("mine", "True/Scheduled")

	w.ns = thief
	w.forced("grab", "now") // older, and it asks
	w.rotationIs("grab", "False/AccessDenied")
	if got := w.refusals("grab"); got != secret+"=AccessDenied" {
		t.Errorf("refused %s", got)
	}
	if v := w.version(secret); v != "1" {
		t.Fatalf("version %s: it was rotated by a namespace that may not", v)
	}
	w.ns = owner
	w.rotationIs("mine", "True/Scheduled")
	if c := w.rotation("mine").Status.Conflicts; len(c) > 0 {
		t.Errorf("the owner is told of a conflict with one who has no right: %+v", c)
	}
	w.forced("mine", "now")
	if v := w.version(secret); v != "2" {
		t.Errorf("version %s", v)
	}
}

// A ServiceAccount that loses the right has nothing rotated any more, neither on request nor when it is due, although
// the vault took the secret on before. That is said, and over when the right is back.
func TestScheduleLosesItsRight(t *testing.T) {
	w := running(t)
	right := w.rotator()
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("first")})
	w.schedule("db", []string{path}, func(s *v1alpha1.RotationScheduleSpec) {
		s.When, s.Grace = v1alpha1.RotationTimes{Every: "8s"}, &v1alpha1.RotationGrace{Period: "1s"}
	})
	w.rotationIs("db", "True/Scheduled")
	w.until("the first rotation that is due", "2", func() string { return w.version(path) })
	w.remove(right)
	w.until("the right is gone", "policy_not_found", func() string { return w.holders(right) })
	before := w.version(path)
	w.forced("db", "now")
	w.rotationIs("db", "False/AccessDenied")
	if got := w.refusals("db"); got != path+"=AccessDenied" {
		t.Errorf("refused %s", got)
	}
	w.pass(9 * time.Second)
	if v := w.version(path); v != before {
		t.Errorf("version %s, want %s: it was rotated without a right", v, before)
	}
	w.entitle("rotator", w.path("**"), "rotate", "write", "list")
	w.forced("db", "again")
	w.until("a rotation with the right", "true", func() string {
		if w.version(path) != before {
			return "true"
		}
		return "false"
	})
	w.rotationIs("db", "True/Scheduled")
}

// A pattern that begins to cover what belongs to somebody else, and that the ServiceAccount may see, gives no right to it.
func TestPatternCoversWhatBelongsToOthers(t *testing.T) {
	w := running(t)
	w.rotator()
	w.entitle("rotator", "apps/shared-"+w.ns+"/**", "list")
	w.entitle("rotator", "apps/**", "list")
	mine, foreign, hidden := w.path("a/database"), "apps/shared-"+w.ns+"/a/database", "others/"+w.ns+"/a/database"
	w.put(mine, map[string]any{"k": w.value("mine")})
	w.schedule("all", nil, func(s *v1alpha1.RotationScheduleSpec) { s.Secrets.PathPattern = "apps/*/*/database" })
	w.rotationIs("all", "True/Scheduled")
	before := w.rotation("all").Status.Secrets
	for _, p := range []string{foreign, hidden} {
		w.put(p, map[string]any{"k": w.value("of-" + p)})
	}
	w.rotationIs("all", "False/AccessDenied")
	if got := w.refusals("all"); !strings.Contains(got, foreign+"=AccessDenied") || strings.Contains(got, hidden) {
		t.Errorf("refused %s", got)
	}
	w.forced("all", "now")
	if a, b := w.version(mine), w.version(foreign); a != "2" || b != "1" {
		t.Errorf("versions %s of mine, %s of somebody else's", a, b)
	}
	if n := w.rotation("all").Status.Secrets; n != before {
		t.Errorf("%d secrets are rotated, want %d", n, before)
	}
	// {namespace} is the object's own, whatever else the ServiceAccount may see; and a new secret of mine is taken on.
	r := w.rotation("all")
	r.Spec.Secrets.PathPattern = "apps/{namespace}/*/database"
	if err := w.kube.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.rotationIs("all", "True/Scheduled")
	w.put(w.path("b/database"), map[string]any{"k": w.value("b")})
	w.until("secrets", "2", func() string { return fmt.Sprint(w.rotation("all").Status.Secrets) })
}

// A ServiceAccount that is gone has nothing rotated, although a policy still speaks of its name; one that is made anew
// has.
func TestScheduleOfAServiceAccountThatIsGone(t *testing.T) {
	w := running(t)
	w.rotator()
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("first")})
	w.schedule("db", []string{path}, func(s *v1alpha1.RotationScheduleSpec) {
		s.When, s.Grace = v1alpha1.RotationTimes{Every: "6s"}, &v1alpha1.RotationGrace{Period: "1s"}
	})
	w.rotationIs("db", "True/Scheduled")
	w.kubectl("-n", w.ns, "delete", "serviceaccount", "rotator")
	w.rotationIs("db", "False/ServiceAccountMissing")
	before := w.version(path)
	w.pass(8 * time.Second)
	if v := w.version(path); v != before {
		t.Errorf("version %s, want %s: it was rotated as nobody", v, before)
	}
	w.account(w.ns, "rotator")
	w.rotationIs("db", "True/Scheduled")
	w.until("a rotation", "true", func() string { return fmt.Sprint(w.version(path) != before) })
}
