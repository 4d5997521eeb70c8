package operator_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/controllers/certificates"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/operator"
	"github.com/scailabs/scaivault/test/vault"
)

const day = 24 * time.Hour

// bootstrapped makes the install's certificates as a bootstrap of long ago did, with an authority whose successor
// has been known for eight days and is due to sign.
func (w *world) bootstrapped() {
	w.Helper()
	ago := 2500 * day
	k := &certificates.Keeper{
		Secrets: w.core.CoreV1().Secrets(operator.Namespace), Namespace: operator.Namespace, Make: true, Say: func(string) {},
		Serving: []certificates.Serving{{Secret: certificates.SecretServer, Service: "scaivault-server"}, {Secret: certificates.SecretWebhook, Service: "scaivault-operator-webhook"}},
		Now:     func() time.Time { return time.Now().Add(-ago) },
	}
	for _, at := range []time.Duration{2500 * day, 8 * day} {
		ago = at
		if _, err := k.Ensure(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
	w.Cleanup(func() {
		for _, name := range []string{certificates.SecretAuthority, certificates.SecretServer, certificates.SecretWebhook} {
			_, _ = w.plane.Kubectl(context.Background(), "-n", operator.Namespace, "delete", "secret", name)
		}
	})
}

// mounted is a directory that follows a Secret: a stand-in for the kubelet.
func (w *world) mounted(secret string) string {
	w.Helper()
	dir := w.TempDir()
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan struct{})
	w.copied(ctx, secret, dir)
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.copied(ctx, secret, dir)
			}
		}
	}()
	w.Cleanup(func() { cancel(); <-done })
	return dir
}

func (w *world) copied(ctx context.Context, secret, dir string) {
	s, err := w.core.CoreV1().Secrets(operator.Namespace).Get(ctx, secret, metav1.GetOptions{})
	if err != nil {
		if ctx.Err() == nil && !apierrors.IsNotFound(err) {
			w.Error(err)
		}
		return
	}
	for key, value := range s.Data {
		file := filepath.Join(dir, key)
		if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, value) {
			continue
		}
		if err := os.WriteFile(file+".new", value, 0o600); err != nil {
			w.Error(err)
		} else if err := os.Rename(file+".new", file); err != nil {
			w.Error(err)
		}
	}
}

// installed reads one key of one of the install's Secrets.
func (w *world) installed(secret, key string) []byte {
	w.Helper()
	s, err := w.core.CoreV1().Secrets(operator.Namespace).Get(w.Context(), secret, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return s.Data[key]
}

// trusted tells whether somebody who trusts one authority believes the server.
func (w *world) trusted(authority []byte) bool {
	w.Helper()
	u, err := url.Parse(w.vault.URL)
	if err != nil {
		w.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: roots})
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// The operator lets the next authority sign, and hands certificate and bundle on; the server serves the new
// certificate without a restart, the API server is told whom to believe, and the operator goes on over it all.
func TestCertificatesAreRenewed(t *testing.T) {
	w := newWorld(t)
	w.bootstrapped()
	config := filepath.Join(controlplane.Root(), "config/webhook")
	w.kubectl("apply", "-f", filepath.Join(config, "renewal_rbac.yaml"), "-f", filepath.Join(config, "validating.yaml"))
	t.Cleanup(func() {
		_, _ = w.plane.Kubectl(context.Background(), "delete", "-f", filepath.Join(config, "renewal_rbac.yaml"), "-f", filepath.Join(config, "validating.yaml"))
	})
	dir := w.mounted(certificates.SecretServer)
	args := w.vault.Args
	w.vault.Stop()
	w.vault = vault.NewTLS(t, dir, args...)
	t.Cleanup(w.finish) // before this vault ends
	w.vault.Start()
	w.admin = w.vault.Client()
	w.operator.VaultURL = w.vault.URL
	w.operator.Args = append(w.operator.Args, "--vault-ca-file", w.vault.CA)
	old, pid := w.installed(certificates.SecretAuthority, "tls.crt"), w.vault.PID()
	if !w.trusted(old) {
		t.Fatal("the old authority does not vouch for the server")
	}
	path := w.path("db")
	w.put(path, map[string]any{"k": "1"})
	w.operator.Start()
	w.allowed()
	w.create("db", path)
	w.holds("db", "k=1")

	w.until("an authority that signs", "another", func() string {
		if bytes.Equal(w.installed(certificates.SecretAuthority, "tls.crt"), old) {
			return "the old one"
		}
		return "another"
	})
	fresh := w.installed(certificates.SecretAuthority, "tls.crt")
	w.until("the certificate that is served", "new", func() string {
		if w.trusted(fresh) && !w.trusted(old) {
			return "new"
		}
		return "old"
	})
	bundle := w.installed(certificates.SecretAuthority, certificates.KeyBundle)
	w.until("bundle of admission", "told", func() string {
		c, err := w.core.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), certificates.WebhookConfiguration, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		for _, hook := range c.Webhooks {
			if !bytes.Equal(hook.ClientConfig.CABundle, bundle) {
				return "not told"
			}
		}
		return "told"
	})
	if n := strings.Count(string(bundle), "BEGIN CERTIFICATE"); n != 2 || !bytes.Equal(w.installed(certificates.SecretWebhook, certificates.KeyBundle), bundle) {
		t.Errorf("%d authorities to trust, or admission's certificate was forgotten", n)
	}
	if w.vault.PID() != pid || !w.vault.Running() {
		t.Error("the server was restarted")
	}
	w.put(path, map[string]any{"k": "2"})
	w.holds("db", "k=2")
	w.vault.Stop() // now every connection is a new one
	w.vault.Start()
	w.put(path, map[string]any{"k": "3"})
	w.holds("db", "k=3")
	for _, file := range []string{w.operator.Log, w.vault.Log} {
		if raw, err := os.ReadFile(file); err != nil || bytes.Contains(raw, []byte("PRIVATE KEY")) {
			t.Errorf("%s holds a key, or %v", file, err)
		}
	}
}
