package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/vault"
)

// pluginDir is a directory with the plugin, under its own name and the one by which kubectl asks for completions.
var pluginDir = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kubectl-scaivault-")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(dir, "kubectl-scaivault"), "./cmd/kubectl-scaivault")
	cmd.Dir = controlplane.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return dir, os.Symlink("kubectl-scaivault", filepath.Join(dir, "kubectl_complete-scaivault"))
})

// person works with kubectl and the plugin: with the rights of his own in the cluster, and a token in the vault or
// none.
type person struct {
	*world
	kubeconfig string
	token      string
}

// admin may do everything, in the cluster and in the vault.
func (w *world) person(token string) person { return person{w, w.plane.Kubeconfig, token} }

// member holds a role of the cluster in the test's namespace.
func (w *world) member(role, token string) person {
	w.Helper()
	name := role + "-" + w.ns
	kubeconfig, err := w.plane.User(name)
	if err != nil {
		w.Fatal(err)
	}
	b := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}
	if _, err := w.core.RbacV1().RoleBindings(w.ns).Create(w.Context(), b, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	return person{w, kubeconfig, token}
}

// output is what a program printed and how it ended.
type output struct {
	stdout, stderr string
	code           int
}

// runs runs kubectl as the person. No value may be printed, whatever happens.
func (p person) runs(args ...string) output {
	p.Helper()
	dir, err := pluginDir()
	if err != nil {
		p.Fatal(err)
	}
	cmd := exec.CommandContext(p.Context(), filepath.Join(p.plane.Assets(), "kubectl"), args...)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + p.TempDir(), "KUBECONFIG=" + p.kubeconfig}
	if p.token != "" {
		cmd.Env = append(cmd.Env, "SCAIVAULT_URL="+p.vault.URL, "SCAIVAULT_TOKEN="+p.token)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.Fatal(err)
	}
	out := output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	for _, v := range p.values {
		if strings.Contains(out.stdout+out.stderr, v) {
			p.Errorf("kubectl %s printed the value %q", strings.Join(args, " "), v)
		}
	}
	return out
}

// plugin runs the plugin in the test's namespace, and fails unless it ends with a code and prints all parts.
func (p person) plugin(code int, args []string, parts ...string) output {
	p.Helper()
	out := p.runs(append([]string{"scaivault", "--namespace", p.ns}, args...)...)
	if out.code != code {
		p.Errorf("%v ended with %d, want %d", args, out.code, code)
	}
	for _, part := range parts {
		if !strings.Contains(out.stdout+out.stderr, part) {
			p.Errorf("%v does not print %q", args, part)
		}
	}
	if p.Failed() {
		p.Fatalf("%s%s", out.stdout, out.stderr)
	}
	return out
}

// shows decodes what the plugin prints for programs.
func (p person) shows(into any, args ...string) {
	p.Helper()
	out := p.plugin(0, append(args, "--json"))
	if err := json.Unmarshal([]byte(out.stdout), into); err != nil {
		p.Fatalf("%v: %v\n%s", args, err, out.stdout)
	}
}

// link is one link of the chain that why walks.
type link struct{ Link, Result, Detail, Next string }

type answer struct {
	Ready, Reason string
	Checks        []link
	BlockedBy     *link    `json:"blocked_by"`
	NotLookedAt   []string `json:"not_looked_at"`
}

func (a answer) result(name string) string {
	for _, c := range a.Checks {
		if c.Link == name {
			return c.Result
		}
	}
	return ""
}

// why fails unless the plugin names a link as what blocks, "" for none, and says all parts about it.
func (p person) why(name, blocks string, parts ...string) answer {
	p.Helper()
	var a answer
	p.shows(&a, "why", name)
	got := ""
	if a.BlockedBy != nil {
		got = a.BlockedBy.Link
		for _, part := range parts {
			if !strings.Contains(a.BlockedBy.Detail+" "+a.BlockedBy.Next, part) {
				p.Errorf("why %s: %+v does not hold %q", name, *a.BlockedBy, part)
			}
		}
		if a.BlockedBy.Next == "" {
			p.Errorf("why %s: no next step", name)
		}
	}
	if got != blocks {
		p.Fatalf("why %s: blocked by %q, want %q: %+v", name, got, blocks, a)
	}
	return a
}

