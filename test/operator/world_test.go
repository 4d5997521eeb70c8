package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/operator"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	// promise is what the documentation promises for everything that an event or a watch starts.
	promise = time.Second
	// soon bounds what has no promise of its own; a loaded machine may take long.
	soon = 30 * time.Second

	apiAudience = "https://kubernetes.default.svc.cluster.local"
	serverUser  = "system:serviceaccount:" + operator.Namespace + ":scaivault-server"
)

// world is a control plane with the whole install applied, a vault server with the rights of its own
// ServiceAccount, the operator with those of its own, and a namespace with a ServiceAccount "app".
type world struct {
	*testing.T
	plane    *controlplane.Plane
	vault    *vault.Server
	admin    *client.Client // of the vault, all-powerful
	kube     kube.WithWatch // cluster-admin
	core     kubernetes.Interface
	operator *operator.Process
	api      *operator.Gate // between operator and API server
	wire     *operator.Gate // between operator and vault
	ns       string

	mu         sync.Mutex
	namespaces []string
	values     []string // what no status, event or log may hold
	logs       []string // of all operators
}

// newWorld makes a world; start runs the operator. When the test ends, every object must be in order and no
// value may be where it does not belong.
func newWorld(t *testing.T) *world {
	t.Helper()
	log.SetLogger(logr.Discard()) // the library of the test's own client asks for one
	w := &world{T: t, plane: controlplane.Start(t)}
	w.install()
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	if w.kube, err = kube.NewWithWatch(w.plane.Config, kube.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	w.core = kubernetes.NewForConfigOrDie(w.plane.Config)
	w.forgetPin()
	server, err := w.plane.User(serverUser, "system:serviceaccounts")
	if err != nil {
		t.Fatal(err)
	}
	w.vault = vault.New(t, "--kubernetes-auth", "--kubeconfig", server, "--operator-service-account", operator.Namespace+"/"+operator.Account)
	w.vault.Start()
	w.admin = w.vault.Client()
	w.operator, w.api, w.wire = w.another()
	w.ns = w.namespace("app", nil)
	t.Cleanup(w.finish)
	return w
}

// running is a world whose operator runs.
func running(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.operator.Start()
	return w
}

// another makes an operator that is not started, with the rights that its ServiceAccount has, so that a missing one
// fails, and with connections of its own to API server and vault.
func (w *world) another() (p *operator.Process, api, wire *operator.Gate) {
	w.Helper()
	token, err := w.plane.ServiceAccountToken(w.Context(), operator.Namespace, operator.Account, apiAudience)
	if err != nil {
		w.Fatal(err)
	}
	api, kubeconfig := operator.NewAPIGate(w, w.plane, token)
	wire = operator.NewVaultGate(w, w.vault.URL)
	p = operator.New(w, kubeconfig, wire.URL)
	w.logs = append(w.logs, p.Log)
	return p, api, wire
}

// forgetPin removes what the operator of another test pinned: every test has a vault of its own.
func (w *world) forgetPin() {
	w.Helper()
	pin := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: "scaivault-vault-pin"}}
	if err := w.kube.Delete(w.Context(), pin); kube.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
}

// namespace makes a namespace of a fresh name with a ServiceAccount "app".
func (w *world) namespace(prefix string, labels map[string]string) string {
	w.Helper()
	ns := w.plane.Namespace(w, prefix, labels)
	w.mu.Lock()
	w.namespaces = append(w.namespaces, ns)
	w.mu.Unlock()
	w.account(ns, "app")
	return ns
}

func (w *world) account(ns, name string) {
	w.Helper()
	err := w.kube.Create(w.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.Fatal(err)
	}
}

// path is a path of this test alone, below the name of its namespace.
func (w *world) path(name string) string { return "apps/" + w.ns + "/" + name }

// value is a text that is found wherever it leaks.
func (w *world) value(text string) string {
	v := "value-of-" + w.ns + "-" + text
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values = append(w.values, v)
	return v
}

// put writes a secret into the vault and returns when it was acknowledged.
func (w *world) put(path string, fields map[string]any) time.Time {
	w.Helper()
	if err := w.tryPut(path, fields); err != nil {
		w.Fatal(err)
	}
	return time.Now()
}

func (w *world) tryPut(path string, fields map[string]any) error {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fields); err != nil {
		return err
	}
	_, err := w.admin.Secrets.Write(w.Context(), path, vaultapi.WriteRequest{Data: raw.Bytes()})
	return err
}

// create applies a VaultSecret that reads one path, as source "db", as ServiceAccount app; change may alter it.
func (w *world) create(name, path string, change ...func(*v1alpha1.VaultSecretSpec)) *v1alpha1.VaultSecret {
	w.Helper()
	v := w.declared(name, path, change...)
	if err := w.kube.Create(w.Context(), v); err != nil {
		w.Fatal(err)
	}
	return v
}

func (w *world) declared(name, path string, change ...func(*v1alpha1.VaultSecretSpec)) *v1alpha1.VaultSecret {
	v := &v1alpha1.VaultSecret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec: v1alpha1.VaultSecretSpec{
			ServiceAccountName: "app", RefreshInterval: "24h",
			Sources: []v1alpha1.Source{{Name: "db", Path: v1alpha1.SecretPath(path)}},
		},
	}
	for _, c := range change {
		c(&v.Spec)
	}
	return v
}

