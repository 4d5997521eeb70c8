package operator_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/test/operator"
)

// brief is a debounce for tests of one change; it is the shortest there is.
const brief = time.Second

// Many keys, many versions and several Secrets changed within the debounce: every consumer, however it uses the
// Secret, is restarted once. The first content restarted nobody.
func TestRestartOnceForManyChanges(t *testing.T) {
	w := running(t)
	w.allowed()
	const debounce = 6 * time.Second
	for i, name := range []string{"billing", "mail"} {
		w.put(w.path(name), map[string]any{"k": w.value(fmt.Sprint("first", i))})
	}
	both := byEnv("billing")
	both.Containers[0].EnvFrom = byEnvFrom("mail").Containers[0].EnvFrom
	users := []kube.Object{
		w.deploy("env", byEnv("billing")), w.deploy("env-from", byEnvFrom("billing")), w.deploy("file", byFile("billing")),
		w.deploy("projected", byProjected("billing")), w.deploy("init", byInit("billing")), w.deploy("sub-path", bySubPath("billing")),
		w.deploy("both", both), w.statefulSet("set", byEnv("billing")), w.daemonSet("daemon", byEnv("mail")),
	}
	others := []kube.Object{w.deploy("unrelated", byEnv("another")), w.cronJob("report", byEnv("billing"))}
	w.create("billing", w.path("billing"), restarting(debounce))
	w.create("mail", w.path("mail"), restarting(debounce))
	w.synced("billing", "mail")
	w.still()
	w.are(1, append(users, others...)...)

	start := time.Now()
	for n := range 6 {
		for _, name := range []string{"billing", "mail"} {
			w.put(w.path(name), map[string]any{"k": w.value(fmt.Sprint("next", n)), "more": fmt.Sprint(n), "n" + fmt.Sprint(n): "x"})
		}
	}
	if took := time.Since(start); took > debounce {
		t.Fatalf("twelve writes took %s; the machine is too slow for this test", took)
	}
	w.are(2, users...)
	if took := time.Since(start); took < debounce {
		t.Errorf("restarted after %s, before the debounce of %s", took, debounce)
	}
	w.still()
	w.pass(debounce + 2*time.Second)
	w.are(2, users...)
	w.are(1, others...)
	for _, o := range users {
		if d, ok := o.(*appsv1.Deployment); ok && w.replicaSets(d.Name) != 2 {
			t.Errorf("%d ReplicaSets of %s", w.replicaSets(d.Name), d.Name)
		}
	}

	d := &appsv1.Deployment{}
	if err := w.kube.Get(t.Context(), w.key("both"), d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"billing", "mail"} {
		if mark, told := "scaivault.io/restart.vaultsecret."+name, w.get(name).Status.Restart.Checksum; d.Spec.Template.Annotations[mark] != told || len(told) != 64 {
			t.Errorf("%s is %q, the status says %q", mark, d.Spec.Template.Annotations[mark], told)
		}
	}
	for _, part := range []string{"restarted ", "Deployment env,", "StatefulSet set", "the content of Secret billing changed"} {
		if e := w.events("VaultSecret", "billing", "Restarted"); !strings.Contains(e, part) {
			t.Errorf("events %q do not tell %q", e, part)
		}
	}
	if e := w.events("VaultSecret", "billing", "NextJob"); !strings.Contains(e, "CronJob report") {
		t.Errorf("events %q", e)
	}
	if e := w.events("DaemonSet", "daemon", "Restarted"); !strings.Contains(e, "Secret mail changed (VaultSecret mail)") {
		t.Errorf("events %q", e)
	}
}