// tokenOf is a token in the vault of a ServiceAccount of the test's namespace.
func (w *world) tokenOf(account string) string {
	w.Helper()
	subject, err := w.plane.ServiceAccountToken(w.Context(), w.ns, account, "scaivault")
	if err != nil {
		w.Fatal(err)
	}
	c, err := client.New(client.Options{BaseURL: w.vault.URL})
	if err != nil {
		w.Fatal(err)
	}
	got, err := c.Auth.Exchange(w.Context(), vaultapi.ExchangeRequest{SubjectToken: subject})
	if err != nil {
		w.Fatal(err)
	}
	return got.AccessToken
}

// The chain is walked with the rights of whoever asks, one thing is named, and what may not be seen is said.
func TestPluginWhy(t *testing.T) {
	w := running(t)
	admin, member := w.person(vault.Token), w.member("edit", "")
	path := w.path("billing/database")
	w.put(path, map[string]any{"url": w.value("first")})
	w.create("billing", path)
	w.is("billing", "False/AccessDenied")

	a := member.why("billing", "policy", "sa:"+w.ns+":app", path, "VaultPolicy")
	if a.result("service account") != "ok" || a.result("target") != "ok" || len(a.NotLookedAt) == 0 {
		t.Errorf("as a member: %+v", a)
	}
	member.plugin(0, []string{"why", "billing"}, "Blocked by policy: ", "Next: ", "Not looked at: the vault: no server is configured", "Not looked at: VaultPolicies: you may not see it")
	admin.why("billing", "policy", "sa:"+w.ns+":app may not read "+path+": access_denied", "let a VaultPolicy name ServiceAccount app of namespace "+w.ns)
	if a := admin.why("billing", "policy"); a.result("source") != "ok" {
		t.Errorf("as an administrator: %+v", a)
	}

	near := w.policy(patterns(w.path("elsewhere/**")), serviceAccount(w.ns, "app"))
	w.policyIs(near, "True/Applied")
	admin.why("billing", "policy", "policy home."+near.Name+" comes nearest: its "+w.path("elsewhere/**")+" covers other paths")
	w.person("").why("billing", "policy", "VaultPolicy "+near.Name+" comes nearest: its "+w.path("elsewhere/**")+" covers other paths")
	limited := w.person(w.tokenOf("app"))
	a = limited.why("billing", "policy", "VaultPolicy "+near.Name+" comes nearest")
	if !strings.Contains(strings.Join(a.NotLookedAt, " "), "insufficient_scope") {
		t.Errorf("with a token that may not ask: %+v", a)
	}

	w.allowed()
	w.synced("billing")
	admin.why("billing", "")
	member.why("billing", "")
	var exchanged answer
	person{w, member.kubeconfig, vault.Token}.shows(&exchanged, "why", "billing", "--exchange")
	if exchanged.result("identity") != "ok" {
		t.Errorf("exchanged: %+v", exchanged)
	}
	member.plugin(0, []string{"why", "billing"}, "Nothing blocks it.")

	w.create("absent", w.path("no/such"))
	w.is("absent", "False/SecretMissing")
	admin.why("absent", "source", "no secret at "+w.path("no/such"), "scaivault secrets write")
	member.why("absent", "source", "no secret at "+w.path("no/such"))
	w.put(w.path("no/such"), map[string]any{"k": w.value("absent")})

	w.create("nobody", path, accountIs("nobody"))
	w.is("nobody", "False/ServiceAccountMissing")
	member.why("nobody", "service account", "ServiceAccount nobody does not exist", "create serviceaccount nobody")
	w.account(w.ns, "nobody")
	w.policyIs(w.policy(patterns(path), serviceAccount(w.ns, "nobody")), "True/Applied")

	w.theirs("theirs", map[string]string{"k": "v"})
	w.create("theirs", path)
	w.is("theirs", "False/Conflict")
	member.why("theirs", "target", "Secret theirs exists and was not made by this object", "scaivault.io/adopt=theirs")

	w.theirs("shared", map[string]string{"url": "theirs", "other": "v"})
	w.create("shared", path, target(v1alpha1.SecretTarget{Mode: v1alpha1.SharedTarget}))
	w.is("shared", "False/Conflict")
	member.why("shared", "target", "others hold 1 of the keys", "status.conflicts", "annotate secret shared scaivault.io/adopt=shared")
	w.remove(w.get("shared"))

	w.create("template", path, templateIs("{{ .db.none }}"))
	w.is("template", "False/InvalidTemplate")
	admin.why("template", "content", "there is no field", "kubectl scaivault render")

	w.operator.Stop()
	w.create("unseen", path)
	member.why("unseen", "operator", "has not looked at this object", "see whether the operator runs")
	w.remove(w.get("unseen"), w.get("template"), w.get("theirs"))
	w.operator.Start()

	w.vault.Stop()
	w.annotate(w.get("billing"), v1alpha1.AnnotationRequestedAt, "without a vault")
	w.until("trouble", v1alpha1.ReasonVaultUnavailable, func() string {
		return condition(w.get("billing"), v1alpha1.ConditionReconciling).Reason
	})
	member.why("billing", "vault", "does not answer", "see whether the vault runs")
	if a := admin.why("billing", "vault"); !strings.Contains(strings.Join(a.NotLookedAt, " "), "cannot reach the vault") {
		t.Errorf("without a vault: %+v", a)
	}
	w.vault.Start()

	member.plugin(4, []string{"why", "nothing"}, "there is no VaultSecret nothing in namespace "+w.ns)
	w.synced("billing", "absent", "nobody")
}

