package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// apart asks the API server whether the operator's rules are split where it says that resources lie: a rule of a Role
// for what lies in no namespace gives nothing.
func (w *world) apart() {
	w.Helper()
	for file, namespaced := range map[string]string{"operator-namespaced.yaml": "true", "operator-cluster.yaml": "false"} {
		known := strings.Fields(w.kubectl("api-resources", "--namespaced="+namespaced, "-o", "name"))
		text, err := os.ReadFile(filepath.Join(chart(), "files/rules", file))
		w.must(err)
		var rules []rbacv1.PolicyRule
		w.must(yaml.UnmarshalStrict(text, &rules))
		if len(rules) < 3 {
			w.Errorf("%s has %d rules", file, len(rules))
		}
		for _, r := range rules {
			for _, resource := range r.Resources {
				name, _, _ := strings.Cut(resource, "/")
				if r.APIGroups[0] != "" {
					name += "." + r.APIGroups[0]
				}
				if !slices.Contains(known, name) && unknown()[name] != namespaced {
					w.Errorf("%s: %s is elsewhere", file, name)
				}
			}
		}
	}
}

// unknown are resources of which this API server has no definition, and whether they lie in namespaces: cert-manager is
// not installed here, and signers are names that authorization alone knows.
func unknown() map[string]string {
	return map[string]string{
		"certificaterequests.cert-manager.io": "true", "certificates.cert-manager.io": "true", "signers.certificates.k8s.io": "false",
	}
}
