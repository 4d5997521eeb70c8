package operator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/operator"
)

// One VaultPolicy with {namespace} serves many namespaces, each for its own paths only. What a namespace names, it
// names in itself: ServiceAccount, Secret. (field.md 13, 14, 22)
func TestMistake13And14And22NamespacesStayApart(t *testing.T) {
	w := running(t)
	mine := w.ns
	theirs := w.namespace("other", map[string]string{"team": w.ns})
	w.kubectl("label", "namespace", mine, "team="+mine)
	for _, ns := range []string{mine, theirs} {
		w.put("apps/"+ns+"/s", map[string]any{"k": "of-" + ns})
	}
	p := w.policy([]v1alpha1.PathPattern{"apps/{namespace}/**"}, v1alpha1.PolicySubject{
		Kind: v1alpha1.SubjectServiceAccounts, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": mine}}, Name: "app"})
	w.policyIs(p, "True/Applied")

	w.create("same", "apps/"+mine+"/s")
	w.create("grab", "apps/"+theirs+"/s")
	w.ns = theirs
	w.create("same", "apps/"+theirs+"/s")
	w.create("grab", "apps/"+mine+"/s")
	for _, ns := range []string{mine, theirs} {
		w.ns = ns
		w.synced("same")
		w.holds("same", "k=of-"+ns)
		w.is("grab", "False/AccessDenied")
		w.says("grab", "sa:"+ns+":app")
		w.holds("grab", "")
	}

	// A ServiceAccount of another namespace cannot be named, nor a Secret of one.
	w.ns = mine
	for _, bad := range []func(*v1alpha1.VaultSecretSpec){
		func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName = theirs + "/app" },
		func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName = theirs + ":app" },
		func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName = "../" + theirs },
		target(v1alpha1.SecretTarget{Name: theirs + "/same"}),
		func(s *v1alpha1.VaultSecretSpec) { s.Sources[0].Path = "apps/{namespace}/../s" },
	} {
		if err := w.kube.Create(t.Context(), w.declared("bad", "apps/x", bad)); !apierrors.IsInvalid(err) {
			t.Errorf("accepted: %v", err)
		}
	}

	// The end of one object takes nothing from the namespace beside it.
	w.remove(w.get("same"))
	w.holds("same", "")
	w.ns = theirs
	w.holds("same", "k=of-"+theirs)
	w.synced("same")
	// A namespace that is no longer selected loses its right; the other keeps it.
	w.kubectl("label", "namespace", theirs, "team-")
	w.is("same", "False/AccessDenied")
	w.ns = mine
	w.create("later", "apps/"+mine+"/s")
	w.synced("later")
}

// Who may edit a namespace, and no more, gains nothing by it: no policies, no other namespace, no operator's Secret.
func TestEditorsGainNothing(t *testing.T) {
	w := running(t)
	w.put("apps/secret-of-others/s", map[string]any{"k": w.value("of-others")})
	user := "dev-" + w.ns
	w.kubectl("-n", w.ns, "create", "rolebinding", "edit", "--clusterrole=edit", "--user="+user)
	path, err := w.plane.User(user)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := controlplane.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	dev, err := kube.New(cfg, kube.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w.until("the editor's rights", "", func() string { // aggregated roles take a moment
		if err := dev.Create(t.Context(), w.declared("mine", "apps/secret-of-others/s")); err != nil && !apierrors.IsAlreadyExists(err) {
			return err.Error()
		}
		return ""
	})
	w.is("mine", "False/AccessDenied")
	grant := &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: "grant-" + w.ns}, Spec: v1alpha1.VaultPolicySpec{
		Rules:    []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{"**"}, Permissions: []v1alpha1.Permission{"read"}}},
		Subjects: []v1alpha1.PolicySubject{serviceAccount(w.ns, "app")}}}
	forged := w.get("mine")
	forged.Status.Conditions = nil
	elsewhere := w.declared("mine", "apps/secret-of-others/s")
	elsewhere.Namespace = operator.Namespace
	for what, err := range map[string]error{
		"a policy":          dev.Create(t.Context(), grant),
		"a status":          dev.Status().Update(t.Context(), forged),
		"another namespace": dev.Create(t.Context(), elsewhere),
		"the pin":           dev.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: "scaivault-vault-pin"}}),
		"the root key":      dev.Get(t.Context(), kube.ObjectKey{Namespace: operator.Namespace, Name: "scaivault-root-key"}, &corev1.Secret{}),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want forbidden", what, err)
		}
	}
}

