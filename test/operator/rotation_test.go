package operator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// rotator may have everything below the test's path rotated, and not read it.
func (w *world) rotator() *v1alpha1.VaultPolicy {
	w.Helper()
	w.account(w.ns, "rotator")
	return w.entitle("rotator", w.path("**"), "rotate", "write", "list")
}

// entitle applies a VaultPolicy that allows a ServiceAccount of the test's namespace permissions on a pattern.
func (w *world) entitle(account, pattern string, permissions ...v1alpha1.Permission) *v1alpha1.VaultPolicy {
	w.Helper()
	p := &v1alpha1.VaultPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec: v1alpha1.VaultPolicySpec{
			Rules:    []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{v1alpha1.PathPattern(pattern)}, Permissions: permissions}},
			Subjects: []v1alpha1.PolicySubject{serviceAccount(w.ns, account)},
		},
	}
	if err := w.kube.Create(w.Context(), p); err != nil {
		w.Fatal(err)
	}
	w.policyIs(p, "True/Applied")
	return p
}

// schedule applies a RotationSchedule over paths, as ServiceAccount rotator, that generates field k every 90 days;
// change may alter it.
func (w *world) schedule(name string, paths []string, change ...func(*v1alpha1.RotationScheduleSpec)) *v1alpha1.RotationSchedule {
	w.Helper()
	r := &v1alpha1.RotationSchedule{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec: v1alpha1.RotationScheduleSpec{
			ServiceAccountName: "rotator", When: v1alpha1.RotationTimes{Every: "90d"}, Mode: v1alpha1.RotationGenerate,
			Generate: &v1alpha1.Generation{Fields: []v1alpha1.GeneratedField{{Name: "k", Generator: "random", Length: 32}}},
		},
	}
	for _, p := range paths {
		r.Spec.Secrets.Paths = append(r.Spec.Secrets.Paths, v1alpha1.SecretPath(p))
	}
	for _, c := range change {
		c(&r.Spec)
	}
	if err := w.kube.Create(w.Context(), r); err != nil {
		w.Fatal(err)
	}
	return r
}

// waiting holds the old version until consumers run with the new one.
func waiting(period, deadline v1alpha1.Duration) func(*v1alpha1.RotationScheduleSpec) {
	return func(s *v1alpha1.RotationScheduleSpec) {
		s.Grace = &v1alpha1.RotationGrace{Period: period, WaitForConsumers: true, Deadline: deadline}
	}
}

func (w *world) rotation(name string) *v1alpha1.RotationSchedule {
	w.Helper()
	r := &v1alpha1.RotationSchedule{}
	if err := w.kube.Get(w.Context(), w.key(name), r); err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *world) rotationIs(name, want string) {
	w.Helper()
	w.until("Ready of RotationSchedule "+name, want, func() string { return ready(w.rotation(name)) })
}

// force asks for a rotation now.
func (w *world) force(name, request string) {
	w.Helper()
	w.annotate(w.rotation(name), v1alpha1.AnnotationRequestedAt, request)
}

// forced asks for a rotation and waits until it is done.
func (w *world) forced(name, request string) {
	w.Helper()
	w.force(name, request)
	w.until("the echo of "+request, request, func() string { return w.rotation(name).Status.LastHandledRequest })
}

// rotationPhases are path=phase of a schedule, in the order of the status.
func (w *world) rotationPhases(name string) string {
	w.Helper()
	var out []string
	for _, p := range w.rotation(name).Status.Rotations {
		out = append(out, strings.TrimPrefix(p.Path, w.path(""))+"="+string(p.Phase))
	}
	return strings.Join(out, " ")
}

func (w *world) phasesAre(name, want string) {
	w.Helper()
	w.until("phases of "+name, want, func() string { return w.rotationPhases(name) })
}

// refusals are path=reason of a schedule.
func (w *world) refusals(name string) string {
	w.Helper()
	var out []string
	for _, r := range w.rotation(name).Status.Refused {
		out = append(out, r.Path+"="+string(r.Reason))
	}
	return strings.Join(out, " ")
}

