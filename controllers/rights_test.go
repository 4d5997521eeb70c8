package controllers_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// These tests read what is installed; what the API server makes of it is tested in schema_test.go.

// decode reads every document of a file below config.
func decode[T any](t *testing.T, file string) (out []T) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "config", file))
	if err != nil {
		t.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(raw), "\n---\n") {
		var v T
		if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// Mistake 17: a path that a tenant had chosen was read with the operator's rights and sent to a URL that the tenant
// had chosen. No field of a spec names a file, an address or a program. Whoever adds one of such a name has to say
// here why it is none.
func TestMistake17NoFieldNamesAFileOrURL(t *testing.T) {
	suspicious := regexp.MustCompile(`(?i)(path|file|dir|url|uri|host|server|address|endpoint|port|proxy|socket|ca(bundle|cert|data)|provider|command|exec|plugin)`)
	ofTheVault := []string{
		"VaultSecret.spec.sources[].path", // segments of a-z, 0-9, -, _ and . only, as the API server checks
		"VaultSecret.spec.sources[].pathPrefix",
		"VaultPolicy.spec.rules[].paths", // patterns of such
		"RotationSchedule.spec.secrets.paths", "RotationSchedule.spec.secrets.pathPattern",
	}
	var met []string
	for _, file := range []string{
		"crd/scaivault.io_vaultsecrets.yaml", "crd/scaivault.io_vaultpolicies.yaml", "crd/scaivault.io_rotationschedules.yaml",
		"crd/scaivault.io_pkiissuers.yaml", "crd/scaivault.io_clusterpkiissuers.yaml",
	} {
		for _, crd := range decode[apiextensionsv1.CustomResourceDefinition](t, file) {
			for _, v := range crd.Spec.Versions {
				spec := v.Schema.OpenAPIV3Schema.Properties["spec"]
				for _, field := range fields(crd.Spec.Names.Kind+".spec", spec) {
					name := field[strings.LastIndexByte(field, '.')+1:]
					if !suspicious.MatchString(name) {
						continue
					}
					if met = append(met, field); !slices.Contains(ofTheVault, field) {
						t.Errorf("%s: does the operator open what it names?", field)
					}
				}
			}
		}
	}
	slices.Sort(met)
	if want := slices.Sorted(slices.Values(ofTheVault)); !slices.Equal(met, want) {
		t.Errorf("fields that look so: %v, want %v", met, want)
	}
}

// fields lists the fields below a schema, dotted.
func fields(at string, s apiextensionsv1.JSONSchemaProps) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		below := s.Properties[name]
		out = append(append(out, at+"."+name), fields(at+"."+name, below)...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		out = append(out, fields(at+"[]", *s.Items.Schema)...)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		out = append(out, fields(at+"{}", *s.AdditionalProperties.Schema)...)
	}
	return out
}

// Mistake 61: a finalizer on a namespace that was not the operator's kept it from ending. Of what is not its own the
// operator may write Secrets, which are what it is for, tokens, events, and annotations of workloads, and so it can
// hold nothing else back.
func TestMistake61RightsOverWhatIsNotOurs(t *testing.T) {
	allowed := []string{
		"secrets create", "secrets delete", "secrets patch", // with force and preconditions; never a finalizer: TestMistake42
		"serviceaccounts/token create", "events create", "events patch",
		"daemonsets patch", "deployments patch", "statefulsets patch", // admission keeps this to annotations scaivault.io/restart.*
		"certificaterequests/status patch",        // cert-manager's webhook keeps approvals from it
		"certificatesigningrequests/status patch", // Kubernetes wants the next one for certificates, and keeps approvals apart
		"signers sign",                // of our names
		"subjectaccessreviews create", // a question
	}
	var got []string
	for _, role := range decode[rbacv1.ClusterRole](t, "rbac/role.yaml") {
		if role.Kind != "ClusterRole" {
			continue // the Role is about the operator's own namespace
		}
		for _, rule := range role.Rules {
			if slices.Equal(rule.APIGroups, []string{"scaivault.io"}) {
				continue
			}
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					if !slices.Contains([]string{"get", "list", "watch"}, verb) {
						got = append(got, fmt.Sprint(resource, " ", verb))
					}
				}
			}
		}
	}
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(allowed)); !slices.Equal(got, want) {
		t.Errorf("the operator may\n%v\nwant\n%v", got, want)
	}
}

// Of its own kinds the operator writes the status, and nothing by which it could give itself a right or keep an object
// from ending.
func TestRightsOverOurKinds(t *testing.T) {
	for _, role := range decode[rbacv1.ClusterRole](t, "rbac/role.yaml") {
		for _, rule := range role.Rules {
			if !slices.Contains(rule.APIGroups, "scaivault.io") {
				continue
			}
			for _, verb := range rule.Verbs {
				writes := !slices.Contains([]string{"get", "list", "watch"}, verb)
				if status := func(r string) bool { return strings.HasSuffix(r, "/status") }; writes && slices.ContainsFunc(rule.Resources, func(r string) bool { return !status(r) }) {
					t.Errorf("it may %s %v", verb, rule.Resources)
				}
			}
		}
	}
}
