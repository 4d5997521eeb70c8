package v1alpha1_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	api "github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/test/controlplane"
	webhook "github.com/scailabs/scaivault/webhook/v1alpha1"
)

// patience bounds the API server taking up a configuration; a loaded machine may take long.
const patience = 30 * time.Second

// world is a real API server that asks our webhook as config/webhook says, on loopback.
type world struct {
	*testing.T
	kube     client.Client
	cached   client.Reader // of the webhook's manager
	ns       string
	certs    string // directory of the webhook's certificate
	warnings *warnings
	stop     func()
}

// warnings collects what the API server tells the user.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

func newWorld(t *testing.T) *world {
	t.Helper()
	plane := controlplane.Start(t)
	plane.InstallCRDs(t)
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(t.Output(), nil)))
	w := &world{T: t, ns: plane.Namespace(t, "admission", nil), warnings: &warnings{}}
	cfg := rest.CopyConfig(plane.Config)
	cfg.WarningHandler = w.warnings
	s, err := controllers.Scheme()
	w.must(err)
	w.must(admissionv1.AddToScheme(s))
	w.kube, err = client.New(cfg, client.Options{Scheme: s})
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// serve starts the webhook and returns its port and certificate.
func (w *world) serve(cfg *rest.Config) (port int, cert []byte) {
	w.Helper()
	w.certs = w.TempDir()
	cert = certificate(w.T, w.certs)
	port = freePort(w.T)
	s, err := controllers.Scheme()
	w.must(err)
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: s, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Cache: cache.Options{ReaderFailOnMissingInformer: true}, // as the operator has it
	})
	w.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	w.must(webhook.SetupWithManager(ctx, mgr, webhook.Options{CertDir: w.certs, Host: "127.0.0.1", Port: port}))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("manager: %v", err)
		}
	})
	w.Cleanup(w.stop)
	w.cached = mgr.GetClient()
	return port, cert
}

// configure applies config/webhook's own file; only where the webhook is found is another.
func (w *world) configure(port int, cert []byte) *admissionv1.ValidatingWebhookConfiguration {
	w.Helper()
	raw, err := os.ReadFile(filepath.Join(controlplane.Root(), "config/webhook/validating.yaml"))
	w.must(err)
	c := &admissionv1.ValidatingWebhookConfiguration{}
	w.must(yaml.UnmarshalStrict(raw, c))
	paths := []string{}
	for i := range c.Webhooks {
		to := &c.Webhooks[i].ClientConfig
		paths = append(paths, *to.Service.Path)
		url := fmt.Sprintf("https://127.0.0.1:%d%s", port, *to.Service.Path)
		to.Service, to.URL, to.CABundle = nil, &url, cert
		if *c.Webhooks[i].FailurePolicy != admissionv1.Ignore {
			w.Errorf("%s blocks its kind when it is down", c.Webhooks[i].Name)
		}
		c.Webhooks[i].TimeoutSeconds = new(int32(20)) // a loaded machine may take long
	}
	if want := []string{webhook.PathRotationSchedule, webhook.PathVaultPolicy, webhook.PathVaultSecret}; !slices.Equal(paths, want) {
		w.Errorf("config/webhook names %v, served are %v", paths, want)
	}
	w.must(w.kube.Create(w.Context(), c))
	w.Cleanup(func() { _ = w.kube.Delete(context.WithoutCancel(w.Context()), c) })
	return c
}

// until waits for a condition.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			w.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// refused wants the answer of a schema's refusal that holds a text.
func (w *world) refused(what string, err error, text string) {
	w.Helper()
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), text) {
		w.Errorf("%s: want a refusal with %q, got %v", what, text, err)
	}
}

func (w *world) policy(name, pattern string) *api.VaultPolicy {
	return &api.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: w.ns + "-" + name}, Spec: api.VaultPolicySpec{
		Rules: []api.PolicyRule{{Paths: []api.PathPattern{api.PathPattern(pattern)}, Permissions: []api.Permission{"read"}}},
	}}
}

func (w *world) secret(name, template string) *api.VaultSecret {
	return &api.VaultSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: api.VaultSecretSpec{
		Sources: []api.Source{{Name: "db", Path: "a/b"}}, Data: []api.DataEntry{{Key: "k", Template: template}},
	}}
}

// change updates an object and returns what the API server said.
func change[T client.Object](w *world, obj T, how func(T)) error {
	base := obj.DeepCopyObject().(client.Object)
	how(obj)
	return w.kube.Patch(w.Context(), obj, client.MergeFrom(base))
}

