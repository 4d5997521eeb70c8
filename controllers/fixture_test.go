package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	system = "scaivault-system"
	// soon bounds what has no promise of its own; a loaded machine may take long.
	soon = 30 * time.Second
	// second is the promise of the documentation for everything that an event or a watch starts.
	second = time.Second
)

// world is a real control plane with the install's definitions, rights and admission policies, a real vault
// server, and the operator with the rights of its own ServiceAccount.
type world struct {
	*testing.T
	plane *controlplane.Plane
	vault *vault.Server
	admin *client.Client // of the vault
	kube  kube.WithWatch
	ns    string
	log   string // file with the operator's log
	stop  func()
}

var installed sync.Once

func newWorld(t *testing.T) *world {
	t.Helper()
	plane := controlplane.Start(t)
	installed.Do(func() {
		if out, err := plane.Kubectl(t.Context(), "apply", "--server-side", "-k", filepath.Join(controlplane.Root(), "config/default")); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		plane.InstallCRDs(t)
	})
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	k, err := kube.NewWithWatch(plane.Config, kube.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, plane: plane, kube: k, ns: plane.Namespace(t, "app", map[string]string{"team": "pay"}), stop: func() {}}
	w.forgetPin()
	w.vault = vault.New(t, "--kubernetes-auth", "--kubeconfig", w.serverKubeconfig(), "--operator-service-account", system+"/scaivault-operator")
	w.vault.Start()
	w.admin = w.vault.Client()
	w.account(w.ns, "app")
	return w
}

// serverKubeconfig is what the server uses: the rights of its own ServiceAccount.
func (w *world) serverKubeconfig() string {
	w.Helper()
	path, err := w.plane.User("system:serviceaccount:"+system+":scaivault-server", "system:serviceaccounts")
	if err != nil {
		w.Fatal(err)
	}
	return path
}

// forgetPin removes what the operator of another test pinned.
func (w *world) forgetPin() {
	w.Helper()
	pin := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "scaivault-vault-pin"}}
	if err := w.kube.Delete(w.Context(), pin); kube.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
}

// operatorConfig has the rights of the operator's ServiceAccount, so that a missing right fails the tests.
func (w *world) operatorConfig() *rest.Config {
	w.Helper()
	token, err := w.plane.ServiceAccountToken(w.Context(), system, "scaivault-operator", "https://kubernetes.default.svc.cluster.local")
	if err != nil {
		w.Fatal(err)
	}
	return &rest.Config{Host: w.plane.Config.Host, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: w.plane.Config.CAFile}}
}

// start runs the operator until the test ends or stop is called; stop returns after it ended.
func (w *world) start() {
	w.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	mgr, err := controllers.New(ctx, controllers.Options{
		Config: w.operatorConfig(), VaultURL: w.vault.URL, Namespace: system, UserAgent: "scaivault-operator/test",
		ServiceAccount: controllers.Account{Namespace: system, Name: "scaivault-operator"}, Log: w.logger(),
	})
	if err != nil {
		cancel()
		w.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("operator: %v", err)
		}
	})
	w.Cleanup(w.stop)
}

// logger writes to a file that leaks reads.
func (w *world) logger() logr.Logger {
	w.Helper()
	if w.log == "" {
		w.log = filepath.Join(w.TempDir(), "operator.log")
	}
	f, err := os.OpenFile(w.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = f.Close() })
	l := logr.FromSlogHandler(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctrl.SetLogger(l)
	return l
}

func (w *world) account(ns, name string) {
	w.Helper()
	err := w.kube.Create(w.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.Fatal(err)
	}
}

// put writes a secret into the vault.
func (w *world) put(path string, fields map[string]any) {
	w.Helper()
	raw, err := json.Marshal(fields)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.admin.Secrets.Write(w.Context(), path, vaultapi.WriteRequest{Data: raw}); err != nil {
		w.Fatal(err)
	}
}

// path is a path of this test alone.
func (w *world) path(name string) string { return "test/" + w.ns + "/" + name }

// create makes a VaultSecret that reads one path as ServiceAccount app; change may alter it first.
func (w *world) create(name, path string, change func(*v1alpha1.VaultSecretSpec)) *v1alpha1.VaultSecret {
	w.Helper()
	v := &v1alpha1.VaultSecret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec: v1alpha1.VaultSecretSpec{
			ServiceAccountName: "app", RefreshInterval: "24h",
			Sources: []v1alpha1.Source{{Name: "db", Path: v1alpha1.SecretPath(path)}},
		},
	}
	if change != nil {
		change(&v.Spec)
	}
	if err := w.kube.Create(w.Context(), v); err != nil {
		w.Fatal(err)
	}
	return v
}

