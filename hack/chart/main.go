// chart writes what charts/scaivault takes from config: the resource definitions, the rules of the roles, the
// alerts and the dashboard. Run from the root of the repository by hack/generate.sh:
//
//	go run ./hack/chart OUT
//
// OUT is the root under which charts/scaivault/files is written. Of config, what is below OUT goes before what
// is committed, so that --check sees what was generated a moment before.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// keep makes Helm leave a definition, and with it every object of its kind, when a release goes.
const keep = "    helm.sh/resource-policy: keep\n"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chart OUT")
		os.Exit(2)
	}
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func generate(out string) error {
	files := filepath.Join(out, "charts/scaivault/files")
	for _, dir := range []string{"crd", "rules", "monitoring"} {
		if err := fresh(filepath.Join(files, dir)); err != nil {
			return err
		}
	}
	if err := definitions(out, filepath.Join(files, "crd")); err != nil {
		return err
	}
	sources := []string{
		"config/rbac/role.yaml", "config/rbac/user_roles.yaml", "config/bootstrap/rbac.yaml", "config/refresh-pods/rbac.yaml", "config/cert-manager/approver.yaml",
		"config/webhook/rbac.yaml", "config/webhook/renewal_rbac.yaml",
	}
	for _, source := range sources {
		if err := rules(out, source, filepath.Join(files, "rules")); err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
	}
	return monitoring(filepath.Join(files, "monitoring"))
}

// fresh makes dir hold nothing, so that what is no longer in config goes.
func fresh(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755) //nolint:gosec // a directory of the repository
}

// read prefers what was generated into out over what is committed.
func read(out, name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(out, name))
	if os.IsNotExist(err) {
		return os.ReadFile(name)
	}
	return text, err
}

// definitions copies each resource definition with the annotation that keeps it.
func definitions(out, to string) error {
	found, err := filepath.Glob("config/crd/scaivault.io_*.yaml")
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("config/crd holds no resource definition")
	}
	for _, name := range found {
		text, err := read(out, name)
		if err != nil {
			return err
		}
		head, rest, ok := strings.Cut(string(text), "\n  annotations:\n")
		if !ok || strings.Contains(head, "\nspec:") {
			return fmt.Errorf("%s has no annotations to add one to", name)
		}
		kept := strings.TrimPrefix(head, "---\n") + "\n  annotations:\n" + keep + rest
		if err := write(filepath.Join(to, filepath.Base(name)), []byte(kept)); err != nil {
			return err
		}
	}
	return nil
}

// rules writes the rules of each role of a file, one file per role. Those of the operator's ClusterRole are also
// written apart: what is of the cluster, and what a Role of a namespace can give.
func rules(out, source, to string) error {
	text, err := read(out, source)
	if err != nil {
		return err
	}
	for part := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(part, &role); err != nil {
			return err
		}
		if role.Kind != "Role" && role.Kind != "ClusterRole" {
			continue
		}
		name := strings.ToLower(role.Kind) + "-" + role.Name
		if err := writeRules(filepath.Join(to, name+".yaml"), role.Rules); err != nil {
			return err
		}
		if name != "clusterrole-scaivault-operator" {
			continue
		}
		cluster, namespaced := apart(role.Rules)
		err := errors.Join(writeRules(filepath.Join(to, "operator-cluster.yaml"), cluster),
			writeRules(filepath.Join(to, "operator-namespaced.yaml"), namespaced))
		if err != nil {
			return err
		}
	}
	return nil
}

// ofTheCluster tells whether a resource lies in no namespace; a test asks a real API server the same.
func ofTheCluster(resource string) bool {
	kind, _, _ := strings.Cut(resource, "/")
	return slices.Contains([]string{"namespaces", "vaultpolicies", "clusterpkiissuers", "certificatesigningrequests", "signers", "subjectaccessreviews", "validatingwebhookconfigurations"}, kind)
}

// apart splits rules by where their resources lie.
func apart(rules []rbacv1.PolicyRule) (cluster, namespaced []rbacv1.PolicyRule) {
	for _, r := range rules {
		of, in := r.DeepCopy(), r.DeepCopy()
		of.Resources = slices.DeleteFunc(of.Resources, func(name string) bool { return !ofTheCluster(name) })
		in.Resources = slices.DeleteFunc(in.Resources, ofTheCluster)
		if len(of.Resources) > 0 {
			cluster = append(cluster, *of)
		}
		if len(in.Resources) > 0 {
			namespaced = append(namespaced, *in)
		}
	}
	return cluster, namespaced
}

func writeRules(name string, rules []rbacv1.PolicyRule) error {
	list, err := yaml.Marshal(rules)
	if err != nil {
		return err
	}
	return write(name, list)
}

// monitoring writes the groups of alerts and the dashboard.
func monitoring(to string) error {
	text, err := os.ReadFile("config/monitoring/prometheus_rule.yaml")
	if err != nil {
		return err
	}
	var rule struct {
		Spec struct {
			Groups []any `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &rule); err != nil {
		return err
	}
	groups, err := yaml.Marshal(rule.Spec.Groups)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(to, "groups.yaml"), groups); err != nil {
		return err
	}
	dashboard, err := os.ReadFile("config/monitoring/dashboard.json")
	if err != nil {
		return err
	}
	return write(filepath.Join(to, "dashboard.json"), dashboard)
}

func write(name string, text []byte) error {
	return os.WriteFile(name, text, 0o644) //nolint:gosec // a file of the repository
}
