package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/scailabs/scaivault/controllers/certificates"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
)

// install is a namespace on a real API server, with a stand-in for a server that has no root key: it serves
// readiness with the certificate that the bootstrap made.
type install struct {
	*testing.T
	*bootstrap
	said  *bytes.Buffer
	ready vaultapi.Readiness
}

func newInstall(t *testing.T) *install {
	t.Helper()
	p := controlplane.Start(t)
	core := corev1client.NewForConfigOrDie(p.Config)
	ns := p.Namespace(t, "install", nil)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "scaivault-server"}}
	if _, err := core.ServiceAccounts(ns).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	i := &install{T: t, said: &bytes.Buffer{}}
	i.bootstrap = &bootstrap{secrets: core.Secrets(ns), pods: core.Pods(ns), server: "scaivault-server", ns: ns, now: time.Now, out: i.said, binary: serverBinary(t)}
	return i
}

func serverBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scaivault-server")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/scaivault-server")
	cmd.Dir = controlplane.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build scaivault-server: %v\n%s", err, out)
	}
	return path
}

// serve starts the stand-in with the serving certificate, which must be valid for the name localhost.
func (i *install) serve() {
	i.Helper()
	s := i.secret(certificates.SecretServer)
	pair, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		i.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/health/ready" {
			i.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(i.ready)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	i.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		i.Fatal(err)
	}
	i.url = "https://localhost:" + port
}

func (i *install) secret(name string) *corev1.Secret {
	i.Helper()
	s, err := i.secrets.Get(i.Context(), name, metav1.GetOptions{})
	if err != nil {
		i.Fatal(err)
	}
	return s
}

// waiting makes the server's pod, which nobody starts here.
func (i *install) waiting() {
	i.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "scaivault-server-0"}, Spec: corev1.PodSpec{
		ServiceAccountName: "scaivault-server",
		Containers:         []corev1.Container{{Name: "server", Image: "scaivault"}},
	}}
	if _, err := i.pods.Create(i.Context(), pod, metav1.CreateOptions{}); err != nil {
		i.Fatal(err)
	}
}

func (i *install) waits() bool {
	_, err := i.pods.Get(i.Context(), "scaivault-server-0", metav1.GetOptions{})
	return err == nil
}

// An empty database gets a root key, once; certificates are made once and renewed in time.
func TestBootstrap(t *testing.T) {
	i := newInstall(t)
	if _, err := i.certificates(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.serve()
	i.ready = vaultapi.Readiness{Status: "not_ready", Checks: map[string]string{"database": "ok", "encryption": "error"}, DatabaseEmpty: true}
	i.waiting()
	if err := i.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i.waits() {
		t.Error("the server's pod, which waits for the root key, was not replaced")
	}
	i.waiting()
	key, cert := i.secret(secretRootKey), i.secret(certificates.SecretServer)
	if !strings.HasPrefix(string(key.Data[fileRootKey]), "scaivault-root-key ") {
		t.Error("not a root key file")
	}
	if strings.Contains(i.said.String(), string(key.Data[fileRootKey])) {
		t.Error("the root key is printed")
	}
	if err := i.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i.secret(secretRootKey).ResourceVersion != key.ResourceVersion || i.secret(certificates.SecretServer).ResourceVersion != cert.ResourceVersion {
		t.Error("a second run wrote again")
	}
	if !i.waits() {
		t.Error("a second run ended the server's pod")
	}
	i.now = func() time.Time { return time.Now().Add(275 * 24 * time.Hour) }
	ca := i.secret(certificates.SecretAuthority)
	if _, err := i.certificates(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(i.secret(certificates.SecretServer).Data[corev1.TLSCertKey], cert.Data[corev1.TLSCertKey]) || i.secret(certificates.SecretAuthority).ResourceVersion != ca.ResourceVersion {
		t.Error("the serving certificate is renewed in the last third of its life, by the same authority")
	}
}

// A database that has keys is never given another root key.
func TestBootstrapSparesAFullDatabase(t *testing.T) {
	i := newInstall(t)
	if _, err := i.certificates(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.serve()
	i.ready = vaultapi.Readiness{Status: "not_ready", Checks: map[string]string{"database": "ok", "encryption": "error"}}
	if err := i.run(t.Context()); err == nil || !strings.Contains(err.Error(), "restore it from your copy") {
		t.Fatalf("got %v", err)
	}
	if has, err := i.hasRootKey(t.Context()); has || err != nil {
		t.Fatalf("root key made: %v", err)
	}
	i.ready = vaultapi.Readiness{Status: "not_ready", Checks: map[string]string{"database": "error"}, Errors: map[string]string{"database": "being opened"}}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := i.run(ctx); err == nil || !strings.Contains(err.Error(), "did not say") {
		t.Fatalf("a server that cannot tell yet: %v", err)
	}
}

// What is missing on the command line is said with the next step.
func TestFlags(t *testing.T) {
	kubeconfig := controlplane.Start(t).Kubeconfig
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "--kubeconfig", "/does/not/exist"}, "/does/not/exist"},
		{[]string{"run", "--kubeconfig", kubeconfig}, "--token-file"},
		{[]string{"run", "--kubeconfig", kubeconfig, "--token-file", "x", "--service-account", "y"}, "one of"},
		{[]string{"run", "--kubeconfig", kubeconfig, "--service-account", "a/b/c"}, "NAME or NAMESPACE/NAME"},
		{[]string{"run", "--kubeconfig", kubeconfig, "--service-account", "a", "--webhook-bind-address", "9443"}, "host:port"},
		{[]string{"run", "--log-level", "loud"}, "debug, info, warn or error"},
		{[]string{"accept-vault", "--kubeconfig", kubeconfig, "--vault-url", "nonsense"}, "base URL"},
	} {
		cmd := command()
		cmd.SetArgs(c.args)
		cmd.SetOut(&bytes.Buffer{})
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
