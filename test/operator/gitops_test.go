package operator_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// declarations are written as a person writes them: lists and maps in no order, nothing that has a default.
const declarations = `
apiVersion: scaivault.io/v1alpha1
kind: VaultPolicy
metadata:
  name: gitops-NS
  labels: {team: pay}
spec:
  subjects:
  - {kind: ServiceAccount, namespace: NS, name: app}
  - {kind: Identity, type: group, name: "group:ops", expiresAt: "2099-12-31T00:00:00Z"}
  - {kind: ServiceAccounts, name: other, namespaceSelector: {matchLabels: {team: NS}}}
  rules:
  - permissions: [read, list]
    paths: ["apps/NS/**", "apps/{namespace}/*"]
  - {paths: ["shared/x"], permissions: [list], when: {timeWindow: {start: "08:00", end: "18:00", days: [mon, fri]}}}
---
apiVersion: scaivault.io/v1alpha1
kind: VaultSecret
metadata:
  name: full
  namespace: NS
  annotations: {team.example.com/note: x}
spec:
  sources:
  - {name: zz, path: apps/NS/db}
  - {path: apps/NS/db, name: aa, version: 1}
  data:
  - {key: USER, from: {source: zz, field: user}}
  - {key: app.yaml, template: "was: {{ .aa.user | quote }}"}
  - {key: maybe, from: {source: zz, field: none, optional: true}}
  dataFrom:
  - {source: zz, keyFormat: "{name}_{field}", include: ["db_u*"], exclude: ["x*"]}
  target: {name: full-target, labels: {b: "2", a: "1"}, annotations: {note: "y"}}
  serviceAccountName: app
  refreshInterval: 1d
  whenSourceMissing: Delete
---
apiVersion: scaivault.io/v1alpha1
kind: VaultSecret
metadata: {name: small, namespace: NS}
spec:
  serviceAccountName: app
  sources: [{name: db, path: apps/NS/db}]
`

// Another manager applies our objects in a loop, as Argo CD and Flux do. It never finds a difference, its applies
// change nothing, and ours take nothing from it: before the objects are Ready, after, and while secrets change.
func TestGitOpsFindsNoDifference(t *testing.T) {
	w := running(t)
	text := strings.ReplaceAll(declarations, "NS", w.ns)
	file := filepath.Join(t.TempDir(), "declarations.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.kubectl("label", "namespace", w.ns, "team="+w.ns)
	w.put(w.path("db"), map[string]any{"user": "0"})
	w.applyAll(text, 1)
	w.synced("small", "full")
	w.still()

	before := w.states(&v1alpha1.VaultSecretList{}, &v1alpha1.VaultPolicyList{})
	w.forgetCalls()
	w.applyAll(text, 20)
	if after := w.states(&v1alpha1.VaultSecretList{}, &v1alpha1.VaultPolicyList{}); after != before {
		t.Errorf("an apply of the same changed something; before:\n%s\nafter:\n%s", before, after)
	}
	if got := w.api.Calls(writesObjects); len(got) != 0 {
		t.Errorf("an apply of the same made the operator write: %v", got)
	}
	w.kubectl("diff", "--server-side", "--field-manager=gitops", "-f", file) // fails where there is a difference

	for i := range 5 {
		w.put(w.path("db"), map[string]any{"user": fmt.Sprint(i + 1)})
		w.applyAll(text, 2)
	}
	w.holds("small", "user=5")
	w.holds("full-target", "USER=5 app.yaml=was: \"0\" db_user=5")
	w.synced("small", "full")
	w.kubectl("diff", "--server-side", "--field-manager=gitops", "-f", file)
	for _, name := range []string{"small", "full"} {
		if g := w.get(name).Generation; g != 1 {
			t.Errorf("%s: the spec changed %d times", name, g-1)
		}
	}

	w.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=somebody-else", "-f", file)
	w.kubectl("diff", "--server-side", "--field-manager=gitops", "-f", file)
}

// applyAll applies all objects of a text a number of times, and takes what others hold.
func (w *world) applyAll(text string, times int) {
	w.Helper()
	for range times {
		for part := range strings.SplitSeq(text, "\n---\n") {
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(part), &o.Object); err != nil {
				w.Fatal(err)
			}
			if err := w.kube.Apply(w.Context(), kube.ApplyConfigurationFromUnstructured(o), kube.FieldOwner("gitops"), kube.ForceOwnership); err != nil {
				w.Fatal(err)
			}
		}
	}
}