// What does not change the content restarts nobody: a version without a change of a written key, a hand edit and its
// repair, the spec's other fields, restarts switched on.
func TestRestartOnlyForContent(t *testing.T) {
	w := running(t)
	w.allowed()
	path := w.path("s")
	w.put(path, map[string]any{"k": "1", "note": "1"})
	only := func(s *v1alpha1.VaultSecretSpec) {
		s.Data = []v1alpha1.DataEntry{{Key: "k", From: &v1alpha1.FieldRef{Source: "db", Field: "k"}}}
	}
	w.create("s", path, only)
	w.synced("s")
	d := w.deploy("d", byEnv("s"))
	w.put(path, map[string]any{"k": "2", "note": "1"})
	w.holds("s", "k=2")
	w.change("s", restarting(brief)) // the content before is none of its business
	w.until("checksum", "true", func() string { return fmt.Sprint(w.get("s").Status.Restart != nil) })
	w.put(path, map[string]any{"k": "3", "note": "1"})
	w.are(2, d)

	w.put(path, map[string]any{"k": "3", "note": "2"})
	w.kubectl("-n", w.ns, "patch", "secret", "s", "--type=merge", "-p", `{"data":{"k":"aGFja2Vk"}}`)
	w.holds("s", "k=3")
	w.change("s", func(s *v1alpha1.VaultSecretSpec) {
		s.RefreshInterval = "12h"
		s.Target = &v1alpha1.SecretTarget{Labels: map[string]v1alpha1.LabelValue{"team": "pay"}}
	})
	w.until("label", "pay", func() string { return w.secret("s").Labels["team"] })
	w.remove(&corev1.Secret{ObjectMeta: w.meta("s")})
	w.holds("s", "k=3")
	w.still()
	w.pass(2*brief + time.Second)
	w.are(2, d)

	w.change("s", func(s *v1alpha1.VaultSecretSpec) { s.Data[0].Key = "l" }) // this is content
	w.holds("s", "l=3")
	w.are(3, d)
	w.change("s", func(s *v1alpha1.VaultSecretSpec) { s.Restart.Mode = v1alpha1.RestartNone })
	w.until("status.restart", "false", func() string { return fmt.Sprint(w.get("s").Status.Restart != nil) })
	w.put(path, map[string]any{"k": "4"})
	w.holds("s", "l=4")
	w.still()
	w.pass(2*brief + time.Second)
	w.are(3, d)
}

// A paused Deployment is told and stays as it is; resumed, it rolls once for all that it missed.
func TestRestartPaused(t *testing.T) {
	w := running(t)
	w.allowed()
	path := w.path("s")
	w.put(path, map[string]any{"k": "1"})
	d := w.deploy("d", byEnv("s"))
	w.kubectl("-n", w.ns, "rollout", "pause", "deployment", "d") // generation 2
	w.create("s", path, restarting(brief))
	w.synced("s")
	w.put(path, map[string]any{"k": "2"})
	w.are(3, d)
	w.put(path, map[string]any{"k": "3"})
	w.are(4, d)
	w.still()
	w.pass(2 * time.Second)
	if n := w.replicaSets("d"); n != 1 {
		t.Errorf("paused, and %d ReplicaSets", n)
	}
	w.kubectl("-n", w.ns, "rollout", "resume", "deployment", "d")
	w.until("ReplicaSets", "2", func() string { return fmt.Sprint(w.replicaSets("d")) })
	w.pass(2 * time.Second)
	if n := w.replicaSets("d"); n != 2 {
		t.Errorf("resumed, and %d ReplicaSets", n)
	}
}

// The listed workloads are restarted and no others: not the consumers, not those of the same names in another
// namespace. One that does not exist is reported, not made, and noticed when it comes.
func TestRestartListed(t *testing.T) {
	w := running(t)
	w.allowed()
	path := w.path("s")
	w.put(path, map[string]any{"k": "1"})
	mine := w.ns
	w.ns = w.namespace("other", nil)
	theirs := []kube.Object{w.deploy("d", byEnv("s")), w.deploy("consumer", byEnv("s"))}
	w.ns = mine
	listed := []kube.Object{w.deploy("d", pod(corev1.Container{})), w.statefulSet("d", pod(corev1.Container{})), w.daemonSet("d", byFile("s"))}
	others := []kube.Object{w.deploy("consumer", byEnv("s")), w.statefulSet("consumer", byEnv("s"))}
	w.create("s", path, restarting(brief,
		v1alpha1.WorkloadReference{Kind: "Deployment", Name: "d"}, v1alpha1.WorkloadReference{Kind: "StatefulSet", Name: "d"},
		v1alpha1.WorkloadReference{Kind: "DaemonSet", Name: "d"}, v1alpha1.WorkloadReference{Kind: "Deployment", Name: "absent"}))
	w.synced("s")
	w.says("s", "1 of spec.restart.workloads do not exist in this namespace, the first is Deployment absent")
	w.put(path, map[string]any{"k": "2"})
	w.are(2, listed...)
	w.are(1, others...)
	w.are(1, theirs...)
	err := w.kube.Get(t.Context(), w.key("absent"), &appsv1.Deployment{})
	if kube.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("made: %v", err)
	}
	w.says("s", "Deployment absent")
	w.deploy("absent", byEnv("s"))
	w.annotate(w.get("s"), v1alpha1.AnnotationRequestedAt, "now")
	w.until("missing", "[]", func() string { return fmt.Sprint(w.get("s").Status.Restart.Missing) })
	w.until("message", "Secret s holds what the vault holds", func() string {
		return condition(w.get("s"), v1alpha1.ConditionReady).Message
	})
}

