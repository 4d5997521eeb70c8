package controllers_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/test/controlplane"
)

const oneSource = "sources: [{name: db, path: app/db}]\n"

// The API server accepts what the documentation shows and refuses the rest with a message that says
// what to do.
func TestVaultSecretSchema(t *testing.T) {
	refuse(t, "vaultsecrets", []schemaCase{
		{name: "smallest", spec: oneSource},
		{name: "full", spec: `
serviceAccountName: billing-prod
sources: [{name: db, path: environments/production/billing/database, version: 3}]
data:
- {key: DB_URL, from: {source: db, field: url}}
- {key: store.p12, from: {source: db, field: p12, decode: Base64, optional: true}}
- {key: app.yaml, template: "dsn: {{ .db.url }}"}
dataFrom: [{source: db, keyFormat: "{name}_{field}", include: ["stripe*"], exclude: []}]
target: {name: billing, type: Opaque, labels: {team: pay}, annotations: {note: "any text"}, immutable: true}
whenDeleted: Retain
whenSourceMissing: Delete
restart: {mode: Listed, workloads: [{kind: Deployment, name: a}, {kind: StatefulSet, name: a}, {kind: DaemonSet, name: a}], debounce: 1m}
refreshPods: Immediate
refreshInterval: 1h30m
suspend: true
`},
		{name: "prefix", spec: "sources: [{name: all, pathPrefix: environments/production/billing/}]\ndataFrom: [{source: all, keyFormat: '{name}_{field}'}]\n"},
		{name: "prefix and path", spec: "sources: [{name: all, path: a, pathPrefix: a/}]", want: "exactly one of path and pathPrefix"},
		{name: "neither prefix nor path", spec: "sources: [{name: all}]", want: "exactly one of path and pathPrefix"},
		{name: "prefix without slash", spec: "sources: [{name: all, pathPrefix: a/b}]", want: "each followed by a single slash"},
		{name: "the prefix of everything", spec: "sources: [{name: all, pathPrefix: /}]", want: "spec.sources[0].pathPrefix"},
		{name: "prefix with a pattern", spec: "sources: [{name: all, pathPrefix: 'a/*/'}]", want: "each followed by a single slash"},
		{name: "prefix of ten segments", spec: "sources: [{name: all, pathPrefix: a/b/c/d/e/f/g/h/i/j/}]", want: "one to nine segments"},
		{name: "version of a prefix", spec: "sources: [{name: all, pathPrefix: a/, version: 1}]", want: "cannot be set with pathPrefix"},
		{name: "field of a prefix", spec: "sources: [{name: all, pathPrefix: a/}]\ndata: [{key: a, from: {source: all, field: x}}]", want: "that source must have a path"},
		{name: "restart of consumers", spec: oneSource + "restart: {mode: Consumers}\nrefreshPods: Kubelet"},
		{name: "restart of none", spec: oneSource + "restart: {mode: None}"},
		{name: "restart without a mode", spec: oneSource + "restart: {debounce: 10s}", want: "spec.restart.mode"},
		{name: "restart mode", spec: oneSource + "restart: {mode: All}", want: "Unsupported value"},
		{name: "list without workloads", spec: oneSource + "restart: {mode: Listed}", want: "workloads must name at least one workload for mode Listed"},
		{name: "empty list", spec: oneSource + "restart: {mode: Listed, workloads: []}", want: "workloads must name at least one workload for mode Listed"},
		{name: "workloads for consumers", spec: oneSource + "restart: {mode: Consumers, workloads: [{kind: Deployment, name: a}]}", want: "none for another mode"},
		{name: "workload of another namespace", spec: oneSource + "restart: {mode: Listed, workloads: [{kind: Deployment, name: a, namespace: b}]}", want: "unknown field"},
		{name: "a CronJob has nothing to restart", spec: oneSource + "restart: {mode: Listed, workloads: [{kind: CronJob, name: a}]}", want: "Unsupported value"},
		{name: "a workload twice", spec: oneSource + "restart: {mode: Listed, workloads: [{kind: Deployment, name: a}, {kind: Deployment, name: a}]}", want: "Duplicate value"},
		{name: "no debounce", spec: oneSource + "restart: {mode: Consumers, debounce: 0s}", want: "must be a positive duration"},
		{name: "refreshPods", spec: oneSource + "refreshPods: Never", want: "Unsupported value"},
		{name: "no sources", spec: "sources: []", want: "spec.sources"},
		{name: "missing sources", spec: "suspend: true", want: "spec.sources"},
		{name: "upper case path", spec: "sources: [{name: db, path: App/DB}]", want: "must be one to ten segments"},
		{name: "path with dots", spec: "sources: [{name: db, path: a/../b}]", want: "must be one to ten segments"},
		{name: "leading slash", spec: "sources: [{name: db, path: /a}]", want: "leading or trailing slash"},
		{name: "eleven segments", spec: "sources: [{name: db, path: a/b/c/d/e/f/g/h/i/j/k}]", want: "one to ten segments"},
		{name: "reserved segment", spec: "sources: [{name: db, path: a/versions}]", want: "reserved segment"},
		{name: "two of one name", spec: "sources: [{name: db, path: a}, {name: db, path: b}]", want: "Duplicate value"},
		{name: "source name", spec: "sources: [{name: 1db, path: a}]", want: "must start with a-z"},
		{name: "version 0", spec: "sources: [{name: db, path: a, version: 0}]", want: "greater than or equal to 1"},
		{name: "unknown source in data", spec: oneSource + "data: [{key: a, from: {source: nope, field: x}}]", want: "must be the name of one of spec.sources"},
		{name: "unknown source in dataFrom", spec: oneSource + "dataFrom: [{source: nope}]", want: "must be the name of one of spec.sources"},
		{name: "from and template", spec: oneSource + `data: [{key: a, from: {source: db, field: x}, template: text}]`, want: "exactly one of from and template"},
		{name: "neither", spec: oneSource + `data: [{key: a}]`, want: "exactly one of from and template"},
		{name: "key", spec: oneSource + `data: [{key: "a/b", template: text}]`, want: "letters, digits, -, . and _ only"},
		{name: "key of the parent", spec: oneSource + `data: [{key: "..data", template: text}]`, want: "neither be . nor start with .."},
		{name: "hidden file", spec: oneSource + `data: [{key: ".env", template: text}]`},
		{name: "mode", spec: oneSource + "target: {mode: Shared, type: Opaque, labels: {team: pay}}"},
		{name: "mode of another name", spec: oneSource + "target: {mode: Merge}", want: "Unsupported value"},
		{name: "shared and immutable", spec: oneSource + "target: {mode: Shared, immutable: true}", want: "a Shared target cannot be immutable"},
		{name: "shared mark", spec: oneSource + `target: {annotations: {scaivault.io/keys.0011223344: x}}`, want: "not allowed on a target"},
		{name: "decode", spec: oneSource + `data: [{key: a, from: {source: db, field: x, decode: Hex}}]`, want: "Base64"},
		{name: "key format", spec: oneSource + `dataFrom: [{source: db, keyFormat: "{name}"}]`, want: "must contain {field}"},
		{name: "key format with slash", spec: oneSource + `dataFrom: [{source: db, keyFormat: "{field}/x"}]`, want: "must contain {field}"},
		{name: "duration", spec: oneSource + "refreshInterval: soon", want: "must be a positive duration"},
		{name: "duration zero", spec: oneSource + "refreshInterval: 0s", want: "must be a positive duration"},
		{name: "duration of days", spec: oneSource + "refreshInterval: 90d"},
		{name: "label of Kubernetes", spec: oneSource + "target: {labels: {app.kubernetes.io/name: x}}", want: "not allowed on a target"},
		{name: "label of Helm", spec: oneSource + "target: {labels: {helm.sh/chart: x}}", want: "not allowed on a target"},
		{name: "annotation of a replicator", spec: oneSource + `target: {annotations: {replicator.v1.mittwald.de/replicate-to: "*"}}`, want: "not allowed on a target"},
		{name: "annotation of a reflector", spec: oneSource + `target: {annotations: {reflector.v1.k8s.emberstack.com/reflection-allowed: "true"}}`, want: "not allowed on a target"},
		{name: "our own annotation", spec: oneSource + `target: {annotations: {scaivault.io/adopt: x}}`, want: "not allowed on a target"},
		{name: "whenDeleted", spec: oneSource + "whenDeleted: Orphan", want: "Unsupported value"},
		{name: "mistake 15: service account token", spec: oneSource + "target: {type: kubernetes.io/service-account-token}", want: "never written"},
		{name: "mistake 17: no file or URL field", spec: oneSource + "vaultURL: https://evil.example", want: "unknown field"},
		{name: "mistake 17: a file as path", spec: "sources: [{name: db, path: '/var/run/secrets/kubernetes.io/serviceaccount/token'}]", want: "leading or trailing slash"},
		{name: "mistake 17: a URL as path", spec: "sources: [{name: db, path: 'http://169.254.169.254/latest'}]", want: "must be one to ten segments"},
	})
}

