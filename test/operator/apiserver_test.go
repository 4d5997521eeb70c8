package operator_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/test/controlplane"
)

// downtime is how long the API server is away; TEST_API_DOWNTIME=1m makes it a minute.
const downtime = 15 * time.Second

// The API server is killed and comes back. Meanwhile secrets change and are deleted in the vault, whose events the
// operator gets and cannot act on. It does not end, and when the API server is back it does what it could not.
func TestAPIServerDownAndBack(t *testing.T) {
	w := running(t)
	for _, s := range []string{"changed", "deleted", "same"} {
		w.put(w.path(s), map[string]any{"k": "1"})
		w.create(s, w.path(s))
	}
	w.allowed()
	w.synced("changed", "deleted", "same")
	same := w.secret("same").ResourceVersion

	w.plane.Stop(t)
	w.put(w.path("changed"), map[string]any{"k": "2"})
	w.vaultDeletes("deleted", false)
	w.pass(apiDowntime(t))
	w.put(w.path("changed"), map[string]any{"k": "3"})
	w.plane.Restart(t)

	start := time.Now()
	w.holds("changed", "k=3")
	w.is("deleted", "False/SecretMissing")
	t.Logf("right again %s after the API server served", time.Since(start).Round(time.Millisecond))
	w.create("later", w.path("changed"))
	w.synced("changed", "same", "later")
	if w.secret("same").ResourceVersion != same {
		t.Error("what had not changed was written")
	}
	if !w.operator.Running() {
		t.Error("the operator ended")
	}
}

func apiDowntime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("TEST_API_DOWNTIME")
	if text == "" {
		return downtime
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Connections to the API server break again and again while everything changes; then they are gone for a while and
// with them what the watches would have shown.
func TestBrokenWatches(t *testing.T) {
	w := running(t)
	for _, s := range []string{"a", "b", "c", "d"} {
		w.put(w.path(s), map[string]any{"k": "0"})
	}
	w.allowed()
	w.create("a", w.path("a"))
	w.create("b", w.path("b"))
	w.create("c", w.path("c"))
	w.synced("a", "b", "c")
	for i := range 20 {
		w.api.Cut()
		w.put(w.path("a"), map[string]any{"k": i})
		w.edit("b", fmt.Sprintf(`{"stringData":{"k":"hacked-%d"}}`, i))
	}
	w.holds("a", "k=19")
	w.holds("b", "k=0")
	w.synced("a", "b", "c")

	w.api.Shut()
	w.edit("a", `{"data":{"extra":"eA=="}}`)
	w.remove(w.secret("b"), w.get("c"))
	w.create("d", w.path("d"))
	w.change("a", target(v1alpha1.SecretTarget{Name: "moved"}))
	w.account(w.ns, "fresh")
	p := w.policy([]v1alpha1.PathPattern{v1alpha1.PathPattern(w.path("**"))}, serviceAccount(w.ns, "fresh"))
	w.pass(2 * time.Second)
	w.api.Open()
	w.holds("moved", "k=19")
	w.holds("a", "")
	w.holds("b", "k=0")
	w.holds("c", "")
	w.holds("d", "k=0")
	w.synced("a", "b", "d")
	w.policyIs(p, "True/Applied")
}

// Somebody writes our Secrets in a tight loop: so fast that what we know of them is always old. Their content still
// follows the vault, others are served within a second, and the vault is not asked without end.
func TestConflictStorm(t *testing.T) {
	w := running(t)
	for _, s := range []string{"noted", "fought", "calm"} {
		w.put(w.path(s), map[string]any{"k": "0"})
		w.create(s, w.path(s))
	}
	w.allowed()
	w.synced("noted", "fought", "calm")
	objects, secrets := w.watch(&v1alpha1.VaultSecretList{}), w.watch(&corev1.SecretList{})
	w.still()
	reads, began := w.reads(), time.Now()

	noted := w.storm("noted", func(i int) string { return fmt.Sprintf(`{"metadata":{"annotations":{"note":"%d"}}}`, i) })
	fought := w.storm("fought", func(i int) string { return fmt.Sprintf(`{"stringData":{"k":"theirs-%d"}}`, i) })
	for i := 1; i <= 5; i++ {
		for _, s := range []string{"noted", "fought"} {
			w.put(w.path(s), map[string]any{"k": i})
		}
		secrets.await(fmt.Sprint("version ", i, " in the storm"), contains("noted", fmt.Sprint("k=", i)))
		w.pass(500 * time.Millisecond)
	}
	start := w.put(w.path("calm"), map[string]any{"k": "1"})
	w.promised("change beside the storm → Secret", start, secrets.await("the change", contains("calm", "k=1")))
	start = time.Now()
	w.create("new", w.path("calm"))
	w.promised("new object beside the storm → Ready", start, objects.await("Ready", becomes("new", "True/Synced")))
	theirs := noted() + fought()
	lasted := time.Since(began)
	ours := w.reads() - reads
	t.Logf("in %s the storm wrote %d times and we read %d times", lasted.Round(time.Millisecond), theirs, ours)
	if float64(ours) > 60*lasted.Seconds() {
		t.Errorf("%d reads of the vault in %s", ours, lasted)
	}
	w.holds("fought", "k=5")
	w.holds("noted", "k=5")
	w.synced("noted", "fought", "calm", "new")
}

// storm patches a Secret again and again, until the function it returns is called, which gives the number of times.
func (w *world) storm(name string, patch func(int) string) (end func() int) {
	ctx, cancel := context.WithCancel(w.Context())
	s := &corev1.Secret{}
	s.Namespace, s.Name = w.ns, name
	n := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := w.kube.Patch(ctx, s, kube.RawPatch(types.MergePatchType, []byte(patch(n)))); err != nil && ctx.Err() == nil {
				w.Error(err)
				return
			}
			n++
		}
	})
	end = func() int {
		cancel()
		wg.Wait()
		return n
	}
	w.Cleanup(func() { end() })
	return end
}

