package charttest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// option is one thing that chart and config both offer.
type option struct {
	components []string // of config, beside config/default
	set        values   // of the chart
}

// options are the installs that chart and config must agree on.
func options() map[string]option {
	enabled := values{"enabled": true}
	webhook := values{"webhook": enabled}
	monitoring := values{"monitoring": values{"serviceMonitors": enabled, "alerts": enabled, "dashboard": enabled}}
	refresh := values{"refreshPods": true}
	postgres := values{"server": values{"replicas": 2, "database": values{"secretName": "scaivault-database"}}}
	return map[string]option{
		"default":        {},
		"webhook":        {components: []string{"webhook"}, set: webhook},
		"monitoring":     {components: []string{"monitoring"}, set: monitoring},
		"refreshed pods": {components: []string{"refresh-pods"}, set: values{"operator": refresh}},
		"postgres":       {components: []string{"postgres"}, set: postgres},
		"everything": {
			components: []string{"refresh-pods", "webhook", "monitoring", "postgres"},
			set:        values{"operator": refresh, "webhook": webhook["webhook"], "monitoring": monitoring["monitoring"], "server": postgres["server"]},
		},
	}
}

// With the same options, charts/scaivault and config are the same install.
func TestChartIsTheInstall(t *testing.T) {
	for name, o := range options() {
		t.Run(name, func(t *testing.T) {
			want := kustomized(t, "default", o.components...)
			delete(want, "Namespace/"+system) // helm install --create-namespace
			set := values{"image": values{"tag": "latest"}, "release": values{"enabled": false}}
			for k, v := range o.set {
				set[k] = v
			}
			got := mustRender(t, system, set)
			if len(want) < 20 {
				t.Fatalf("config has %d objects only", len(want))
			}
			if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
				t.Fatalf("config and charts/scaivault differ; change both or run make generate (-config +chart)\n%s", diff)
			}
		})
	}
}

// The hook before an uninstall is the job of config/release.
func TestHookIsTheReleaseJob(t *testing.T) {
	job := mustRender(t, system, values{"image": values{"tag": "latest"}}).job(t, "scaivault-release")
	if a := job.GetAnnotations(); a["helm.sh/hook"] != "pre-delete" || a["helm.sh/hook-delete-policy"] != "before-hook-creation,hook-succeeded" {
		t.Errorf("hook: %v", a)
	}
	if diff := cmp.Diff(plain(kustomized(t, "release")), plain(objects{"": job})); diff != "" {
		t.Fatalf("(-config +chart)\n%s", diff)
	}
}

// Definitions outlive the release, everything says whose it is, and nothing that must outlive it is part of it.
func TestHelmsOwn(t *testing.T) {
	kept := 0
	for key, o := range mustRender(t, system, options()["everything"].set) {
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
		if o.GetKind() == "Secret" || o.GetKind() == "PersistentVolumeClaim" {
			t.Errorf("%s would be lost with the release", key)
		}
	}
	if kept < 2 {
		t.Errorf("%d definitions", kept)
	}
}

// Nothing but descriptions names a namespace that the release is not in.
func TestAnotherNamespace(t *testing.T) {
	for key, o := range mustRender(t, "elsewhere", options()["everything"].set) {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		if o.GetKind() != "CustomResourceDefinition" && strings.Contains(string(text), system) {
			t.Errorf("%s:\n%s", key, text)
		}
	}
}

// A Job cannot be changed: another image is another Job, the same one is the same.
func TestUpgradeMakesAnotherJob(t *testing.T) {
	names := map[string]bool{}
	for _, tag := range []string{"v1", "v2", "v2"} {
		names[mustRender(t, "ns", values{"image": values{"tag": tag}}).job(t, "scaivault-bootstrap").GetName()] = true
	}
	if len(names) != 2 {
		t.Errorf("two images gave Jobs %v", names)
	}
}