// The API server refuses a VaultPolicy that cannot mean what it says.
func TestVaultPolicySchema(t *testing.T) {
	const rule = "rules: [{paths: ['app/**'], permissions: [read]}]\n"
	refuse(t, "vaultpolicies", []schemaCase{
		{name: "smallest", spec: rule},
		{name: "full", spec: `
rules:
- paths: ["environments/production/{namespace}/**"]
  permissions: [read, list]
  when: {ipRanges: [10.0.0.0/8], mfa: Required, timeWindow: {days: [mon], start: "08:00", end: "18:00", timeZone: Europe/Amsterdam}}
- {paths: ["pki:web-*"], permissions: [issue]}
- {paths: ["dynamic:postgres/**"], permissions: [generate]}
subjects:
- {kind: ServiceAccount, namespace: billing, name: billing-prod}
- {kind: ServiceAccounts, namespaceSelector: {matchLabels: {team: pay}}, name: app}
- {kind: Identity, type: group, name: "group:ops", expiresAt: "2036-12-31T00:00:00Z"}
`},
		{name: "no rules", spec: "rules: []", want: "spec.rules"},
		{name: "leading slash", spec: "rules: [{paths: ['/app/**'], permissions: [read]}]", want: "without a leading"},
		{name: "unknown class", spec: "rules: [{paths: ['ssh:app/**'], permissions: [read]}]", want: "must be [pki:|dynamic:|partner:]pattern"},
		{name: "unknown permission", spec: "rules: [{paths: ['app/**'], permissions: [sudo]}]", want: "Unsupported value"},
		{name: "mistake 11: empty permissions", spec: "rules: [{paths: ['app/**'], permissions: []}]", want: "permissions"},
		{name: "mistake 11: empty networks", spec: "rules: [{paths: [a], permissions: [read], when: {ipRanges: []}}]", want: "ipRanges"},
		{name: "mistake 11: empty days", spec: "rules: [{paths: [a], permissions: [read], when: {timeWindow: {days: [], start: '08:00', end: '18:00'}}}]", want: "days"},
		{name: "issue on secrets", spec: "rules: [{paths: ['app/**'], permissions: [issue]}]", want: "needs paths of class pki"},
		{name: "generate on secrets", spec: "rules: [{paths: ['app/**'], permissions: [generate]}]", want: "needs paths of class dynamic"},
		{name: "no network", spec: "rules: [{paths: ['a'], permissions: [read], when: {ipRanges: [everywhere]}}]", want: "must be a network"},
		{name: "account without namespace", spec: rule + "subjects: [{kind: ServiceAccount, name: a}]", want: "namespace is required"},
		{name: "selector with namespace", spec: rule + "subjects: [{kind: ServiceAccounts, name: a, namespace: b, namespaceSelector: {}}]", want: "namespace is required with kind ServiceAccount"},
		{name: "selector missing", spec: rule + "subjects: [{kind: ServiceAccounts, name: a}]", want: "namespaceSelector is required"},
		{name: "identity without type", spec: rule + "subjects: [{kind: Identity, name: 'user:a@example.com'}]", want: "type is required"},
		{name: "system identity", spec: rule + "subjects: [{kind: Identity, type: user, name: 'system:rotation'}]", want: "cannot be bound"},
		{name: "mistake 6: metacharacters in a name", spec: rule + "subjects: [{kind: ServiceAccount, namespace: a, name: '*'}]", want: "must be the name of a ServiceAccount"},
	})
}