// version is the newest of a secret.
func (w *world) version(path string) string {
	w.Helper()
	info, err := w.admin.Secrets.ReadMetadata(w.Context(), path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(info.Version)
}

// readable tells whether a version of a secret can be read: "yes", or the vault's code.
func (w *world) readable(path string, version int64) string {
	w.Helper()
	if _, err := w.admin.Secrets.Read(w.Context(), path, client.ReadOptions{Version: version}); err != nil {
		return vaultapi.Code(err)
	}
	return "yes"
}

// key is what a Secret has under k, and learns it as a value that must be nowhere else.
func (w *world) learn(secret string) string {
	w.Helper()
	s := w.secret(secret)
	if s == nil {
		return ""
	}
	v := string(s.Data["k"])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values = append(w.values, v)
	return v
}

// The whole way: a schedule is made, a secret rotated, the Secret changes, the Deployment that uses it is rolled, and
// only then the old version ends. Each phase is told in the status and in an event.
func TestRotationReachesThePodsBeforeTheOldVersionEnds(t *testing.T) {
	w := running(t)
	node := w.kubelet()
	w.allowed()
	w.rotator()
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("first"), "host": "db.example"})
	w.create("db", path, restarting(brief))
	w.synced("db")
	w.deploy("web", byEnv("db"))
	w.until("ready pods of web", "1", func() string { return w.readyPods("web") })

	w.schedule("db", []string{path}, waiting("1s", "1h"))
	w.rotationIs("db", "True/Scheduled")
	if st := w.rotation("db").Status; st.Secrets != 1 || st.Next == nil || st.Last != nil {
		t.Errorf("status %+v", st)
	}
	if v := w.version(path); v != "1" {
		t.Fatalf("version %s before anything was due", v)
	}

	node.works(false)
	w.forced("db", "first")
	if v := w.version(path); v != "2" {
		t.Fatalf("version %s", v)
	}
	w.until("the generated value in the Secret", "true", func() string {
		s := w.secret("db")
		return fmt.Sprint(len(s.Data["k"]) == 32 && string(s.Data["host"]) == "db.example")
	})
	w.learn("db")
	w.phasesAre("db", "db=Distributed")
	w.until("what is waited for", "true", func() string {
		return fmt.Sprint(strings.Contains(w.rotation("db").Status.Rotations[0].WaitingFor, "Deployment web: "))
	})
	w.pass(3 * time.Second) // the period is over, the pods are not rolled
	if got := w.readable(path, 1); got != "yes" {
		t.Errorf("the old version ended before its user had the new one: %s", got)
	}
	node.works(true)
	w.phasesAre("db", "db=Retired")
	w.until("the old version", "version_not_found", func() string { return w.readable(path, 1) })
	if got := w.readable(path, 2); got != "yes" {
		t.Errorf("the new version: %s", got)
	}
	w.rotationIs("db", "True/Scheduled")
	for reason, parts := range map[string][]string{
		"Rotated": {path + " has version 2", "version 1 stays readable until"}, "Distributed": {"holds version 2", "next: in namespace ", "web"},
		"Rolled": {"runs with version 2", "version 1 ends at"}, "Retired": {"version 1 is not readable any more"},
	} {
		for _, part := range parts {
			if e := w.events("RotationSchedule", "db", reason); !strings.Contains(e, part) {
				t.Errorf("event %s: %q does not tell %q", reason, e, part)
			}
		}
	}
	w.forced("db", "second") // once more, with everybody at work
	w.phasesAre("db", "db=Retired")
	w.until("the second old version", "version_not_found", func() string { return w.readable(path, 2) })
	w.learn("db")
	w.still()
}

// readyPods counts the ready pods of an app.
func (w *world) readyPods(app string) string {
	w.Helper()
	var l corev1.PodList
	if err := w.kube.List(w.Context(), &l, kube.InNamespace(w.ns), kube.MatchingLabels{"app": app}); err != nil {
		return err.Error()
	}
	n := 0
	for _, p := range l.Items {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
				n++
			}
		}
	}
	return fmt.Sprint(n)
}

// At the deadline the old version ends, whoever uses it; that is said until its users have the new one.
func TestRotationDeadline(t *testing.T) {
	w := running(t)
	w.kubelet()
	w.allowed()
	w.rotator()
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("first")})
	w.create("db", path) // nobody restarts
	w.synced("db")
	w.deploy("web", byEnv("db"))
	w.until("ready pods of web", "1", func() string { return w.readyPods("web") })
	w.pass(time.Second)
	w.schedule("db", []string{path}, waiting("1s", "6s"))
	w.rotationIs("db", "True/Scheduled")
	w.forced("db", "now")
	w.phasesAre("db", "db=Distributed")
	w.rotationIs("db", "False/ConsumersNotRolled")
	w.until("the old version", "version_not_found", func() string { return w.readable(path, 1) })
	if e := w.events("RotationSchedule", "db", "GraceDeadlinePassed"); !strings.Contains(e, "pod web-") || !strings.Contains(e, "in its environment") {
		t.Errorf("event %q", e)
	}
	if e := w.events("RotationSchedule", "db", "GraceDeadlinePassed"); strings.Count(e, "\n") != 0 {
		t.Errorf("told more than once: %s", e)
	}
	w.kubectl("-n", w.ns, "rollout", "restart", "deployment/web") // somebody does
	w.phasesAre("db", "db=Retired")
	w.rotationIs("db", "True/Scheduled")
	w.learn("db")
}

