package charttest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// objects are manifests by kind and name.
type objects map[string]*unstructured.Unstructured

func parse(t *testing.T, text string) objects {
	t.Helper()
	out := objects{}
	for _, doc := range strings.Split("\n"+text, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(doc), &o.Object); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if len(o.Object) == 0 {
			continue
		}
		key := o.GetKind() + "/" + o.GetName()
		if out[key] != nil {
			t.Fatalf("%s occurs twice", key)
		}
		out[key] = o
	}
	return out
}

// render does what `helm template` does.
func render(t *testing.T, namespace string, values map[string]any) (string, error) {
	t.Helper()
	c, err := loader.Load(filepath.Join(root, "charts/scaivault"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	release := chartutil.ReleaseOptions{Name: "vault", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, release, chartutil.DefaultCapabilities) // checks the schema
	if err != nil {
		return "", err
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			text.WriteString("\n---\n" + files[name])
		}
	}
	return text.String(), nil
}

func mustRender(t *testing.T, namespace string, values map[string]any) objects {
	t.Helper()
	text, err := render(t, namespace, values)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

// install is what `kubectl apply -k config/default` applies.
func install(t *testing.T) objects {
	t.Helper()
	return kustomized(t, filepath.Join(root, "config/default"))
}

// kustomized is what `kubectl apply -k` of a directory applies.
func kustomized(t *testing.T, dir string) objects {
	t.Helper()
	assets, err := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "hack/controlplane/assets.sh")).Output()
	if err != nil {
		t.Fatalf("hack/controlplane/assets.sh, which finds or builds kubectl: %v", err)
	}
	kubectl := filepath.Join(strings.TrimSpace(string(assets)), "kubectl")
	out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", dir).Output()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v", err)
	}
	return parse(t, string(out))
}

var jobName = regexp.MustCompile(`^scaivault-bootstrap-[0-9a-f]{8}$`)

// plain takes away what a chart adds to every object: Helm's labels and annotation, the hash in the Job's name.
func plain(all objects) map[string]any {
	out := map[string]any{}
	for _, o := range all {
		o = o.DeepCopy()
		labels := o.GetLabels()
		maps.DeleteFunc(labels, func(k, _ string) bool { return strings.HasPrefix(k, "app.kubernetes.io/") || k == "helm.sh/chart" })
		if len(labels) == 0 {
			labels = nil
		}
		o.SetLabels(labels)
		annotations := o.GetAnnotations()
		delete(annotations, "helm.sh/resource-policy")
		o.SetAnnotations(annotations)
		if o.GetKind() == "Job" && jobName.MatchString(o.GetName()) {
			o.SetName("scaivault-bootstrap")
		}
		out[o.GetKind()+"/"+o.GetName()] = o.Object
	}
	return out
}

// The chart in its default values and config/default are the same install.
func TestChartIsTheInstall(t *testing.T) {
	want := install(t)
	delete(want, "Namespace/scaivault-system") // helm install --create-namespace
	got := mustRender(t, "scaivault-system", map[string]any{"image": map[string]any{"tag": "latest"}})
	if len(want) < 15 {
		t.Fatalf("config/default has %d objects only", len(want))
	}
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Fatalf("config/default and charts/scaivault differ; change both or run make generate (-config +chart)\n%s", diff)
	}
}

// With operator.refreshPods, the chart is the install with its component config/refresh-pods.
func TestRefreshPods(t *testing.T) {
	dir, err := os.MkdirTemp(root, ".refresh-pods-") // a kustomization names others by relative paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text := "resources: [../config/default]\ncomponents: [../config/refresh-pods]\n"
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := kustomized(t, dir)
	delete(want, "Namespace/scaivault-system")
	got := mustRender(t, "scaivault-system", map[string]any{"image": map[string]any{"tag": "latest"}, "operator": map[string]any{"refreshPods": true}})
	if want["ClusterRole/scaivault-operator-refresh-pods"] == nil {
		t.Fatal("config/refresh-pods gives no right")
	}
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Fatalf("config/refresh-pods and operator.refreshPods differ (-config +chart)\n%s", diff)
	}
}

// Definitions outlive the release, everything says whose it is, and the image is the chart's own version.
func TestHelmsOwn(t *testing.T) {
	kept := 0
	for key, o := range mustRender(t, "scaivault-system", nil) {
		if o.GetKind() == "CustomResourceDefinition" {
			kept++
			if o.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
				t.Errorf("%s goes with the release, and all objects of its kind with it", key)
			}
			continue
		}
		if l := o.GetLabels(); l["app.kubernetes.io/instance"] != "vault" || l["helm.sh/chart"] == "" {
			t.Errorf("%s does not say which release it is of: %v", key, l)
		}
		if o.GetKind() == "Secret" {
			t.Errorf("%s would be lost with the release", key)
		}
	}
	if kept < 2 {
		t.Errorf("%d definitions", kept)
	}
}

