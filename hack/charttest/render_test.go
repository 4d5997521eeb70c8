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

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	root   = "../.."
	system = "scaivault-system" // the namespace that config installs into
)

// values are what a user sets.
type values = map[string]any

// objects are manifests by kind and name, those of a namespace other than the release's by kind, namespace and name.
type objects map[string]*unstructured.Unstructured

func parse(t *testing.T, namespace, text string) objects {
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
		if ns := o.GetNamespace(); ns != "" && ns != namespace {
			key = o.GetKind() + "/" + ns + "/" + o.GetName()
		}
		if out[key] != nil {
			t.Fatalf("%s occurs twice", key)
		}
		out[key] = o
	}
	return out
}

// render does what `helm template` does.
func render(t *testing.T, namespace string, set values) (string, error) {
	t.Helper()
	c, err := loader.Load(filepath.Join(root, "charts/scaivault"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	release := chartutil.ReleaseOptions{Name: "vault", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, set, release, chartutil.DefaultCapabilities) // checks the schema
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

func mustRender(t *testing.T, namespace string, set values) objects {
	t.Helper()
	text, err := render(t, namespace, set)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, namespace, text)
}

// kustomized is what `kubectl apply -k` of a directory of config applies, with components beside it.
func kustomized(t *testing.T, dir string, components ...string) objects {
	t.Helper()
	overlay, err := os.MkdirTemp(root, ".overlay-") // a kustomization names others by relative paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(overlay) })
	text := "resources:\n- ../config/" + dir + "\ncomponents:\n"
	for _, c := range components {
		text += "- ../config/" + c + "\n"
	}
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return parse(t, system, kubectl(t, "kustomize", overlay))
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	assets, err := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "hack/controlplane/assets.sh")).Output()
	if err != nil {
		t.Fatalf("hack/controlplane/assets.sh, which finds or builds kubectl: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(strings.TrimSpace(string(assets)), "kubectl"), args...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

var jobName = regexp.MustCompile(`^scaivault-bootstrap-[0-9a-f]{8}$`)

// plain takes away what a chart adds to every object: Helm's labels and annotations, the hash in the Job's name.
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
		maps.DeleteFunc(annotations, func(k, _ string) bool { return strings.HasPrefix(k, "helm.sh/") })
		if len(annotations) == 0 {
			annotations = nil
		}
		o.SetAnnotations(annotations)
		if o.GetKind() == "Job" && jobName.MatchString(o.GetName()) {
			o.SetName("scaivault-bootstrap")
		}
		out[o.GetKind()+"/"+o.GetName()] = o.Object
	}
	return out
}

func dig(in map[string]any, path ...string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(in, path...)
	return v
}

// job is the one Job whose name begins so.
func (all objects) job(t *testing.T, prefix string) *unstructured.Unstructured {
	t.Helper()
	for key, o := range all {
		if strings.HasPrefix(key, "Job/"+prefix) {
			return o
		}
	}
	t.Fatalf("no Job %s*", prefix)
	return nil
}

// pod is the pod template of a workload, nil for what is none.
func pod(o *unstructured.Unstructured) map[string]any {
	template, _ := dig(o.Object, "spec", "template", "spec").(map[string]any)
	return template
}

// container is the one container of a workload.
func container(o *unstructured.Unstructured) map[string]any {
	return pod(o)["containers"].([]any)[0].(map[string]any)
}