func patterns(all ...string) []v1alpha1.PathPattern {
	var out []v1alpha1.PathPattern
	for _, p := range all {
		out = append(out, v1alpha1.PathPattern(p))
	}
	return out
}

func accountIs(name string) func(*v1alpha1.VaultSecretSpec) {
	return func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName = name }
}

func templateIs(text string) func(*v1alpha1.VaultSecretSpec) {
	return func(s *v1alpha1.VaultSecretSpec) { s.Data = []v1alpha1.DataEntry{{Key: "t", Template: text}} }
}

func suspended(s *v1alpha1.VaultSecretSpec) { s.Suspend = true }

// Keys are compared with what the vault would give, with the token of whoever asks, and no value is printed.
func TestPluginDiff(t *testing.T) {
	w := running(t)
	admin := w.person(vault.Token)
	path := w.path("s")
	w.put(path, map[string]any{"same": w.value("same"), "changed": w.value("old"), "removed": w.value("removed")})
	w.allowed()
	w.create("s", path)
	w.synced("s")
	admin.plugin(0, []string{"diff", "s"}, "Nothing would change: Secret s has all 3 keys as the vault has them")

	w.change("s", suspended)
	w.still()
	w.put(path, map[string]any{"same": w.value("same"), "changed": w.value("new"), "added": w.value("added")})
	w.still()
	var d struct {
		Exists                             bool
		Added, Removed, Changed, Unchanged []string
		Conflicts                          []v1alpha1.KeyConflict
		Refusal                            string
	}
	admin.shows(&d, "diff", "s")
	if got := strings.Join(append(append(append(d.Added, d.Removed...), d.Changed...), d.Unchanged...), " "); got != "added removed changed same" || !d.Exists || d.Refusal != "" {
		t.Errorf("%+v", d)
	}
	admin.plugin(0, []string{"diff", "s"}, "added    added", "removed  removed", "changed  changed")

	file := filepath.Join(t.TempDir(), "s.yaml")
	text := "apiVersion: scaivault.io/v1alpha1\nkind: VaultSecret\nmetadata: {name: s}\nspec: {sources: [{name: db, path: " + path + "}], dataFrom: [{source: db, include: [same]}]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	admin.plugin(0, []string{"diff", "-f", file}, "removed  changed\nremoved  removed\n")

	w.theirs("theirs", map[string]string{"k": "v"})
	w.create("theirs", path, suspended)
	w.create("new", path, suspended)
	admin.plugin(0, []string{"diff", "theirs"}, "removed  k", "The operator would not write to it: Secret theirs exists")
	admin.plugin(0, []string{"diff", "new"}, "added   added", "Secret new does not exist yet in namespace "+w.ns)

	w.theirs("shared", map[string]string{"same": "theirs", "other": "v"})
	w.create("shared", path, suspended, target(v1alpha1.SecretTarget{Mode: v1alpha1.SharedTarget}))
	admin.shows(&d, "diff", "shared")
	if strings.Join(d.Added, " ") != "added changed" || len(d.Removed)+len(d.Changed)+len(d.Unchanged) != 0 || len(d.Conflicts) != 1 || d.Conflicts[0].Key != "same" {
		t.Errorf("beside others: %+v", d)
	}
	admin.plugin(0, []string{"diff", "shared"}, "conflict  same (held by ")

	w.account(w.ns, "stranger")
	w.person(w.tokenOf("stranger")).plugin(3, []string{"diff", "s"}, "read "+path+": access_denied")
	w.person("").plugin(5, []string{"diff", "s"}, "no server is configured")
	w.member("view", vault.Token).plugin(3, []string{"diff", "s"}, "cannot get resource \"secrets\"")
	w.create("absent", w.path("no/such"), suspended)
	admin.plugin(4, []string{"diff", "absent"}, "SecretMissing: the vault has no secret at "+w.path("no/such"))
}

