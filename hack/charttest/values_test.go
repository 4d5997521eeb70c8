package charttest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// What every part takes reaches every part.
func TestImageAndResources(t *testing.T) {
	limit := func(memory string) values { return values{"limits": values{"memory": memory}} }
	got := mustRender(t, "ns", values{
		"image":            values{"repository": "registry.local/scaivault", "tag": "v9", "pullPolicy": "Always"},
		"imagePullSecrets": []any{values{"name": "registry"}},
		"server":           values{"resources": limit("2Gi")},
		"operator":         values{"resources": limit("3Gi")},
		"bootstrap":        values{"resources": limit("4Gi")},
		"release":          values{"resources": limit("5Gi")},
	})
	for memory, o := range map[string]*unstructured.Unstructured{
		"2Gi": got["StatefulSet/scaivault-server"], "3Gi": got["Deployment/scaivault-operator"],
		"4Gi": got.job(t, "scaivault-bootstrap"), "5Gi": got.job(t, "scaivault-release"),
	} {
		want := values{"image": "registry.local/scaivault:v9", "policy": "Always", "memory": memory, "pull": []any{values{"name": "registry"}}}
		if diff := cmp.Diff(want, values{
			"image": container(o)["image"], "policy": container(o)["imagePullPolicy"],
			"memory": dig(container(o), "resources", "limits", "memory"), "pull": pod(o)["imagePullSecrets"],
		}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", o.GetName(), diff)
		}
	}
}

// Where the pods run and with which further flags is the user's.
func TestPlacementAndArgs(t *testing.T) {
	part := func(flag string) values {
		return values{
			"args": []any{flag}, "priorityClassName": "high", "nodeSelector": values{"disk": "fast"},
			"tolerations": []any{values{"key": "dedicated", "operator": "Exists"}},
			"affinity":    values{"nodeAffinity": values{"preferredDuringSchedulingIgnoredDuringExecution": []any{}}},
		}
	}
	got := mustRender(t, "ns", values{"server": part("--rate-limit=read_secrets=5000"), "operator": part("--concurrency=32")})
	for flag, o := range map[string]*unstructured.Unstructured{
		"--rate-limit=read_secrets=5000": got["StatefulSet/scaivault-server"], "--concurrency=32": got["Deployment/scaivault-operator"],
	} {
		if !slices.Contains(container(o)["args"].([]any), any(flag)) {
			t.Errorf("%s: args %v", o.GetName(), container(o)["args"])
		}
		p := pod(o)
		if p["priorityClassName"] != "high" || dig(p, "nodeSelector", "disk") != "fast" || len(p["tolerations"].([]any)) != 1 || dig(p, "affinity", "nodeAffinity") == nil {
			t.Errorf("%s is placed by %v %v %v %v", o.GetName(), p["priorityClassName"], p["nodeSelector"], p["tolerations"], p["affinity"])
		}
	}
}

func TestEmbeddedDatabase(t *testing.T) {
	got := mustRender(t, "ns", values{"server": values{"storage": values{"size": "20Gi", "storageClassName": "fast"}}})
	claim := dig(got["StatefulSet/scaivault-server"].Object, "spec").(map[string]any)["volumeClaimTemplates"].([]any)[0].(map[string]any)
	if dig(claim, "spec", "storageClassName") != "fast" || dig(claim, "spec", "resources", "requests", "storage") != "20Gi" {
		t.Errorf("storage: %v", claim)
	}
}

