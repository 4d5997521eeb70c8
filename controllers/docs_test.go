package controllers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/test/controlplane"
)

// page reads a file of the documentation.
func page(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(controlplane.Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// examples are the objects of our kinds that a page shows.
func examples(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page(t, name), -1) {
		var o map[string]any
		if err := yaml.UnmarshalStrict([]byte(m[1]), &o); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, m[1])
		}
		if o["apiVersion"] == v1alpha1.GroupVersion.String() {
			all = append(all, &unstructured.Unstructured{Object: o})
		}
	}
	return all
}

// The API server takes every example of the documentation, and their templates parse.
func TestDocumentedExamples(t *testing.T) {
	p := controlplane.Start(t)
	p.InstallCRDs(t)
	ns, client := p.Namespace(t, "docs", nil), dynamic.NewForConfigOrDie(p.Config)
	n := 0
	for _, name := range []string{"README.md", "docs/spec/vaultsecret.md", "docs/spec/vaultpolicy.md", "docs/spec/rotationschedule.md", "docs/spec/pkiissuer.md", "docs/spec/clusterpkiissuer.md"} {
		for _, o := range examples(t, name) {
			n++
			var err error
			dry := metav1.CreateOptions{DryRun: []string{"All"}, FieldValidation: "Strict"}
			resource := resourceOf(o.GetKind())
			if o.GetKind() == "VaultPolicy" || o.GetKind() == "ClusterPKIIssuer" {
				_, err = client.Resource(v1alpha1.GroupVersion.WithResource(resource)).Create(t.Context(), o, dry)
			} else {
				o.SetNamespace(ns)
				_, err = client.Resource(v1alpha1.GroupVersion.WithResource(resource)).Namespace(ns).Create(t.Context(), o, dry)
			}
			if err != nil {
				t.Errorf("%s: %s %s: %v", name, o.GetKind(), o.GetName(), err)
			}
			checkTemplates(t, o)
		}
	}
	if n < 10 {
		t.Errorf("%d examples were found", n)
	}
}

func resourceOf(kind string) string {
	for resource, k := range kindOf() {
		if k == kind {
			return resource
		}
	}
	return ""
}

func checkTemplates(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	data, _, _ := unstructured.NestedSlice(o.Object, "spec", "data")
	for _, d := range data {
		if text, ok := d.(map[string]any)["template"].(string); ok {
			if err := controllers.CheckTemplate(text); err != nil {
				t.Errorf("%s: %v", o.GetName(), err)
			}
		}
	}
}

// Every event whose reason is no reason of a condition stands in a page's table of events.
func TestDocumentedEvents(t *testing.T) {
	told := page(t, "docs/spec/vaultsecret.md") + page(t, "docs/spec/vaultpolicy.md") + page(t, "docs/spec/rotationschedule.md") + page(t, "docs/spec/pkiissuer.md")
	n := 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) < 5 {
				return true
			}
			f, isMethod := call.Fun.(*ast.SelectorExpr)
			literal, isText := call.Args[3].(*ast.BasicLit)
			if !isMethod || f.Sel.Name != "Eventf" || !isText {
				return true
			}
			n++
			reason, err := strconv.Unquote(literal.Value)
			if err != nil || !strings.Contains(told, "\n| `"+reason+"` |") {
				t.Errorf("%s: event %s is on no page", path, literal.Value)
			}
			return true
		})
		return nil
	})
	if err != nil || n < 5 {
		t.Errorf("%d events were found: %v", n, err)
	}
}

// kubectl get prints what the pages say.
func TestPrinterColumns(t *testing.T) {
	p := controlplane.Start(t)
	p.InstallCRDs(t)
	ns := p.Namespace(t, "columns", nil)
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := p.Kubectl(t.Context(), append([]string{"--namespace", ns}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	client := dynamic.NewForConfigOrDie(p.Config)
	ready := `"conditions":[{"type":"Ready","status":"False","reason":"Why","message":"because","lastTransitionTime":"2026-01-01T00:00:00Z"}]`
	for _, c := range []struct{ resource, spec, status, want, wide string }{
		{"vaultsecrets", oneSource, `{"binding":{"name":"made"},"lastSyncTime":"2026-01-01T00:00:00Z",` + ready + `}`,
			`^NAME +TARGET +READY +REASON +LAST-SYNC +AGE\n%s +made +False +Why +[0-9]\S+ +\S+s\n$`,
			`^NAME +TARGET +READY +REASON +LAST-SYNC +AGE +MESSAGE\n%s +made +False +Why +[0-9]\S+ +\S+s +because\n$`},
		{"vaultpolicies", "rules: [{paths: [a], permissions: [read]}]", `{"bindings":3,` + ready + `}`,
			`^NAME +BINDINGS +READY +REASON +AGE\n%s +3 +False +Why +\S+s\n$`, `^NAME +BINDINGS +READY +REASON +AGE +MESSAGE\n%s +3 +False +Why +\S+s +because\n$`},
		{"pkiissuers", "role: web", `{"authority":{"id":"ca_1","name":"corp","expires":"2036-01-01T00:00:00Z"},` + ready + `}`,
			`^NAME +ROLE +READY +REASON +EXPIRES +AGE\n%s +web +False +Why +2036-01-01T00:00:00Z +\S+s\n$`,
			`^NAME +ROLE +READY +REASON +EXPIRES +AGE +MESSAGE\n%s +web +False +Why +2036-01-01T00:00:00Z +\S+s +because\n$`},
		{"clusterpkiissuers", "{role: web, identity: {mode: Requester}}", `{` + ready + `}`,
			`^NAME +ROLE +IDENTITY +READY +REASON +EXPIRES +AGE\n%s +web +Requester +False +Why +\S+s\n$`,
			`^NAME +ROLE +IDENTITY +READY +REASON +EXPIRES +AGE +MESSAGE\n%s +web +Requester +False +Why +\S+s +because\n$`},
	} {
		o := object(t, c.resource, c.spec)
		o.SetName(ns)
		r := client.Resource(v1alpha1.GroupVersion.WithResource(c.resource))
		if c.resource == "vaultsecrets" || c.resource == "pkiissuers" {
			_, err := r.Namespace(ns).Create(t.Context(), o, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
		} else if _, err := r.Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		kubectl("patch", c.resource, ns, "--subresource=status", "--type=merge", "-p", `{"status":`+c.status+`}`)
		for want, out := range map[string]string{c.want: kubectl("get", c.resource, ns), c.wide: kubectl("get", c.resource, ns, "-o", "wide")} {
			if !regexp.MustCompile(strings.ReplaceAll(want, "%s", ns)).MatchString(out) {
				t.Errorf("%s prints\n%s", c.resource, out)
			}
		}
		kubectl("delete", c.resource, ns)
	}
}