// The operator dies at each step between the write of the Secret and the end of the restart: all consumers are
// restarted, each once.
func TestRestartSurvivesDeath(t *testing.T) {
	w := running(t)
	w.allowed()
	path := w.path("s")
	w.put(path, map[string]any{"k": "1"})
	w.create("s", path, restarting(2*brief))
	w.synced("s")
	w.put(path, map[string]any{"k": "2"}) // the first change also tidies what Create left
	w.holds("s", "k=2")
	w.restOwed("")
	patches := func(what string) func(operator.Call) bool {
		return func(c operator.Call) bool { return c.Method == http.MethodPatch && strings.Contains(c.Path, what) }
	}
	all := []kube.Object{w.deploy("one", byEnv("s")), w.deploy("two", byFile("s")), w.statefulSet("three", byEnvFrom("s"))}
	generation := 1
	for _, c := range []struct {
		step  string
		after bool
		what  string
	}{
		{"before the Secret", false, "/secrets/s"}, {"after the Secret", true, "/secrets/s"},
		{"before the status", false, "/status"}, {"after the status", true, "/status"},
		{"before the first restart", false, "/deployments/"}, {"after the first restart", true, "/deployments/"},
		{"before the last restart", false, "/statefulsets/"}, {"after the last restart", true, "/statefulsets/"},
	} {
		caught := w.api.Trap(c.after, patches(c.what), w.operator.Kill)
		generation++
		value := fmt.Sprint("v", generation)
		w.put(path, map[string]any{"k": value})
		select {
		case <-caught:
		case <-time.After(soon):
			t.Fatalf("%s: never came there", c.step)
		}
		w.operator.Start()
		w.holds("s", "k="+value)
		w.are(generation, all...)
		t.Logf("%s: each restarted once", c.step)
	}
	w.still()
	w.pass(3 * time.Second)
	w.are(generation, all...)
}

// A vault that is down, or a policy that is gone, holds no restart up that is owed; and a workload that cannot be
// restarted keeps neither the others from theirs nor the Secret from following.
func TestRestartInTrouble(t *testing.T) {
	w := running(t)
	p := w.allowed()
	path := w.path("s")
	w.put(path, map[string]any{"k": "1"})
	d := w.deploy("d", byEnv("s"))
	w.create("s", path, restarting(3*time.Second))
	w.synced("s")
	w.put(path, map[string]any{"k": "2"})
	w.restOwed("s")
	w.vault.Stop()
	w.are(2, d)
	w.vault.Start()

	w.put(path, map[string]any{"k": "3"})
	w.restOwed("s")
	w.remove(p)
	w.is("s", "False/AccessDenied")
	w.are(3, d)
	w.allowed()
	w.synced("s")

	refuser := w.daemonSet("refuser", byEnv("s"))
	w.refuse("refuser")
	w.put(path, map[string]any{"k": "4"})
	w.until("condition", "RestartFailed", func() string { return condition(w.get("s"), v1alpha1.ConditionReconciling).Reason })
	said := regexp.MustCompile(`^DaemonSet refuser could not be restarted: (Invalid|Forbidden); this is tried again, see what keeps it from being changed$`)
	if c := condition(w.get("s"), v1alpha1.ConditionReconciling); !said.MatchString(c.Message) {
		t.Errorf("message %q", c.Message)
	}
	w.until("generation", "d=4", func() string { return w.generations(d) })
	w.put(path, map[string]any{"k": "5"})
	w.holds("s", "k=5")
	w.is("s", "True/Synced")
	w.kubectl("delete", "validatingadmissionpolicybinding", "refuse-"+w.ns)
	w.until("generation", "refuser=2", func() string { return w.generations(refuser) })
	w.restOwed("")
	w.still()
}

// refuse makes the API server refuse every change of the DaemonSet of a name in this namespace, quoting a value.
func (w *world) refuse(name string) {
	w.Helper()
	w.apply(fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: refuse-%[1]s}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [daemonsets]}]
  matchConditions: [{name: here, expression: "request.namespace == '%[1]s' && request.name == '%[2]s'"}]
  validations: [{expression: "false", message: %[3]q}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: refuse-%[1]s}
spec: {policyName: refuse-%[1]s, validationActions: [Deny]}
`, w.ns, name, w.value("quoted")))
	w.until("refusal", "true", func() string {
		_, err := w.plane.Kubectl(w.Context(), "-n", w.ns, "annotate", "daemonset", name, "--overwrite", "x="+fmt.Sprint(time.Now().UnixNano()))
		return fmt.Sprint(err != nil)
	})
}