// A path that the ServiceAccount may not rotate is listed and never rotated, the others are; and it is taken on when a
// policy comes. One that is not there yet is taken on when it is made.
func TestRotationRefused(t *testing.T) {
	w := running(t)
	w.account(w.ns, "rotator")
	mine, foreign, later := w.path("mine"), "apps/somebody-else-"+w.ns+"/db", w.path("later")
	w.entitle("rotator", w.path("**"), "rotate", "write", "list")
	for _, p := range []string{mine, foreign} {
		w.put(p, map[string]any{"k": w.value("of-" + p)})
	}
	w.schedule("both", []string{mine, foreign})
	w.rotationIs("both", "False/AccessDenied")
	if got := w.refusals("both"); got != foreign+"=AccessDenied" {
		t.Errorf("refused %s", got)
	}
	w.forced("both", "now")
	if a, b := w.version(mine), w.version(foreign); a != "2" || b != "1" {
		t.Errorf("versions %s of mine, %s of what is refused", a, b)
	}
	w.entitle("rotator", foreign, "rotate") // mode Generate needs write as well
	w.pass(time.Second)
	w.rotationIs("both", "False/AccessDenied")
	w.entitle("rotator", foreign, "write")
	w.rotationIs("both", "True/Scheduled")
	w.forced("both", "again")
	if b := w.version(foreign); b != "2" {
		t.Errorf("version %s of what is allowed now", b)
	}

	w.schedule("later", []string{later})
	w.rotationIs("later", "False/SecretMissing")
	w.put(later, map[string]any{"k": w.value("later")})
	w.rotationIs("later", "True/Scheduled")
}

// Of two schedules on one secret the older one rotates it, and both say so. When it goes, the other takes the secret on.
func TestTwoSchedulesOnOneSecret(t *testing.T) {
	w := running(t)
	w.rotator()
	shared, own := w.path("shared"), w.path("own")
	for _, p := range []string{shared, own} {
		w.put(p, map[string]any{"k": w.value("of-" + p)})
	}
	w.schedule("z-older", []string{shared})
	w.rotationIs("z-older", "True/Scheduled")
	w.pass(1100 * time.Millisecond) // creation times are whole seconds
	w.schedule("a-younger", []string{shared, own})
	w.rotationIs("a-younger", "False/Conflict")
	if got := w.refusals("a-younger"); got != shared+"=Conflict" {
		t.Errorf("refused %s", got)
	}
	conflict := func(name string) string {
		return fmt.Sprint(w.rotation(name).Status.Conflicts)
	}
	older, younger := w.ns+"/z-older", w.ns+"/a-younger"
	w.until("what the younger says", fmt.Sprintf("[{%s %s %s}]", shared, older, older), func() string { return conflict("a-younger") })
	w.until("what the older says", fmt.Sprintf("[{%s %s %s}]", shared, younger, older), func() string { return conflict("z-older") })
	w.rotationIs("z-older", "True/Scheduled")
	w.forced("a-younger", "now")
	if a, b := w.version(shared), w.version(own); a != "1" || b != "2" {
		t.Errorf("versions %s of the shared, %s of its own", a, b)
	}
	w.remove(w.rotation("z-older"))
	w.rotationIs("a-younger", "True/Scheduled")
	w.forced("a-younger", "again")
	if a := w.version(shared); a != "2" {
		t.Errorf("version %s of what it has alone now", a)
	}
}

// The older one has the secret also where the younger one had it first: it was made while no operator ran, say.
func TestOlderScheduleTakesOver(t *testing.T) {
	w := running(t)
	w.rotator()
	path := w.path("db")
	w.put(path, map[string]any{"k": w.value("first")})
	w.schedule("older", []string{w.path("other")})
	w.pass(1100 * time.Millisecond)
	w.schedule("younger", []string{path})
	w.rotationIs("younger", "True/Scheduled")
	r := w.rotation("older")
	r.Spec.Secrets.Paths = []v1alpha1.SecretPath{v1alpha1.SecretPath(path)}
	if err := w.kube.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.rotationIs("older", "True/Scheduled")
	w.rotationIs("younger", "False/Conflict")
}

// Tags stand for the secrets that carry one, as they come and go; several members of spec.secrets mean the union.
func TestScheduleByTag(t *testing.T) {
	w := running(t)
	w.rotator()
	tagged := func(name string, tags ...string) string {
		path := w.path(name)
		w.put(path, map[string]any{"k": w.value("of-" + path)})
		if _, err := w.admin.Secrets.UpdateMetadata(t.Context(), path, map[string]any{"tags": tags}); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, named := tagged("first", "other", "monthly-"+w.ns), tagged("named", "other")
	tagged("neither", "other")
	w.schedule("tags", []string{named}, func(s *v1alpha1.RotationScheduleSpec) { s.Secrets.Tags = []string{"monthly-" + w.ns} })
	w.rotationIs("tags", "True/Scheduled")
	attached := func() string {
		l, err := w.admin.Rotation.Assignments(t.Context(), "home."+w.ns+".tags", 100, "")
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, a := range l.Secrets {
			out = append(out, a.Path+" by "+a.AttachedBy)
		}
		return strings.Join(out, ", ")
	}
	as := " by sa:" + w.ns + ":rotator"
	w.until("what is rotated", first+as+", "+named+as, attached)
	if _, err := w.admin.Secrets.UpdateMetadata(t.Context(), first, map[string]any{"tags": []string{}}); err != nil {
		t.Fatal(err)
	}
	later := tagged("later", "monthly-"+w.ns)
	w.until("what is rotated", later+as+", "+named+as, attached)
	w.account(w.ns, "another") // somebody else's rights, which are none
	r := w.rotation("tags")
	r.Spec.ServiceAccountName = "another"
	if err := w.kube.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.rotationIs("tags", "False/AccessDenied")
	w.until("what is rotated", "", attached)
}
