package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// kinds are the resources with their definition and their page.
func kinds() map[string][2]string {
	return map[string][2]string{
		"VaultSecret": {"../../config/crd/scaivault.io_vaultsecrets.yaml", "../../docs/spec/vaultsecret.md"},
		"VaultPolicy": {"../../config/crd/scaivault.io_vaultpolicies.yaml", "../../docs/spec/vaultpolicy.md"},

		"RotationSchedule": {"../../config/crd/scaivault.io_rotationschedules.yaml", "../../docs/spec/rotationschedule.md"},

		"PKIIssuer":        {"../../config/crd/scaivault.io_pkiissuers.yaml", "../../docs/spec/pkiissuer.md"},
		"ClusterPKIIssuer": {"../../config/crd/scaivault.io_clusterpkiissuers.yaml", "../../docs/spec/clusterpkiissuer.md"},
	}
}

// outline is the part of a definition's schema that is needed here.
type outline struct {
	Type       string              `json:"type"`
	Properties map[string]*outline `json:"properties"`
	Items      *outline            `json:"items"`
}

type definition struct {
	Spec struct {
		Versions []struct {
			Columns []struct {
				Name     string `json:"name"`
				JSONPath string `json:"jsonPath"`
			} `json:"additionalPrinterColumns"`
			Schema struct {
				Root outline `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func defined(t *testing.T, file string) definition {
	t.Helper()
	var d definition
	if err := yaml.Unmarshal([]byte(read(t, file)), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Spec.Versions) != 1 {
		t.Fatalf("%s: %d versions", file, len(d.Spec.Versions))
	}
	return d
}

// fields lists the paths of all fields below one. Types of Kubernetes itself are not followed.
func (s *outline) fields(at string) []string {
	if s.Items != nil {
		return s.Items.fields(at + "[]")
	}
	if strings.HasSuffix(at, "conditions[]") || strings.HasSuffix(at, "namespaceSelector") {
		return nil
	}
	var all []string
	for name, p := range s.Properties {
		all = append(append(all, at+"."+name), p.fields(at+"."+name)...)
	}
	return all
}

// rows are the first cells of the tables of a page, without marks, that match a pattern.
func rows(page, pattern string) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?m)^\\| `?("+pattern+")`? \\|").FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return all
}

// section is the part of a page under a heading of the second level.
func section(t *testing.T, page, title string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, "\n## "+title+"\n")
	if !found {
		t.Fatalf("there is no section %s", title)
	}
	part, _, _ := strings.Cut(rest, "\n## ")
	return part
}

// Every field of a kind has a row on its page, and no row speaks of a field that is not there.
func TestPagesTellOfEveryField(t *testing.T) {
	for kind, k := range kinds() {
		root := defined(t, k[0]).Spec.Versions[0].Schema.Root
		want := append(root.Properties["spec"].fields("spec"), root.Properties["status"].fields("status")...)
		slices.Sort(want)
		page := read(t, k[1])
		got := rows(section(t, page, "Fields")+section(t, page, "Status"), `(?:spec|status)\.[A-Za-z.\[\]]+`)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-defined +on the page):\n%s", kind, diff)
		}
	}
}

// constants are the string constants of conditions.go whose names begin with one of the prefixes.
func constants(t *testing.T, prefixes ...string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(v.Names[0].Name, p) }) {
			return true
		}
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
		return true
	})
	slices.Sort(all)
	return all
}

// Every reason stands in the table of conditions of a page, and the tables name no reason that is not given.
func TestPagesTellOfEveryReason(t *testing.T) {
	told := map[string]bool{}
	for _, k := range kinds() {
		for _, reason := range rows(section(t, read(t, k[1]), "Conditions"), "[A-Z][A-Za-z]+") {
			told[reason] = true
		}
	}
	if diff := cmp.Diff(constants(t, "Reason"), slices.Sorted(maps.Keys(told))); diff != "" {
		t.Errorf("(-conditions.go +pages):\n%s", diff)
	}
}

// Every label, annotation and finalizer stands in a page's table of names.
func TestPagesTellOfEveryName(t *testing.T) {
	var told []string
	for _, k := range kinds() {
		for _, name := range rows(section(t, read(t, k[1]), "Names on objects"), "scaivault.io/[^`]+") {
			name, _, _ = strings.Cut(name, "<")
			told = append(told, name)
		}
	}
	slices.Sort(told)
	if diff := cmp.Diff(constants(t, "Label", "Annotation", "Finalizer"), slices.Compact(told)); diff != "" {
		t.Errorf("(-conditions.go +pages):\n%s", diff)
	}
}

// Printer columns show fields that exist, and the pages tell of them in their order.
func TestPrinterColumns(t *testing.T) {
	condition := regexp.MustCompile(`\[\?\(@\.type=="([A-Za-z]+)"\)\]`)
	for kind, k := range kinds() {
		v := defined(t, k[0]).Spec.Versions[0]
		table, _, _ := strings.Cut(section(t, read(t, k[1]), "Status"), "\n| field |")
		var want []string
		for _, c := range v.Columns {
			path := strings.TrimPrefix(condition.ReplaceAllString(c.JSONPath, "[$1]"), ".")
			want = append(want, "| "+c.Name+" | `"+path+"`")
			if !v.Schema.Root.has(condition.ReplaceAllString(c.JSONPath, "[]")) && c.JSONPath != ".metadata.creationTimestamp" {
				t.Errorf("%s: column %s shows %s, which does not exist", kind, c.Name, c.JSONPath)
			}
		}
		got := regexp.MustCompile("(?m)^\\| [A-Z][A-Za-z-]+ \\| `[^`]+`").FindAllString(table, -1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-defined +on the page):\n%s", kind, diff)
		}
	}
}

// has tells whether a path such as .status.conditions[].reason is one of the schema.
func (s *outline) has(path string) bool {
	at := s
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "."), ".") {
		name, list := strings.CutSuffix(part, "[]")
		if at = at.Properties[name]; at == nil {
			return false
		}
		if list {
			at = at.Items
		}
	}
	return true
}