// change alters a VaultSecret's spec.
func (w *world) change(name string, change ...func(*v1alpha1.VaultSecretSpec)) {
	w.Helper()
	v := w.get(name)
	base := v.DeepCopy()
	for _, c := range change {
		c(&v.Spec)
	}
	if err := w.kube.Patch(w.Context(), v, kube.MergeFrom(base)); err != nil {
		w.Fatal(err)
	}
}

// annotate sets an annotation of a VaultSecret.
func (w *world) annotate(obj kube.Object, key, value string) {
	w.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{key: value}}})
	if err != nil {
		w.Fatal(err)
	}
	if err := w.kube.Patch(w.Context(), obj, kube.RawPatch("application/merge-patch+json", patch)); err != nil {
		w.Fatal(err)
	}
}

// remove deletes objects.
func (w *world) remove(objs ...kube.Object) {
	w.Helper()
	for _, o := range objs {
		if err := w.kube.Delete(w.Context(), o); err != nil {
			w.Fatal(err)
		}
	}
}

// policy applies a VaultPolicy that lets subjects read and list patterns.
func (w *world) policy(patterns []v1alpha1.PathPattern, subjects ...v1alpha1.PolicySubject) *v1alpha1.VaultPolicy {
	w.Helper()
	p := &v1alpha1.VaultPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec: v1alpha1.VaultPolicySpec{
			Rules:    []v1alpha1.PolicyRule{{Paths: patterns, Permissions: []v1alpha1.Permission{"read", "list"}}},
			Subjects: subjects,
		},
	}
	if err := w.kube.Create(w.Context(), p); err != nil {
		w.Fatal(err)
	}
	return p
}

// allow lets ServiceAccount app of the test's namespace read everything below its path.
func (w *world) allow() *v1alpha1.VaultPolicy {
	w.Helper()
	return w.policy([]v1alpha1.PathPattern{v1alpha1.PathPattern(w.path("**"))}, serviceAccount(w.ns, "app"))
}

func serviceAccount(ns, name string) v1alpha1.PolicySubject {
	return v1alpha1.PolicySubject{Kind: v1alpha1.SubjectServiceAccount, Namespace: ns, Name: name}
}

// allowed is allow after it took effect.
func (w *world) allowed() *v1alpha1.VaultPolicy {
	w.Helper()
	p := w.allow()
	w.policyIs(p, "True/Applied")
	return p
}

func (w *world) key(name string) kube.ObjectKey { return kube.ObjectKey{Namespace: w.ns, Name: name} }

func (w *world) get(name string) *v1alpha1.VaultSecret {
	w.Helper()
	v := &v1alpha1.VaultSecret{}
	if err := w.kube.Get(w.Context(), w.key(name), v); err != nil {
		w.Fatal(err)
	}
	return v
}

// secret is a Secret of the test's namespace, nil if there is none.
func (w *world) secret(name string) *corev1.Secret {
	w.Helper()
	s := &corev1.Secret{}
	err := w.kube.Get(w.Context(), w.key(name), s)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// kubectl runs kubectl as cluster-admin.
func (w *world) kubectl(args ...string) string {
	w.Helper()
	out, err := w.plane.Kubectl(w.Context(), args...)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// finish checks the end state of every object, looks for values in what people can read, and removes the objects,
// so that the next operator finds an empty cluster.
func (w *world) finish() {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if !w.Failed() {
		w.inOrder(ctx)
	}
	w.leaks(ctx)
	if w.operator.Died() {
		w.Error("the operator ended by itself")
	}
	w.empty(ctx)
}

// leaks fails if any status, event or log holds a value, or a log a panic.
func (w *world) leaks(ctx context.Context) {
	w.T.Helper()
	shown := map[string]string{}
	for _, ns := range w.namespaces {
		out, err := w.plane.Kubectl(ctx, "--namespace", ns, "get", "vaultsecrets,rotationschedules,pkiissuers,events.events.k8s.io", "-o", "json")
		absent := err != nil && (strings.Contains(err.Error(), "the server doesn't have a resource type") || strings.Contains(err.Error(), "Error from server (NotFound)"))
		if err != nil && !absent { // an uninstalled kind has no statuses
			w.Error(err)
		}
		shown["a status or an event of "+ns] = out
	}
	for _, file := range append(w.logs, w.vault.Log) {
		raw, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			w.Error(err)
		}
		shown[file] = string(raw)
	}
	for where, all := range shown {
		for _, v := range w.values {
			if strings.Contains(all, v) {
				w.Errorf("%s holds the value %q", where, v)
			}
		}
		if strings.Contains(all, "panic") {
			w.Errorf("%s tells of a panic", where)
		}
	}
}

// empty removes what the test made.
func (w *world) empty(ctx context.Context) {
	w.T.Helper()
	w.operator.Kill()
	for _, o := range w.objects(ctx) {
		if err := w.kube.Delete(ctx, o); kube.IgnoreNotFound(err) != nil {
			w.Error(err)
		}
	}
}
