package controllers_test

import (
	"os"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/pkg/client"
)

// The main job: nothing is written until a policy allows it; then within a second; changes follow; hand edits
// are repaired; without the right to read the Secret is kept and the condition says so; no value is shown.
func TestMainJob(t *testing.T) {
	w := newWorld(t)
	w.start()
	path := w.path("billing/database")
	w.put(path, map[string]any{"url": "postgres://first", "port": 5432})
	w.create("billing", path, func(s *v1alpha1.VaultSecretSpec) {
		s.Data = []v1alpha1.DataEntry{
			{Key: "DB_URL", From: &v1alpha1.FieldRef{Source: "db", Field: "url"}},
			{Key: "app.yaml", Template: "dsn: {{ .db.url }}:{{ .db.port }}"},
		}
	})
	w.becomes(soon, "billing", "False/AccessDenied")
	for _, part := range []string{"sa:" + w.ns + ":app", path, "VaultPolicy"} {
		if m := w.message("billing"); !strings.Contains(m, part) {
			t.Errorf("message %q does not name %q", m, part)
		}
	}
	if w.data("billing") != nil {
		t.Fatal("written without a right")
	}

	p := w.allow("test/" + w.ns + "/**")
	w.becomes(second, "billing", "True/Synced")
	w.holds(second, "billing", "DB_URL", "postgres://first")
	w.holds(second, "billing", "app.yaml", "dsn: postgres://first:5432")

	w.put(path, map[string]any{"url": "postgres://second", "port": 5432})
	w.holds(second, "billing", "DB_URL", "postgres://second")

	w.patch("billing", `{"data":{"DB_URL":"aGFja2Vk","extra":"eA=="}}`)
	w.holds(second, "billing", "DB_URL", "postgres://second")
	w.holds(second, "billing", "extra", "")
	if err := w.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "billing"}}); err != nil {
		t.Fatal(err)
	}
	w.holds(second, "billing", "DB_URL", "postgres://second")

	if err := w.kube.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.becomes(soon, "billing", "False/AccessDenied")
	w.holds(second, "billing", "DB_URL", "postgres://second")
	w.leaks("postgres://first", "postgres://second")
}

// A namespace cannot reach for another's rights: neither by the name of a ServiceAccount, nor by a target.
func TestMistake14NamespaceOfAnother(t *testing.T) {
	w := newWorld(t)
	w.start()
	path := w.path("secret")
	w.put(path, map[string]any{"k": "v"})
	w.allow("test/" + w.ns + "/**") // for app of w.ns
	mine := w.ns
	w.ns = w.plane.Namespace(t, "other", nil)
	w.account(w.ns, "app") // the same name
	w.create("grab", path, nil)
	w.becomes(soon, "grab", "False/AccessDenied")
	if w.data("grab") != nil {
		t.Fatal("read with the rights of a ServiceAccount of another namespace")
	}
	w.ns = mine
	w.create("mine", path, nil)
	w.becomes(soon, "mine", "True/Synced")
}

// Server down and back, operator stopped and started, changes in between: nothing is lost, nothing that is
// right is written again.
func TestInterruptions(t *testing.T) {
	w := newWorld(t)
	w.start()
	path := w.path("secret")
	w.put(path, map[string]any{"k": "1"})
	w.allow("test/" + w.ns + "/**")
	w.create("a", path, nil)
	w.becomes(soon, "a", "True/Synced")

	w.vault.Stop()
	w.vault.Start()
	w.put(path, map[string]any{"k": "2"})
	w.holds(soon, "a", "k", "2")

	w.stop()
	w.put(path, map[string]any{"k": "3"})
	w.start()
	w.holds(soon, "a", "k", "3")
	w.becomes(soon, "a", "True/Synced")

	w.stop()
	w.patch("a", `{"data":{"k":"aGFja2Vk"}}`)
	w.start()
	w.holds(soon, "a", "k", "3")

	w.stop()
	version := w.version("a")
	w.start()
	w.create("later", path, nil) // when this is done, the start was compared
	w.becomes(soon, "later", "True/Synced")
	if w.version("a") != version {
		t.Error("a start wrote what was right")
	}
}

func (w *world) version(secret string) string {
	w.Helper()
	s := &corev1.Secret{}
	if err := w.kube.Get(w.Context(), kube.ObjectKey{Namespace: w.ns, Name: secret}, s); err != nil {
		w.Fatal(err)
	}
	return s.ResourceVersion
}