// PostgreSQL's URL is in no manifest and on no command line.
func TestPostgres(t *testing.T) {
	got := mustRender(t, "ns", values{"server": values{"replicas": 3, "database": values{"secretName": "pg", "urlKey": "uri", "directUrlKey": "direct", "port": 6432}}})
	if got["StatefulSet/scaivault-server"] != nil {
		t.Error("an embedded database beside PostgreSQL")
	}
	server := got["Deployment/scaivault-server"]
	want := []any{
		values{"name": "DATABASE_URL", "valueFrom": values{"secretKeyRef": values{"name": "pg", "key": "uri"}}},
		values{"name": "DATABASE_DIRECT_URL", "valueFrom": values{"secretKeyRef": values{"name": "pg", "key": "direct", "optional": true}}},
	}
	if diff := cmp.Diff(want, container(server)["env"]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, arg := range container(server)["args"].([]any) {
		if strings.HasPrefix(arg.(string), "--data-dir") || strings.HasPrefix(arg.(string), "--database") {
			t.Errorf("argument %s", arg)
		}
	}
	ports := []any{}
	for _, rule := range dig(got["NetworkPolicy/scaivault-server"].Object, "spec", "egress").([]any) {
		for _, p := range rule.(map[string]any)["ports"].([]any) {
			ports = append(ports, p.(map[string]any)["port"])
		}
	}
	if !slices.Contains(ports, any(float64(6432))) && !slices.Contains(ports, any(int64(6432))) {
		t.Errorf("the network policy opens %v", ports)
	}
}

// cert-manager's approver gets its verb as whoever it runs, for our issuers and no others, or not at all.
func TestApprover(t *testing.T) {
	const name = "ClusterRole/scaivault-cert-manager-approver"
	got := mustRender(t, "ns", values{"certManager": values{"approver": values{"namespace": "pki", "serviceAccountName": "cm"}}})
	rule := dig(got[name].Object, "rules").([]any)[0].(map[string]any)
	if diff := cmp.Diff([]any{"pkiissuers.scaivault.io/*", "clusterpkiissuers.scaivault.io/*"}, rule["resourceNames"]); diff != "" {
		t.Errorf("whose requests may be approved (-want +got)\n%s", diff)
	}
	subject := dig(got["ClusterRoleBinding/scaivault-cert-manager-approver"].Object, "subjects").([]any)[0].(map[string]any)
	if subject["namespace"] != "pki" || subject["name"] != "cm" {
		t.Errorf("bound to %v", subject)
	}
	if got := mustRender(t, "ns", values{"certManager": values{"approver": values{"enabled": false}}}); got[name] != nil {
		t.Error("not switched off")
	}
}

// With operator.namespaces no rule for what lies in a namespace is of a ClusterRole, and none is lost.
func TestNamespaces(t *testing.T) {
	served := []any{"billing", "ns", "shop"} // also the release's own
	got := mustRender(t, "ns", values{"operator": values{"namespaces": served}})
	whole := rights(mustRender(t, "ns", nil)["ClusterRole/scaivault-operator"])
	cluster := rights(got["ClusterRole/scaivault-operator"])
	for _, key := range []string{"Role/billing/scaivault-operator-served", "Role/scaivault-operator-served", "Role/shop/scaivault-operator-served"} {
		if got[key] == nil || got[strings.Replace(key, "Role", "RoleBinding", 1)] == nil {
			t.Fatalf("no %s or its binding", key)
		}
		namespaced := rights(got[key])
		both := slices.Sorted(maps.Keys(cluster))
		both = append(both, slices.Collect(maps.Keys(namespaced))...)
		slices.Sort(both)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(whole)), both); diff != "" {
			t.Errorf("%s (-ClusterRole +apart)\n%s", key, diff)
		}
	}
	for right := range cluster {
		if strings.Contains(right, "secret") || strings.Contains(right, "serviceaccount") {
			t.Errorf("%s in all namespaces", right)
		}
	}
	got = mustRender(t, "ns", values{"operator": values{"namespaces": served, "refreshPods": true}})
	if !rights(got["Role/shop/scaivault-operator-served"])["/pods patch"] || got["ClusterRole/scaivault-operator-refresh-pods"] != nil {
		t.Error("pods are refreshed in all namespaces, or in none")
	}
	for _, o := range mustRender(t, "ns", values{"operator": values{"namespaces": served, "policies": false}}) {
		if o.GetKind() == "ClusterRoleBinding" && strings.Contains(o.GetName(), "operator") {
			t.Errorf("without policies: %s", o.GetName())
		}
	}
	got = mustRender(t, "ns", values{"operator": values{"policies": false}})
	if r := rights(got["ClusterRole/scaivault-operator"]); r["scaivault.io/vaultpolicies list"] || !r["scaivault.io/vaultsecrets list"] {
		t.Errorf("without policies: %v", r)
	}
	got = mustRender(t, "ns", values{"operator": values{"namespaces": served}})
	for _, o := range []*unstructured.Unstructured{got["Deployment/scaivault-operator"], got.job(t, "scaivault-release")} {
		if args := container(o)["args"].([]any); !slices.Contains(args, any("--namespaces=billing,ns,shop")) || slices.Contains(args, any("--policies=false")) {
			t.Errorf("%s: args %v", o.GetName(), args)
		}
	}
	events := rights(got["Role/default/scaivault-operator-events"])
	if len(events) != 2 || !events["events.k8s.io/events patch"] {
		t.Errorf("in namespace default: %v", events)
	}
}

func TestNetworkPolicy(t *testing.T) {
	if got := mustRender(t, "ns", values{"networkPolicy": values{"enabled": false}}); got["NetworkPolicy/scaivault-server"] != nil || got["NetworkPolicy/scaivault-operator"] != nil {
		t.Error("not switched off")
	}
	client := values{"namespaceSelector": values{"matchLabels": values{"team": "pay"}}}
	scraper := values{"namespaceSelector": values{"matchLabels": values{"kubernetes.io/metadata.name": "monitoring"}}}
	own := values{"podSelector": values{"matchLabels": values{"app.kubernetes.io/name": "scaivault"}}}
	got := mustRender(t, "ns", values{
		"networkPolicy": values{"clients": []any{client}, "apiServerPorts": []any{16443}, "serverEgress": []any{values{"to": []any{client}}}},
		"monitoring":    values{"serviceMonitors": values{"enabled": true}},
	})
	spec := dig(got["NetworkPolicy/scaivault-server"].Object, "spec").(map[string]any)
	in := spec["ingress"].([]any)[0].(map[string]any)
	if diff := cmp.Diff([]any{own, client, scraper}, in["from"]); diff != "" {
		t.Errorf("who reaches the vault (-want +got)\n%s", diff)
	}
	out, err := yaml.Marshal(spec["egress"])
	if err != nil {
		t.Fatal(err)
	}
	if text := string(out); !strings.Contains(text, "16443") || strings.Contains(text, "port: 6443") || !strings.Contains(text, "team: pay") {
		t.Errorf("what the vault reaches:\n%s", text)
	}
}