// A sync waits for the operator's echo, and ends as the operator's look did.
func TestPluginSync(t *testing.T) {
	w := running(t)
	member := w.member("edit", "")
	path := w.path("s")
	w.put(path, map[string]any{"k": w.value("1")})
	w.create("s", path)
	w.is("s", "False/AccessDenied")
	member.plugin(3, []string{"sync", "s"}, "AccessDenied: sa:"+w.ns+":app may not read "+path, "; next: ")
	w.allowed()
	w.synced("s")
	member.plugin(0, []string{"sync", "s"}, "Synced: Secret s holds what the vault holds")
	var s struct {
		Ready   string
		Blocked bool
	}
	member.shows(&s, "sync", "s")
	if v := w.get("s"); s.Ready != "True" || s.Blocked || v.Annotations[v1alpha1.AnnotationRequestedAt] == "" || v.Annotations[v1alpha1.AnnotationRequestedAt] != v.Status.LastHandledRequest {
		t.Errorf("%+v, asked %q, handled %q", s, v.Annotations[v1alpha1.AnnotationRequestedAt], v.Status.LastHandledRequest)
	}
	w.create("absent", w.path("no/such"))
	w.is("absent", "False/SecretMissing")
	member.plugin(4, []string{"sync", "absent", "--json"}, `"reason": "SecretMissing"`)
	w.remove(w.get("absent"))

	w.member("view", "").plugin(3, []string{"sync", "s"}, "cannot patch resource")
	member.plugin(4, []string{"sync", "nothing"})
	w.change("s", suspended)
	member.plugin(5, []string{"sync", "s"}, "VaultSecret s is suspended", "set spec.suspend to false")
	w.change("s", func(s *v1alpha1.VaultSecretSpec) { s.Suspend = false })
	w.synced("s")
	w.operator.Stop()
	member.plugin(1, []string{"sync", "s", "--timeout", "1s"}, "the operator did not answer in 1s", "see whether the operator runs")
	w.operator.Start()
	w.until("the echo of a request that nobody waits for", w.get("s").Annotations[v1alpha1.AnnotationRequestedAt], func() string {
		return w.get("s").Status.LastHandledRequest
	})
}

// The tree tells what blocks each object and what to do, to whom may see it; programs get the same.
func TestPluginStatus(t *testing.T) {
	w := running(t)
	path := w.path("s")
	w.put(path, map[string]any{"k": w.value("1")})
	w.create("denied", path, accountIs("other"))
	w.account(w.ns, "other")
	policy := w.allowed()
	w.create("well", path)
	w.synced("well")
	w.is("denied", "False/AccessDenied")

	member, admin := w.member("view", ""), w.person("")
	out := member.plugin(0, []string{"status"},
		"├─ VaultSecret/denied", "sa:"+w.ns+":other may not read "+path, "Next: kubectl scaivault why denied -n "+w.ns,
		"└─ VaultSecret/well", "Not looked at: VaultPolicies: you may not list them")
	if strings.Contains(out.stdout, "VaultPolicy/") {
		t.Errorf("shows what the member may not see:\n%s", out.stdout)
	}
	admin.plugin(0, []string{"status"}, w.ns, "└─ VaultPolicy/"+policy.Name)
	if member.plugin(3, []string{"status", "--all-namespaces"}).stdout != "" {
		t.Error("something is printed beside a refusal")
	}

	var o struct {
		Namespaces []struct {
			Name         string
			VaultSecrets []struct {
				Name, Secret, Ready, Reason, Message, Next string
				Blocked                                    bool
			} `json:"vault_secrets"`
		}
		VaultPolicies []struct {
			Name, Ready string
			Bindings    int
		} `json:"vault_policies"`
	}
	admin.shows(&o, "status", "-A")
	if len(o.Namespaces) != 1 || len(o.Namespaces[0].VaultSecrets) != 2 || len(o.VaultPolicies) != 1 || o.VaultPolicies[0].Bindings != 1 {
		t.Fatalf("%+v", o)
	}
	denied, well := o.Namespaces[0].VaultSecrets[0], o.Namespaces[0].VaultSecrets[1]
	if !denied.Blocked || denied.Reason != "AccessDenied" || denied.Next == "" || well.Blocked || well.Ready != "True" || well.Secret != "well" {
		t.Errorf("%+v", o.Namespaces)
	}

	// kubectl completes the plugin's names.
	completed := member.runs("__complete", "scaivault", "why", "--namespace", w.ns, "")
	if !strings.Contains(completed.stdout, "denied\nwell\n") {
		t.Errorf("completion: %+v", completed)
	}
}