// What no schema can say is refused by a real API server in words that name the field, and whatever is not
// a spec is left alone.
func TestAdmission(t *testing.T) {
	w := newWorld(t)
	old := w.secret("old", "{{ env `HOME` }}") // from before there was a webhook
	w.must(w.kube.Create(t.Context(), old))
	port, cert := w.serve(controlplane.Start(t).Config)
	config := w.configure(port, cert)
	w.until("the webhook is asked", func() bool {
		err := w.kube.Create(t.Context(), w.policy("bad", "a/b**"), client.DryRunAll)
		return apierrors.IsInvalid(err)
	})

	w.policies()
	w.secrets()
	w.rotations()
	w.onlySpecs(old)
	w.down(config)
}

// policies: what is wrong is named, what misleads is warned of.
func (w *world) policies() {
	w.warnings.take()
	p := w.policy("good", "a/**")
	p.Spec.Rules[0].When = &api.PolicyConditions{IPRanges: []string{"10.0.0.0/8"}, MFA: api.MFARequired}
	p.Spec.Subjects = []api.PolicySubject{{Kind: api.SubjectServiceAccount, Namespace: w.ns, Name: "app"}}
	w.must(w.kube.Create(w.Context(), p))
	if got := w.warnings.take(); len(got) != 1 || !strings.Contains(got[0], "judged on the operator, not on the pod") {
		w.Errorf("warnings %q", got)
	}
	w.refused("an update to an unknown zone", change(w, p.DeepCopy(), func(p *api.VaultPolicy) {
		p.Spec.Rules[0].When.TimeWindow = &api.TimeWindow{Start: "08:00", End: "18:00", TimeZone: "Europe/Atlantis"}
	}), "spec.rules[0].when.timeWindow")
	w.refused("a permission of another class", w.kube.Create(w.Context(), w.policy("class", "pki:web")), "permission read does not fit a path of class pki")
	w.must(w.kube.Delete(w.Context(), p))
}

// secrets: templates, and one target for one object, also on an update.
func (w *world) secrets() {
	w.refused("a function that is not allowed", w.kube.Create(w.Context(), w.secret("bad", "{{ env `HOME` }}")), "spec.data[k].template")
	first := w.secret("first", "{{ .db.url }}")
	first.Spec.Target = &api.SecretTarget{Name: "shared"}
	w.must(w.kube.Create(w.Context(), first))
	w.until("the webhook's cache shows it", func() bool {
		return w.cached.Get(w.Context(), client.ObjectKeyFromObject(first), &api.VaultSecret{}) == nil
	})
	w.refused("a target that is taken", w.kube.Create(w.Context(), w.secret("shared", "{{ .db.url }}")), "VaultSecret first of this namespace")
	w.refused("an update to a bad template", change(w, first.DeepCopy(), func(s *api.VaultSecret) { s.Spec.Data[0].Template = "{{" }), "does not parse")
	w.must(change(w, first, func(s *api.VaultSecret) { s.Spec.Target.Name = "free" }))
	w.until("the webhook's cache shows the new target", func() bool {
		s := &api.VaultSecret{}
		return w.cached.Get(w.Context(), client.ObjectKeyFromObject(first), s) == nil && s.TargetName() == "free"
	})
	w.must(w.kube.Create(w.Context(), w.secret("shared", "{{ .db.url }}")))
}

// rotations: what no date meets, what has no zone, and what is not over when it begins again.
func (w *world) rotations() {
	schedule := func(name string, when api.RotationTimes) *api.RotationSchedule {
		return &api.RotationSchedule{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: api.RotationScheduleSpec{
			Secrets: api.RotatedSecrets{Paths: []api.SecretPath{"a/b"}}, When: when, Mode: api.RotationGenerate,
		}}
	}
	w.refused("a date that never comes", w.kube.Create(w.Context(), schedule("never", api.RotationTimes{Cron: "0 0 30 2 *"})), "spec.when.cron")
	w.refused("an unknown zone", w.kube.Create(w.Context(), schedule("zone", api.RotationTimes{Cron: "0 3 * * 6", TimeZone: "Europe/Atlantis"})), "spec.when.timeZone")
	w.refused("a rotation within the grace of the one before", w.kube.Create(w.Context(), schedule("short", api.RotationTimes{Every: "1h"})), "spec.grace.period")
	w.warnings.take()
	s := schedule("good", api.RotationTimes{Cron: "0 3 * * 6", TimeZone: "Europe/Amsterdam", Window: "2h"})
	s.Spec.Mode = api.RotationNotify
	w.must(w.kube.Create(w.Context(), s))
	if got := w.warnings.take(); len(got) != 1 || !strings.Contains(got[0], "somebody has to write the new version") {
		w.Errorf("warnings %q", got)
	}
	w.refused("an update to a window that is too long", change(w, s.DeepCopy(), func(s *api.RotationSchedule) { s.Spec.When.Window = "200h" }), "spec.when.window")
	w.must(w.kube.Delete(w.Context(), s))
}