// Nothing but descriptions names a namespace that the release is not in.
func TestAnotherNamespace(t *testing.T) {
	for key, o := range mustRender(t, "elsewhere", nil) {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		if o.GetKind() != "CustomResourceDefinition" && strings.Contains(string(text), "scaivault-system") {
			t.Errorf("%s:\n%s", key, text)
		}
	}
}

func TestValues(t *testing.T) {
	got := mustRender(t, "ns", map[string]any{
		"image":            map[string]any{"repository": "registry.local/scaivault", "tag": "v9", "pullPolicy": "Always"},
		"imagePullSecrets": []any{map[string]any{"name": "registry"}},
		"server": map[string]any{
			"resources": map[string]any{"limits": map[string]any{"memory": "2Gi"}},
			"storage":   map[string]any{"size": "20Gi", "storageClassName": "fast"},
		},
		"operator":  map[string]any{"replicas": 2, "resources": map[string]any{"limits": map[string]any{"memory": "3Gi"}}},
		"bootstrap": map[string]any{"resources": map[string]any{"limits": map[string]any{"memory": "4Gi"}}},
	})
	job := ""
	for key := range got {
		if strings.HasPrefix(key, "Job/") {
			job = key
		}
	}
	for key, memory := range map[string]string{"StatefulSet/scaivault-server": "2Gi", "Deployment/scaivault-operator": "3Gi", job: "4Gi"} {
		pod := dig(got[key].Object, "spec", "template", "spec").(map[string]any)
		container := pod["containers"].([]any)[0].(map[string]any)
		want := map[string]any{"image": "registry.local/scaivault:v9", "policy": "Always", "memory": memory, "pull": []any{map[string]any{"name": "registry"}}}
		if diff := cmp.Diff(want, map[string]any{
			"image": container["image"], "policy": container["imagePullPolicy"],
			"memory": dig(container, "resources", "limits", "memory"), "pull": pod["imagePullSecrets"],
		}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", key, diff)
		}
	}
	claim := dig(got["StatefulSet/scaivault-server"].Object, "spec").(map[string]any)["volumeClaimTemplates"].([]any)[0].(map[string]any)
	if dig(claim, "spec", "storageClassName") != "fast" || dig(claim, "spec", "resources", "requests", "storage") != "20Gi" {
		t.Errorf("storage: %v", claim)
	}
	if n := dig(got["Deployment/scaivault-operator"].Object, "spec", "replicas"); n != float64(2) && n != int64(2) {
		t.Errorf("replicas: %v", n)
	}
}

func dig(in map[string]any, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(in, path...)
	return v
}

// A Job cannot be changed: another image is another Job, the same one is the same.
func TestUpgradeMakesAnotherJob(t *testing.T) {
	names := map[string]bool{}
	for _, tag := range []string{"v1", "v2", "v2"} {
		for key := range mustRender(t, "ns", map[string]any{"image": map[string]any{"tag": tag}}) {
			if name, ok := strings.CutPrefix(key, "Job/"); ok {
				names[name] = true
			}
		}
	}
	if len(names) != 2 {
		t.Errorf("two images gave Jobs %v", names)
	}
}

// What is misspelt or of another type is refused before anything is applied.
func TestSchemaRefuses(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"unknown value":     {"imgae": map[string]any{"tag": "v1"}},
		"unknown below":     {"operator": map[string]any{"replica": 2}},
		"text for a number": {"operator": map[string]any{"replicas": "two"}},
		"tag with a digest": {"image": map[string]any{"tag": "v1@sha256:0"}},
		"pull policy":       {"image": map[string]any{"pullPolicy": "Sometimes"}},
		"quantity":          {"server": map[string]any{"storage": map[string]any{"size": "ten"}}},
		"unknown resource":  {"server": map[string]any{"resources": map[string]any{"request": map[string]any{"cpu": "1"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := render(t, "ns", values); err == nil || !strings.Contains(err.Error(), "values don't meet") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// values.yaml and its schema name the same values, so that each is documented and checked.
func TestSchemaIsComplete(t *testing.T) {
	var values, schema map[string]any
	for file, into := range map[string]*map[string]any{"values.yaml": &values, "values.schema.json": &schema} {
		text, err := os.ReadFile(filepath.Join(root, "charts/scaivault", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Fatal(err)
		}
	}
	known := schema["properties"].(map[string]any)
	delete(known, "global")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(values)), slices.Sorted(maps.Keys(known))); diff != "" {
		t.Fatalf("(-values +schema)\n%s", diff)
	}
}
