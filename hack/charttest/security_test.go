package charttest

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// rights are what a role gives, as "group/resource verb", with the names that a rule is limited to.
func rights(role *unstructured.Unstructured) map[string]bool {
	out := map[string]bool{}
	rules, _ := role.Object["rules"].([]any)
	for _, r := range rules {
		rule := r.(map[string]any)
		for _, group := range texts(rule["apiGroups"]) {
			for _, resource := range texts(rule["resources"]) {
				for _, verb := range texts(rule["verbs"]) {
					out[group+"/"+resource+strings.Join(append([]string{""}, texts(rule["resourceNames"])...), ":")+" "+verb] = true
				}
			}
		}
	}
	return out
}

func texts(list any) []string {
	out := []string{}
	all, _ := list.([]any)
	for _, v := range all {
		out = append(out, v.(string))
	}
	return out
}

// Kubernetes' own judge of pods finds every one restricted, whatever the options, also those of hooks.
func TestEveryPodIsRestricted(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for name, o := range options() {
		judged := 0
		all := mustRender(t, system, o.set)
		for key, w := range all {
			spec := pod(w)
			if spec == nil {
				continue
			}
			judged++
			raw, err := json.Marshal(spec)
			if err != nil {
				t.Fatal(err)
			}
			var typed corev1.PodSpec
			if err := json.Unmarshal(raw, &typed); err != nil {
				t.Fatal(err)
			}
			for _, r := range judge.EvaluatePod(level, &metav1.ObjectMeta{}, &typed) {
				if !r.Allowed {
					t.Errorf("%s, %s: %s (%s)", name, key, r.ForbiddenReason, r.ForbiddenDetail)
				}
			}
			hardened(t, name+", "+key, typed)
		}
		if judged != 4 { // server, operator, bootstrap, release
			t.Errorf("%s: %d pods", name, judged)
		}
	}
}

// hardened is what we ask for beyond "restricted".
func hardened(t *testing.T, what string, spec corev1.PodSpec) {
	t.Helper()
	for _, c := range spec.Containers {
		if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Errorf("%s: its file system can be written to", what)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s: resources %v", what, c.Resources)
		}
		for _, m := range c.VolumeMounts {
			if v := m.MountPath; strings.HasPrefix(v, "/var/run/") && !m.ReadOnly {
				t.Errorf("%s: %s can be written to", what, v)
			}
		}
	}
	if spec.ServiceAccountName == "" || spec.ServiceAccountName == "default" {
		t.Errorf("%s has no identity of its own", what)
	}
	for _, v := range spec.Volumes {
		if s := v.Secret; s != nil && v.Name != "ca" && (s.DefaultMode == nil || *s.DefaultMode != 0o440) {
			t.Errorf("%s: volume %s is open to others", what, v.Name)
		}
	}
}

// Who may edit a namespace may edit our objects in it, who may view it may view them; what lies in no namespace,
// such as a VaultPolicy, grants rights and is in no role that aggregates.
func TestAggregatedRoles(t *testing.T) {
	all := mustRender(t, system, options()["everything"].set)
	edit, view := map[string]bool{}, map[string]bool{}
	for _, o := range all {
		into := map[string]map[string]bool{"edit": edit, "view": view}
		for label, on := range o.GetLabels() {
			name, ok := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-")
			if !ok || on != "true" || into[name] == nil {
				continue
			}
			for r := range rights(o) {
				into[name][r] = true
			}
		}
	}
	kinds := 0
	for _, o := range all {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		kinds++
		resource := "scaivault.io/" + dig(o.Object, "spec", "names", "plural").(string)
		namespaced := dig(o.Object, "spec", "scope") == "Namespaced"
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} {
			if edit[resource+" "+verb] != namespaced {
				t.Errorf("edit: %s %s is %v", resource, verb, !namespaced)
			}
			if reads := verb == "get" || verb == "list" || verb == "watch"; view[resource+" "+verb] != (namespaced && reads) {
				t.Errorf("view: %s %s is %v", resource, verb, !(namespaced && reads))
			}
		}
		if edit[resource+"/status patch"] || edit[resource+"/status update"] {
			t.Errorf("who edits may write what the operator reports of %s", resource)
		}
	}
	if kinds < 2 || len(edit) == 0 || len(view) == 0 {
		t.Errorf("%d kinds, %v, %v", kinds, edit, view)
	}
	for r := range edit {
		if !strings.HasPrefix(r, "scaivault.io/") {
			t.Errorf("edit gives %s", r)
		}
	}
}

// No part has a right that it has no use for: nobody may do everything, change roles, or run something in pods.
func TestNoRoleIsTooWide(t *testing.T) {
	for key, o := range mustRender(t, system, options()["everything"].set) {
		if o.GetKind() != "Role" && o.GetKind() != "ClusterRole" {
			continue
		}
		if len(rights(o)) == 0 {
			t.Errorf("%s gives nothing", key)
		}
		for r := range rights(o) {
			if strings.HasPrefix(r, "certificates.k8s.io/signers:") || strings.HasPrefix(r, "cert-manager.io/signers:") {
				r = strings.NewReplacer(":clusterpkiissuers.scaivault.io/*", "", ":pkiissuers.scaivault.io/*", "").Replace(r) // any issuer of ours
			}
			if strings.Contains(r, "*") || strings.Contains(r, "rbac.authorization.k8s.io") || strings.Contains(r, "pods/") || strings.Contains(r, "impersonate") {
				t.Errorf("%s gives %s", key, r)
			}
		}
	}
}