// onlySpecs: an object that is older than a rule can be labelled, suspended, finalized and deleted.
func (w *world) onlySpecs(old *api.VaultSecret) {
	w.must(change(w, old, func(s *api.VaultSecret) { s.Labels = map[string]string{"x": "y"} }))
	w.must(change(w, old, func(s *api.VaultSecret) { s.Spec.Suspend = true }))
	w.must(change(w, old, func(s *api.VaultSecret) { s.Finalizers = []string{"scaivault.io/test"} }))
	w.must(w.kube.Delete(w.Context(), old))
	w.must(change(w, old, func(s *api.VaultSecret) { s.Finalizers = nil }))
}

// down: with the webhook down nothing is blocked; and were the policy Fail, still no delete, no finalizer and no
// label would be: the API server does not even ask.
func (w *world) down(config *admissionv1.ValidatingWebhookConfiguration) {
	w.stop()
	bad := w.secret("down", "{{ .db.url }}")
	bad.Finalizers = []string{"scaivault.io/test"}
	w.must(w.kube.Create(w.Context(), bad))
	w.must(change(w, config, func(c *admissionv1.ValidatingWebhookConfiguration) {
		for i := range c.Webhooks {
			c.Webhooks[i].FailurePolicy = new(admissionv1.Fail)
		}
	}))
	w.until("the API server asks a webhook that is down", func() bool {
		return w.kube.Create(w.Context(), w.secret("blocked", "{{ .db.url }}"), client.DryRunAll) != nil
	})
	if err := change(w, bad.DeepCopy(), func(s *api.VaultSecret) { s.Spec.Suspend = true }); err == nil {
		w.Error("a change of a spec was not judged")
	}
	w.must(change(w, bad, func(s *api.VaultSecret) { s.Labels = map[string]string{"x": "y"} }))
	w.must(w.kube.Delete(w.Context(), bad))
	w.must(change(w, bad, func(s *api.VaultSecret) { s.Finalizers = nil }))
	w.until("the object is gone", func() bool {
		return apierrors.IsNotFound(w.kube.Get(w.Context(), client.ObjectKeyFromObject(bad), &api.VaultSecret{}))
	})
}

// The component fits the install: one Deployment that serves what the Service and the configuration name.
func TestComponent(t *testing.T) {
	plane := controlplane.Start(t)
	dir := t.TempDir()
	config, err := filepath.Rel(dir, filepath.Join(controlplane.Root(), "config"))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("resources: [%s/default]\ncomponents: [%s/webhook]\n", config, config)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := plane.Kubectl(t.Context(), "kustomize", dir)
	if err != nil {
		t.Fatal(err)
	}
	for part, count := range map[string]int{
		"--webhook-cert-dir=/var/run/scaivault/webhook": 1, "mountPath: /var/run/scaivault/webhook\n": 1,
		"secretName: scaivault-operator-webhook-tls\n": 1, "kind: ValidatingWebhookConfiguration\n": 1,
		"targetPort: webhook\n": 1, "- --webhook=scaivault-operator-webhook\n": 1, "- --webhook-bind-address=:9443\n": 1,
	} {
		if got := strings.Count(out, part); got != count {
			t.Errorf("%q occurs %d times, want %d", part, got, count)
		}
	}
	plain, err := plane.Kubectl(t.Context(), "kustomize", filepath.Join(controlplane.Root(), "config/default"))
	if err != nil || strings.Contains(plain, "ValidatingWebhookConfiguration") || strings.Contains(plain, "--webhook") {
		t.Errorf("the default install has a webhook: %v", err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// A renewed certificate is served without a restart.
func TestCertificateIsReplaced(t *testing.T) {
	w := newWorld(t)
	port, first := w.serve(controlplane.Start(t).Config)
	w.until("the first certificate", func() bool { return w.serves(port, first) })
	second := certificate(t, w.certs)
	w.until("the second certificate", func() bool { return w.serves(port, second) })
	if w.serves(port, first) {
		t.Error("the first certificate is served on")
	}
}

// serves tells whether the webhook proves itself by a certificate.
func (w *world) serves(port int, cert []byte) bool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{RootCAs: roots})
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// certificate writes tls.crt and tls.key for loopback and returns the certificate, which vouches for itself.
func certificate(t *testing.T, dir string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "webhook"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, text := range map[string][]byte{"tls.crt": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert
}