// (field.md 21: children must re-check the parent.) A Secret with a forged owner reference is not a way to have values
// written where the operator would not write, nor to keep content in what it writes.
func TestMistake21ForgedChild(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	v := w.create("s", w.path("s"), target(v1alpha1.SecretTarget{Name: "real"}))
	w.is("s", "False/AccessDenied")
	yes := true
	forged := func(name string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, Labels: map[string]string{v1alpha1.LabelManaged: "true"}, OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "VaultSecret", Name: "s", UID: v.UID, Controller: &yes}}},
			StringData: map[string]string{"planted": "x"},
		}
	}
	for _, name := range []string{"fake", "real"} {
		if err := w.kube.Create(t.Context(), forged(name)); err != nil {
			t.Fatal(err)
		}
	}
	w.still()
	w.holds("fake", "planted=x")
	w.is("s", "False/AccessDenied")
	w.allow()
	w.synced("s")
	w.holds("real", "k=1")
	w.holds("fake", "planted=x")
}

// A ServiceAccount that does not exist has a condition of its own; one that is made starts the object at once; one
// that was deleted and made anew is somebody else, whose tokens are asked for anew. (field.md 60)
func TestServiceAccountsComeAndGo(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	p := w.policy([]v1alpha1.PathPattern{v1alpha1.PathPattern(w.path("**"))}, serviceAccount(w.ns, "later"))
	w.policyIs(p, "True/Applied")
	w.create("s", w.path("s"), func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName = "later" })
	w.is("s", "False/ServiceAccountMissing")
	w.says("s", w.ns+"/later", "create it or set spec.serviceAccountName")
	objects := w.watch(&v1alpha1.VaultSecretList{})
	start := time.Now()
	w.account(w.ns, "later")
	w.promised("ServiceAccount made → Ready", start, objects.await("Ready", becomes("s", "True/Synced")))
	stolen, err := w.plane.ServiceAccountToken(t.Context(), w.ns, "later", "scaivault")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.exchange(stolen); err != nil {
		t.Fatalf("a token of a living ServiceAccount: %v", err)
	}

	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "later"}}
	w.remove(account)
	w.is("s", "False/ServiceAccountMissing")
	w.holds("s", "k=1")
	w.untilRefused("a token of a ServiceAccount that is gone", stolen)
	w.forgetCalls()
	objects.mark()
	start = time.Now()
	w.account(w.ns, "later")
	w.promised("ServiceAccount made anew → Ready", start, objects.await("Ready", becomes("s", "True/Synced")))
	w.put(w.path("s"), map[string]any{"k": "2"})
	w.holds("s", "k=2")
	exchanges := w.wire.Calls(func(c operator.Call) bool { return c.Method == http.MethodPost && c.Path == "/v1/auth/exchange" })
	if len(exchanges) != 1 {
		t.Errorf("the new ServiceAccount was exchanged %d times, want once", len(exchanges))
	}
	w.untilRefused("a token of the earlier ServiceAccount of that name", stolen)
	// In one go: the cache may never see that it was away.
	w.remove(account)
	w.account(w.ns, "later")
	w.put(w.path("s"), map[string]any{"k": "3"})
	w.holds("s", "k=3")
	w.synced("s")
}

// untilRefused waits until the vault no longer exchanges a token. The API server's TokenReview believes a token that
// it has seen for ten seconds more.
func (w *world) untilRefused(what, token string) {
	w.Helper()
	w.until(what, "refused", func() string {
		if vaultapi.IsUnauthenticated(w.exchange(token)) {
			return "refused"
		}
		return "exchanged"
	})
}

func (w *world) exchange(token string) error {
	c, err := client.New(client.Options{BaseURL: w.vault.URL})
	if err != nil {
		w.Fatal(err)
	}
	_, err = c.Auth.Exchange(w.Context(), vaultapi.ExchangeRequest{SubjectToken: token})
	return err
}

// (field.md 26) Only tokens made for the vault are tokens for the vault.
func TestMistake26TokenOfWrongAudience(t *testing.T) {
	w := newWorld(t)
	for audience, want := range map[string]bool{"scaivault": true, apiAudience: false, "vault": false, "scaivault.example.com": false} {
		token, err := w.plane.ServiceAccountToken(t.Context(), w.ns, "app", audience)
		if err != nil {
			t.Fatal(err)
		}
		err = w.exchange(token)
		if want && err != nil || !want && !vaultapi.IsUnauthenticated(err) {
			t.Errorf("audience %s: %v", audience, err)
		}
		if _, err := w.vault.ClientFor(token).Auth.Whoami(t.Context()); !vaultapi.IsUnauthenticated(err) {
			t.Errorf("a token of audience %s was a bearer token: %v", audience, err)
		}
	}
}