// An empty server in place of the old one deletes nothing, writes nothing, and says so; the command lifts it.
func TestVaultReplaced(t *testing.T) {
	w := newWorld(t)
	w.start()
	path := w.path("secret")
	w.put(path, map[string]any{"k": "1"})
	w.allow("test/" + w.ns + "/**")
	w.create("a", path, func(s *v1alpha1.VaultSecretSpec) { s.WhenSourceMissing = v1alpha1.DeleteWhenMissing })
	w.becomes(soon, "a", "True/Synced")

	w.vault.Stop()
	if err := os.RemoveAll(w.vault.Vault()); err != nil {
		t.Fatal(err)
	}
	w.vault.Start() // an empty one at the same address
	w.becomes(soon, "a", "False/VaultReplaced")
	w.holds(second, "a", "k", "1")
	if m := w.message("a"); !strings.Contains(m, "accept-vault") {
		t.Errorf("message %q", m)
	}

	core := kubernetes.NewForConfigOrDie(w.plane.Config).CoreV1()
	if _, err := controllers.AcceptVault(t.Context(), core, system, w.vault.URL, ""); err != nil {
		t.Fatal(err)
	}
	w.put(path, map[string]any{"k": "2"})
	w.holds(soon, "a", "k", "2") // the policy is in the new vault as well
	w.becomes(soon, "a", "True/Synced")
}