// With public metrics nobody needs a token to scrape.
func TestPublicMetrics(t *testing.T) {
	monitors := values{"serviceMonitors": values{"enabled": true, "labels": values{"release": "prometheus"}, "interval": "15s"}}
	for public, want := range map[bool]bool{true: false, false: true} {
		got := mustRender(t, "ns", values{"server": values{"publicMetrics": public}, "monitoring": monitors})
		monitor := got["ServiceMonitor/scaivault-server"]
		endpoint := dig(monitor.Object, "spec", "endpoints").([]any)[0].(map[string]any)
		if has := dig(endpoint, "authorization", "credentials", "name") == "scaivault-metrics"; has != want || endpoint["interval"] != "15s" || monitor.GetLabels()["release"] != "prometheus" {
			t.Errorf("public %v: %v %v", public, endpoint, monitor.GetLabels())
		}
		if args := container(got["StatefulSet/scaivault-server"])["args"].([]any); slices.Contains(args, any("--public-metrics")) != public {
			t.Errorf("public %v: args %v", public, args)
		}
	}
}

// The addresses in certificates are under the public URL, which must be one.
func TestPublicURL(t *testing.T) {
	for _, public := range []string{"", "http://vault.example.com"} {
		got := mustRender(t, "ns", values{"server": values{"publicURL": public}})
		args := container(got["StatefulSet/scaivault-server"])["args"].([]any)
		if slices.Contains(args, any("--public-url="+public)) != (public != "") {
			t.Errorf("%q: args %v", public, args)
		}
	}
	if _, err := render(t, "ns", values{"server": values{"publicURL": "vault.example.com"}}); err == nil {
		t.Error("a URL without a scheme is taken")
	}
}

// Receivers of webhooks that are not public are allowed by name only.
func TestWebhookAllowPrivate(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		got := mustRender(t, "ns", values{"server": values{"webhookAllowPrivate": allowed}})
		if args := container(got["StatefulSet/scaivault-server"])["args"].([]any); slices.Contains(args, any("--webhook-allow-private")) != allowed {
			t.Errorf("allowed %v: args %v", allowed, args)
		}
	}
}

// What is misspelt, of another type or contradicts itself is refused before anything is applied.
func TestSchemaRefuses(t *testing.T) {
	for name, set := range map[string]values{
		"unknown value":                 {"imgae": values{"tag": "v1"}},
		"unknown below":                 {"operator": values{"replica": 2}},
		"text for a number":             {"operator": values{"replicas": "two"}},
		"tag with a digest":             {"image": values{"tag": "v1@sha256:0"}},
		"pull policy":                   {"image": values{"pullPolicy": "Sometimes"}},
		"quantity":                      {"server": values{"storage": values{"size": "ten"}}},
		"unknown resource":              {"server": values{"resources": values{"request": values{"cpu": "1"}}}},
		"replicas on one disk":          {"server": values{"replicas": 2}},
		"a database's URL":              {"server": values{"database": values{"secretName": "postgres://u:p@h/d"}}},
		"an argument that is no flag":   {"server": values{"args": []any{"token"}}},
		"a namespace with a comma":      {"operator": values{"namespaces": []any{"a,b"}}},
		"a namespace twice":             {"operator": values{"namespaces": []any{"a", "a"}}},
		"a namespace in place of all":   {"operator": values{"namespaces": "a"}},
		"no way to the API server":      {"networkPolicy": values{"apiServerPorts": []any{}}},
		"scrapers that are everybody":   {"monitoring": values{"serviceMonitors": values{"scrapers": []any{}}}},
		"a deadline that never comes":   {"release": values{"deadlineSeconds": 1 << 20}},
		"something that is not enabled": {"webhook": values{"enabled": "yes"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := render(t, "ns", set); err == nil || !strings.Contains(err.Error(), "values don't meet") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// values.yaml and its schema name the same values, so that each is checked.
func TestSchemaIsComplete(t *testing.T) {
	var set, schema map[string]any
	for file, into := range map[string]*map[string]any{"values.yaml": &set, "values.schema.json": &schema} {
		text, err := os.ReadFile(filepath.Join(root, "charts/scaivault", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Fatal(err)
		}
	}
	delete(schema["properties"].(map[string]any), "global")
	same(t, "values", set, schema)
}

// same compares what a schema's object and the values have, as deep as the schema names properties.
func same(t *testing.T, at string, set map[string]any, schema map[string]any) {
	t.Helper()
	known, ok := schema["properties"].(map[string]any)
	if !ok {
		return
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%s: the schema takes what it does not know", at)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(set)), slices.Sorted(maps.Keys(known))); diff != "" {
		t.Errorf("%s (-values +schema)\n%s", at, diff)
	}
	for name, below := range known {
		if inner, ok := set[name].(map[string]any); ok {
			same(t, at+"."+name, inner, below.(map[string]any))
		}
	}
}