// change alters a VaultSecret's spec.
func (w *world) change(name string, change func(*v1alpha1.VaultSecretSpec)) {
	w.Helper()
	v := &v1alpha1.VaultSecret{}
	if err := w.kube.Get(w.Context(), kube.ObjectKey{Namespace: w.ns, Name: name}, v); err != nil {
		w.Fatal(err)
	}
	base := v.DeepCopy()
	change(&v.Spec)
	if err := w.kube.Patch(w.Context(), v, kube.MergeFrom(base)); err != nil {
		w.Fatal(err)
	}
}

// allow makes a VaultPolicy that lets ServiceAccount app of the test's namespace read what is below a path.
func (w *world) allow(pattern string) *v1alpha1.VaultPolicy {
	w.Helper()
	p := &v1alpha1.VaultPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec: v1alpha1.VaultPolicySpec{
			Rules:    []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{v1alpha1.PathPattern(pattern)}, Permissions: []v1alpha1.Permission{"read"}}},
			Subjects: []v1alpha1.PolicySubject{{Kind: v1alpha1.SubjectServiceAccount, Namespace: w.ns, Name: "app"}},
		},
	}
	if err := w.kube.Create(w.Context(), p); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { w.removePolicy(p) })
	return p
}

// removePolicy deletes a VaultPolicy, which may be gone.
func (w *world) removePolicy(p *v1alpha1.VaultPolicy) {
	_ = w.kube.Delete(context.WithoutCancel(w.Context()), p)
}

// condition says status/reason of Ready, "" before the first.
func (w *world) condition(name string) string {
	v := &v1alpha1.VaultSecret{}
	if err := w.kube.Get(w.Context(), kube.ObjectKey{Namespace: w.ns, Name: name}, v); err != nil {
		return err.Error()
	}
	return ready(v.Status.Conditions)
}

func ready(conditions []metav1.Condition) string {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

func (w *world) message(name string) string {
	v := &v1alpha1.VaultSecret{}
	if err := w.kube.Get(w.Context(), kube.ObjectKey{Namespace: w.ns, Name: name}, v); err != nil {
		w.Fatal(err)
	}
	return meta.FindStatusCondition(v.Status.Conditions, v1alpha1.ConditionReady).Message
}

// data is a Secret's content as text, nil if there is no Secret.
func (w *world) data(name string) map[string]string {
	s := &corev1.Secret{}
	if err := w.kube.Get(w.Context(), kube.ObjectKey{Namespace: w.ns, Name: name}, s); err != nil {
		return nil
	}
	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out
}

// within waits until got gives want, and fails when that takes longer than limit.
func (w *world) within(limit time.Duration, what, want string, got func() string) {
	w.Helper()
	start := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for range tick.C {
		if last = got(); last == want {
			break
		}
		if time.Since(start) > soon {
			w.Fatalf("%s: %q after %s, want %q", what, last, soon, want)
		}
	}
	if took := time.Since(start); took > limit {
		w.Errorf("%s took %s, promised %s", what, took.Round(time.Millisecond), limit)
	} else {
		w.Logf("%s: %s", what, took.Round(time.Millisecond))
	}
}

func (w *world) becomes(limit time.Duration, name, want string) {
	w.Helper()
	w.within(limit, "condition of "+name, want, func() string { return w.condition(name) })
}

func (w *world) holds(limit time.Duration, secret, key, want string) {
	w.Helper()
	w.within(limit, "key "+key+" of Secret "+secret, want, func() string { return w.data(secret)[key] })
}

// patch changes a Secret as a person would.
func (w *world) patch(secret, raw string) {
	w.Helper()
	out, err := w.plane.Kubectl(w.Context(), "-n", w.ns, "patch", "secret", secret, "--type=merge", "-p", raw)
	if err != nil {
		w.Fatal(err, out)
	}
}

// leaks fails if any status, event, or the operator's log holds a text.
func (w *world) leaks(texts ...string) {
	w.Helper()
	out, err := w.plane.Kubectl(w.Context(), "-n", w.ns, "get", "vaultsecrets,events.events.k8s.io", "-o", "json")
	if err != nil {
		w.Fatal(err)
	}
	shown := map[string]string{"a status or an event": out}
	for _, file := range []string{w.vault.Log, w.log} {
		log, err := os.ReadFile(file)
		if err != nil || len(log) == 0 {
			w.Fatalf("log %s: %d bytes, %v", file, len(log), err)
		}
		shown[file] = string(log)
	}
	for _, text := range texts {
		for where, all := range shown {
			if strings.Contains(all, text) {
				w.Errorf("%s holds %q", where, text)
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func codeOf(err error) string { return vaultapi.Code(err) }

func identities(b *vaultapi.BindingList) string {
	var ids []string
	for _, x := range b.Bindings {
		ids = append(ids, x.IdentityID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}