// What becomes of the target when its source is deleted, and when the object is.
func TestMissingAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.start()
	kept, gone := w.path("kept"), w.path("gone")
	w.put(kept, map[string]any{"k": "1"})
	w.put(gone, map[string]any{"k": "1"})
	w.allow("test/" + w.ns + "/**")
	w.create("kept", kept, nil)
	w.create("gone", gone, func(s *v1alpha1.VaultSecretSpec) { s.WhenSourceMissing = v1alpha1.DeleteWhenMissing })
	w.becomes(soon, "kept", "True/Synced")
	w.becomes(soon, "gone", "True/Synced")
	for _, p := range []string{kept, gone} {
		if _, err := w.admin.Secrets.Delete(t.Context(), p, client.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.becomes(second, "kept", "False/SecretMissing")
	w.becomes(second, "gone", "False/SecretMissing")
	w.within(second, "removal", "<nil>", func() string { return sprintf("%v", w.dataOrNil("gone")) })
	w.holds(second, "kept", "k", "1")
	if _, err := w.admin.Secrets.Restore(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	w.holds(second, "gone", "k", "1")

	w.create("retained", gone, func(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = v1alpha1.RetainTarget })
	w.becomes(soon, "retained", "True/Synced")
	for _, name := range []string{"gone", "retained"} {
		if err := w.kube.Delete(t.Context(), &v1alpha1.VaultSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	w.within(soon, "garbage collection", "<nil>", func() string { return sprintf("%v", w.dataOrNil("gone")) })
	w.holds(second, "retained", "k", "1")
	w.create("retained", gone, nil)
	w.becomes(soon, "retained", "True/Synced")
}

func (w *world) dataOrNil(name string) any {
	if d := w.data(name); d != nil {
		return d
	}
	return nil
}

// Renaming the target moves the Secret; a target of somebody else is a conflict until it is handed over.
func TestTargets(t *testing.T) {
	w := newWorld(t)
	w.start()
	path := w.path("secret")
	w.put(path, map[string]any{"k": "1"})
	w.allow("test/" + w.ns + "/**")
	w.create("a", path, nil)
	w.becomes(soon, "a", "True/Synced")
	w.change("a", func(s *v1alpha1.VaultSecretSpec) { s.Target = &v1alpha1.SecretTarget{Name: "renamed"} })
	w.holds(soon, "renamed", "k", "1")
	w.within(soon, "release of the old name", "<nil>", func() string { return sprintf("%v", w.dataOrNil("a")) })

	err := w.kube.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "theirs"}, StringData: map[string]string{"x": "y"}})
	if err != nil {
		t.Fatal(err)
	}
	w.create("theirs", path, nil)
	w.becomes(soon, "theirs", "False/Conflict")
	w.create("second", path, func(s *v1alpha1.VaultSecretSpec) { s.Target = &v1alpha1.SecretTarget{Name: "renamed"} })
	w.becomes(soon, "second", "False/Conflict")
	w.holds(second, "renamed", "k", "1")
	if out, err := w.plane.Kubectl(t.Context(), "-n", w.ns, "annotate", "secret", "theirs", "scaivault.io/adopt=theirs"); err != nil {
		t.Fatal(err, out)
	}
	if out, err := w.plane.Kubectl(t.Context(), "-n", w.ns, "annotate", "vaultsecret", "theirs", "scaivault.io/requestedAt=now"); err != nil {
		t.Fatal(err, out)
	}
	w.becomes(soon, "theirs", "True/Synced")
	w.holds(second, "theirs", "x", "")
	v := &v1alpha1.VaultSecret{}
	if err := w.kube.Get(t.Context(), kube.ObjectKey{Namespace: w.ns, Name: "theirs"}, v); err != nil || v.Status.LastHandledRequest != "now" {
		t.Errorf("request not echoed: %q %v", v.Status.LastHandledRequest, err)
	}
}

// A suspended object is left alone; mistakes of the user say what is wrong and nothing is written; several
// sources and pins work.
func TestSpecs(t *testing.T) {
	w := newWorld(t)
	w.start()
	one, two := w.path("one"), w.path("two")
	w.put(one, map[string]any{"a": "1", "b64": "aGVsbG8=", "n": 12345678901234567})
	w.put(one, map[string]any{"a": "2", "b64": "aGVsbG8=", "n": 12345678901234567})
	w.put(two, map[string]any{"a": "3"})
	w.allow("test/" + w.ns + "/**")
	two1 := []v1alpha1.Source{{Name: "one", Path: v1alpha1.SecretPath(one)}, {Name: "two", Path: v1alpha1.SecretPath(two)}}
	w.create("clash", one, func(s *v1alpha1.VaultSecretSpec) { s.Sources = two1 })
	w.create("merged", one, func(s *v1alpha1.VaultSecretSpec) {
		s.Sources = append(two1, v1alpha1.Source{Name: "old", Path: v1alpha1.SecretPath(one), Version: ptr(int64(1))})
		s.DataFrom = []v1alpha1.DataFrom{{Source: "one", KeyFormat: "{name}.{field}", Exclude: []string{"*b64"}}, {Source: "two", KeyFormat: "{name}.{field}"}}
		s.Data = []v1alpha1.DataEntry{
			{Key: "old", From: &v1alpha1.FieldRef{Source: "old", Field: "a"}},
			{Key: "plain", From: &v1alpha1.FieldRef{Source: "one", Field: "b64", Decode: v1alpha1.DecodeBase64}},
			{Key: "none", From: &v1alpha1.FieldRef{Source: "one", Field: "none", Optional: true}},
		}
	})
	w.create("field", one, func(s *v1alpha1.VaultSecretSpec) {
		s.Data = []v1alpha1.DataEntry{{Key: "x", From: &v1alpha1.FieldRef{Source: "db", Field: "none"}}}
	})
	w.create("template", one, func(s *v1alpha1.VaultSecretSpec) {
		s.Data = []v1alpha1.DataEntry{{Key: "x", Template: `{{ range 1000000000 }}{{ end }}`}}
	})
	w.create("account", one, func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName = "nobody" })
	w.create("suspended", one, func(s *v1alpha1.VaultSecretSpec) { s.Suspend = true })
	w.create("token", one, func(s *v1alpha1.VaultSecretSpec) { s.Target = &v1alpha1.SecretTarget{Type: "example.com/other"} })

	w.becomes(soon, "clash", "False/InvalidData")
	w.becomes(soon, "merged", "True/Synced")
	w.becomes(soon, "field", "False/FieldMissing")
	w.becomes(soon, "template", "False/InvalidTemplate")
	w.becomes(soon, "account", "False/ServiceAccountMissing")
	w.becomes(soon, "token", "False/InvalidTarget")
	if c := w.condition("suspended"); c != "" {
		t.Errorf("suspended object was touched: %s", c)
	}
	want := "map[old:1 one.a:2 one.n:12345678901234567 plain:hello two.a:3]"
	if got := sprintf("%v", w.data("merged")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.put(two, map[string]any{"a": "4"})
	w.holds(second, "merged", "two.a", "4")
	w.account(w.ns, "nobody")
	w.becomes(second, "account", "False/AccessDenied")
}

// A selector binds the ServiceAccount of a name in every namespace it picks, as namespaces come and change.
func TestPolicySubjects(t *testing.T) {
	w := newWorld(t)
	w.start()
	label := map[string]string{"pick": w.ns}
	first := w.plane.Namespace(t, "first", label)
	second2 := w.plane.Namespace(t, "second", nil)
	p := &v1alpha1.VaultPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "select-"},
		Spec: v1alpha1.VaultPolicySpec{
			Rules: []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{"test/{namespace}/**"}, Permissions: []v1alpha1.Permission{"read", "list"}}},
			Subjects: []v1alpha1.PolicySubject{
				{Kind: v1alpha1.SubjectServiceAccounts, NamespaceSelector: &metav1.LabelSelector{MatchLabels: label}, Name: "app"},
				{Kind: v1alpha1.SubjectIdentity, Type: v1alpha1.IdentityGroup, Name: "group:ops"},
			},
		},
	}
	if err := w.kube.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.removePolicy(p) })
	w.bound(p, "group:ops sa:"+first+":app")
	if out, err := w.plane.Kubectl(t.Context(), "label", "namespace", second2, "pick="+w.ns); err != nil {
		t.Fatal(err, out)
	}
	w.bound(p, "group:ops sa:"+first+":app sa:"+second2+":app")
	if out, err := w.plane.Kubectl(t.Context(), "label", "namespace", first, "pick-"); err != nil {
		t.Fatal(err, out)
	}
	w.bound(p, "group:ops sa:"+second2+":app")

	owned, err := w.admin.Policies.Get(t.Context(), "home."+p.Name)
	if err != nil {
		t.Fatal(err)
	}
	if want := "k8s:home/VaultPolicy//" + p.Name + "/" + string(p.UID); owned.Owner != want {
		t.Errorf("owner %s, want %s", owned.Owner, want)
	}
	if err := w.kube.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.within(soon, "release of the policy", "policy_not_found", func() string {
		_, err := w.admin.Policies.Get(t.Context(), "home."+p.Name)
		return codeOf(err)
	})
}