// The operator's own rights never read a value.
func TestOperatorReadsNoValue(t *testing.T) {
	w := newWorld(t)
	w.put(w.path("s"), map[string]any{"k": w.value("of-nobody")})
	token, err := w.plane.ServiceAccountToken(t.Context(), operator.Namespace, operator.Account, "scaivault")
	if err != nil {
		t.Fatal(err)
	}
	anonymous, err := client.New(client.Options{BaseURL: w.vault.URL})
	if err != nil {
		t.Fatal(err)
	}
	got, err := anonymous.Auth.Exchange(t.Context(), vaultapi.ExchangeRequest{SubjectToken: token})
	if err != nil {
		t.Fatal(err)
	}
	own := w.vault.ClientFor(got.AccessToken)
	if _, err := own.Secrets.Read(t.Context(), w.path("s"), client.ReadOptions{}); !vaultapi.IsForbidden(err) {
		t.Errorf("read: %v", err)
	}
	if b, err := own.Secrets.BatchRead(t.Context(), vaultapi.BatchRequest{Paths: []string{w.path("s")}}); err == nil && len(b.Secrets) != 0 {
		t.Error("read in a batch")
	}
	if _, err := own.Secrets.BatchMetadata(t.Context(), vaultapi.BatchRequest{Paths: []string{w.path("s")}}); err != nil {
		t.Errorf("compare: %v", err)
	}
	// And it cannot let itself.
	policy, err := own.Policies.Create(t.Context(), vaultapi.PolicyWrite{Name: "self", Rules: []vaultapi.Rule{{PathPattern: "**", Permissions: []string{"read"}}}})
	if err != nil {
		return
	}
	if _, err := own.Policies.Bind(t.Context(), policy.ID, vaultapi.BindingWrite{IdentityID: got.IdentityID}); err == nil {
		t.Error("the operator bound a policy to itself")
	}
}

// An owned policy is edited through its VaultPolicy and no other way; a policy of somebody else is a conflict, until
// it is gone.
func TestOwnedPolicies(t *testing.T) {
	w := running(t)
	p := w.allowed()
	ctx, id := t.Context(), "home."+p.Name
	have, err := w.admin.Policies.Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if want := "k8s:home/VaultPolicy//" + p.Name + "/" + string(p.UID); have.Owner != want {
		t.Errorf("owner %s, want %s", have.Owner, want)
	}
	off, wider := false, []vaultapi.Rule{{PathPattern: "**", Permissions: []string{"read"}}}
	_, patched := w.admin.Policies.Patch(ctx, have.ID, vaultapi.PolicyPatch{IsActive: &off})
	_, replaced := w.admin.Policies.Replace(ctx, have.ID, vaultapi.PolicyWrite{Name: have.Name, Rules: wider})
	_, bound := w.admin.Policies.Bind(ctx, have.ID, vaultapi.BindingWrite{IdentityID: "user:eve@example.com"})
	for what, err := range map[string]error{
		"patch": patched, "replace": replaced, "bind": bound,
		"unbind": w.admin.Policies.Unbind(ctx, have.ID, have.Bindings[0].ID, ""),
		"delete": w.admin.Policies.Delete(ctx, have.ID, client.PolicyDeleteOptions{Force: true}),
	} {
		if vaultapi.Code(err) != "managed_resource" || !vaultapi.IsConflict(err) {
			t.Errorf("%s: %v, want 409 managed_resource", what, err)
		}
	}

	name := "taken-" + w.ns
	theirs, err := w.admin.Policies.Create(ctx, vaultapi.PolicyWrite{Name: "home." + name, Rules: wider})
	if err != nil {
		t.Fatal(err)
	}
	v := p.DeepCopy()
	v.ObjectMeta = metav1.ObjectMeta{Name: name}
	if err := w.kube.Create(ctx, v); err != nil {
		t.Fatal(err)
	}
	w.policyIs(v, "False/Conflict")
	if same, err := w.admin.Policies.Get(ctx, theirs.ID); err != nil || !strings.Contains(same.Rules[0].PathPattern, "**") || same.Owner != "" {
		t.Errorf("a policy of an administrator was touched: %+v %v", same, err)
	}
	start := time.Now()
	if err := w.admin.Policies.Delete(ctx, theirs.ID, client.PolicyDeleteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	w.policyIs(v, "True/Applied")
	if took := time.Since(start); took > promise {
		t.Errorf("the name was free, and taken after %s, promised %s", took, promise)
	}

	w.remove(v)
	w.until("the policy in the vault", "policy_not_found", func() string {
		_, err := w.admin.Policies.Get(ctx, "home."+name)
		return vaultapi.Code(err)
	})
}