// The definitions of our kinds are replaced under a running operator, by ones of a later release: with fields that it
// does not know. It goes on, and leaves what it does not know alone.
func TestDefinitionsUpdatedUnderneath(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "0"})
	p := w.allowed()
	w.create("s", w.path("s"))
	w.synced("s")
	defer w.plane.InstallCRDs(t)
	for i := range 3 {
		w.redefine(fmt.Sprint("later", i))
		w.put(w.path("s"), map[string]any{"k": i + 1})
		w.holds("s", fmt.Sprint("k=", i+1))
	}
	patch := `{"spec":{"later2":"kept"}}`
	w.kubectl("-n", w.ns, "patch", "vaultsecret", "s", "--type=merge", "-p", patch)
	w.kubectl("patch", "vaultpolicy", p.Name, "--type=merge", "-p", patch)
	w.put(w.path("s"), map[string]any{"k": "9"})
	w.holds("s", "k=9")
	w.put(w.path("new"), map[string]any{"k": "1"})
	w.create("new", w.path("new"))
	w.synced("s", "new")
	w.policyIs(p, "True/Applied")
	for _, args := range [][]string{{"-n", w.ns, "get", "vaultsecret", "s"}, {"get", "vaultpolicy", p.Name}} {
		if got := w.kubectl(append(args, "-o", "jsonpath={.spec.later2}")...); got != "kept" {
			t.Errorf("%v: a field of a later release became %q", args, got)
		}
	}
	w.kubectl("-n", w.ns, "patch", "vaultsecret", "s", "--type=merge", "-p", `{"spec":{"target":{"name":"moved"}}}`)
	w.holds("moved", "k=9")
	w.remove(p)
	w.ended(&v1alpha1.VaultPolicy{}, keyOf(p))
}

// redefine adds an optional field to the spec of each of our kinds, and a column.
func (w *world) redefine(field string) {
	w.Helper()
	files, err := filepath.Glob(filepath.Join(controlplane.Root(), "config/crd/scaivault.io_*.yaml"))
	if err != nil || len(files) == 0 {
		w.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			w.Fatal(err)
		}
		crd := map[string]any{}
		if err := yaml.Unmarshal(raw, &crd); err != nil {
			w.Fatal(err)
		}
		version := crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
		spec := version["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)["properties"].(map[string]any)["spec"].(map[string]any)
		spec["properties"].(map[string]any)[field] = map[string]any{"type": "string", "description": "A field of a later release."}
		version["additionalPrinterColumns"] = []any{map[string]any{"name": "Later", "type": "string", "jsonPath": ".spec." + field}}
		out, err := yaml.Marshal(crd)
		if err != nil {
			w.Fatal(err)
		}
		file := filepath.Join(w.TempDir(), filepath.Base(f))
		if err := os.WriteFile(file, out, 0o600); err != nil {
			w.Fatal(err)
		}
		w.kubectl("apply", "--server-side", "--force-conflicts", "-f", file)
	}
}

// Admission is configured and its server is not there: nothing is blocked, and reconcile says what admission would.
func TestAdmissionAbsent(t *testing.T) {
	w := running(t)
	file := filepath.Join(controlplane.Root(), "config/webhook/validating.yaml")
	w.kubectl("apply", "-f", file)
	defer w.kubectl("delete", "-f", file)
	w.put(w.path("s"), map[string]any{"k": "1"})
	p := w.allowed()
	bad := w.policy([]v1alpha1.PathPattern{"apps/x**"}, serviceAccount(w.ns, "app"))
	w.create("s", w.path("s"))
	w.synced("s")
	w.create("rival", w.path("s"), target(v1alpha1.SecretTarget{Name: "s"}))
	w.create("template", w.path("s"), func(s *v1alpha1.VaultSecretSpec) {
		s.Data = []v1alpha1.DataEntry{{Key: "t", Template: `{{ env "HOME" }}`}}
	})
	want := map[string]string{"rival": "False/Conflict", "template": "False/InvalidTemplate"}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w.is(name, want[name])
	}
	w.policyIs(bad, "False/InvalidPolicy")
	w.change("template", func(s *v1alpha1.VaultSecretSpec) { s.Data[0].Template = "{{ .db.k }}" })
	w.holds("template", "t=1")
	w.remove(p, bad)
	w.ended(&v1alpha1.VaultPolicy{}, keyOf(p))
	w.ended(&v1alpha1.VaultPolicy{}, keyOf(bad))
	if !strings.Contains(w.kubectl("get", "validatingwebhookconfigurations"), "scaivault") {
		t.Error("there was no admission to be absent")
	}
}