type schemaCase struct{ name, spec, want string }

func refuse(t *testing.T, resource string, cases []schemaCase) {
	t.Helper()
	p := controlplane.Start(t)
	p.InstallCRDs(t)
	ns := ""
	if resource != "vaultpolicies" && resource != "clusterpkiissuers" {
		ns = p.Namespace(t, "schema", nil)
	}
	client := dynamic.NewForConfigOrDie(p.Config).Resource(v1alpha1.GroupVersion.WithResource(resource)).Namespace(ns)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			obj := object(t, resource, c.spec)
			_, err := client.Create(t.Context(), obj, metav1.CreateOptions{DryRun: []string{"All"}, FieldValidation: "Strict"})
			switch {
			case c.want == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("got %v, want a refusal that says %q", err, c.want)
			}
		})
	}
}

func object(t *testing.T, resource, spec string) *unstructured.Unstructured {
	t.Helper()
	var s map[string]any
	if err := yaml.Unmarshal([]byte(spec), &s); err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{Object: map[string]any{"spec": s}}
	obj.SetAPIVersion(v1alpha1.GroupVersion.String())
	obj.SetKind(kindOf()[resource])
	obj.SetName("it")
	return obj
}

// kindOf are our kinds by resource.
func kindOf() map[string]string {
	return map[string]string{
		"vaultsecrets": "VaultSecret", "vaultpolicies": "VaultPolicy", "rotationschedules": "RotationSchedule",
		"pkiissuers": "PKIIssuer", "clusterpkiissuers": "ClusterPKIIssuer",
	}
}

// No default is written into a spec: what was applied reads back unchanged, or Argo CD shows every
// object as out of sync for ever.
func TestNothingIsDefaultedIntoSpec(t *testing.T) {
	p := controlplane.Start(t)
	p.InstallCRDs(t)
	client := dynamic.NewForConfigOrDie(p.Config).Resource(v1alpha1.GroupVersion.WithResource("vaultsecrets")).Namespace("default")
	got, err := client.Create(t.Context(), object(t, "vaultsecrets", oneSource), metav1.CreateOptions{DryRun: []string{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	spec, _, _ := unstructured.NestedMap(got.Object, "spec")
	if b, _ := yaml.Marshal(spec); string(b) != "sources:\n- name: db\n  path: app/db\n" {
		t.Fatalf("spec became\n%s", b)
	}
}