// bound waits until the policy in the vault is bound to these identities.
func (w *world) bound(p *v1alpha1.VaultPolicy, want string) {
	w.Helper()
	w.within(soon, "bindings", want, func() string {
		b, err := w.admin.Policies.Bindings(w.Context(), "home."+p.Name)
		if err != nil {
			return err.Error()
		}
		return identities(b)
	})
}

// The operator cannot mint tokens that Kubernetes itself accepts, nor long ones.
func TestTokenRequestsAreLimited(t *testing.T) {
	w := newWorld(t)
	core := kubernetes.NewForConfigOrDie(w.operatorConfig()).CoreV1()
	for _, c := range []struct {
		audiences []string
		seconds   int64
		allowed   bool
	}{
		{[]string{"scaivault"}, 600, true},
		{[]string{"scaivault"}, 3600, false},
		{[]string{"https://kubernetes.default.svc.cluster.local"}, 600, false},
		{[]string{"scaivault", "other"}, 600, false},
		{nil, 600, false},
	} {
		_, err := core.ServiceAccounts(w.ns).CreateToken(t.Context(), "app", &authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{Audiences: c.audiences, ExpirationSeconds: &c.seconds}}, metav1.CreateOptions{})
		if (err == nil) != c.allowed {
			t.Errorf("%v for %d s: %v", c.audiences, c.seconds, err)
		}
		if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
			t.Errorf("%v: %v", c.audiences, err)
		}
	}
}

// Nobody who may edit a namespace may write policies.
func TestEditorsCannotGrant(t *testing.T) {
	w := newWorld(t)
	for resource, want := range map[string]string{"vaultsecrets.scaivault.io": "yes", "vaultpolicies.scaivault.io": "no"} {
		if out, err := w.plane.Kubectl(t.Context(), "-n", w.ns, "create", "rolebinding", "edit-"+want, "--clusterrole=edit", "--user=dev-"+w.ns); err != nil {
			t.Fatal(err, out)
		}
		w.within(soon, resource, want, func() string {
			out, _ := w.plane.Kubectl(t.Context(), "-n", w.ns, "auth", "can-i", "create", resource, "--as", "dev-"+w.ns)
			lines := strings.Fields(out)
			if len(lines) == 0 {
				return ""
			}
			for _, l := range lines {
				if l == "yes" || l == "no" {
					return l
				}
			}
			return out
		})
	}
}
