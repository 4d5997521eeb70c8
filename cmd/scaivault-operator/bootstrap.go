package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/scailabs/scaivault/controllers/certificates"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	secretRootKey = "scaivault-root-key"
	fileRootKey   = "root.key"

	askEvery = time.Second
)

// bootstrap makes what the server needs before it can start, once.
type bootstrap struct {
	secrets   corev1client.SecretInterface
	pods      corev1client.PodInterface
	admission admissionclient.ValidatingWebhookConfigurationInterface
	server    string // name of the Service, and of the StatefulSet
	webhook   string // name of the Service of admission; empty: none
	binary    string // scaivault-server, which knows what a root key is
	ns        string
	url       string // of the server
	now       func() time.Time
	out       io.Writer
}

func bootstrapCommand() *cobra.Command {
	var s settings
	b := &bootstrap{now: time.Now}
	var patience time.Duration
	c := &cobra.Command{
		Use:   "bootstrap",
		Short: "Make certificates and, for an empty database only, the root key",
		Long: `Makes the authority and the serving certificates of the server and of admission, and renews what has less
than a third of its life left; later the operator renews them. Then waits for the server: if it reports an empty
database and no root key exists, makes the root key. A database that has keys already is never given another root key.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.cluster()
			if err != nil {
				return err
			}
			if err := b.connect(cfg, s.namespace); err != nil {
				return fmt.Errorf("client of the cluster: %w", err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			b.url, b.out = s.vaultURL, cmd.OutOrStdout()
			return b.run(ctx)
		},
	}
	s.flags(c.Flags())
	c.Flags().StringVar(&b.server, "server", "scaivault-server", "name of the server's Service in the namespace")
	c.Flags().StringVar(&b.webhook, "webhook", "", "name of the Service of admission; without it none is served")
	c.Flags().StringVar(&b.binary, "server-binary", "scaivault-server", "program that makes a root key; the image holds it")
	c.Flags().DurationVar(&patience, "timeout", 10*time.Minute, "how long to wait for the server")
	return c
}

func (b *bootstrap) connect(cfg *rest.Config, namespace string) error {
	core, err := corev1client.NewForConfig(cfg)
	if err != nil {
		return err
	}
	admission, err := admissionclient.NewForConfig(cfg)
	if err != nil {
		return err
	}
	b.ns, b.secrets, b.pods = namespace, core.Secrets(namespace), core.Pods(namespace)
	b.admission = admission.ValidatingWebhookConfigurations()
	return nil
}

func (b *bootstrap) run(ctx context.Context) error {
	authorities, err := b.certificates(ctx)
	if err != nil {
		return err
	}
	has, err := b.hasRootKey(ctx)
	if err != nil {
		return err
	}
	if has {
		return b.say("Secret %s exists and is left as it is", secretRootKey)
	}
	empty, err := b.databaseEmpty(ctx, authorities)
	if err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("the database has keys already and Secret %s is missing: restore it from your copy (scaivault-server root-key export); a new one could open nothing", secretRootKey)
	}
	if err := b.rootKey(ctx); err != nil {
		return err
	}
	return b.startAgain(ctx)
}

// startAgain replaces the pod that waits for the root key: its kubelet would look for the new Secret only at its
// next sync, up to a minute and a half later, and mounts a new pod's at once. Only the first pod can be waiting, as a
// StatefulSet makes the second when the first is ready. The server has touched nothing so far.
func (b *bootstrap) startAgain(ctx context.Context) error {
	pod := b.server + "-0"
	err := b.pods.Delete(ctx, pod, metav1.DeleteOptions{})
	switch {
	case apierrors.IsNotFound(err): // it runs by other means
		return nil
	case err != nil: // only slower
		return b.say("Pod %s is not replaced (%s); it finds the root key at its kubelet's next sync", pod, apierrors.ReasonForError(err))
	}
	return b.say("Pod %s is replaced by one that has the root key", pod)
}

// certificates makes sure that the server, and admission where it is wanted, have serving certificates of an
// authority of ours, and returns the authorities to trust in PEM form.
func (b *bootstrap) certificates(ctx context.Context) ([]byte, error) {
	k := &certificates.Keeper{
		Secrets: b.secrets, Namespace: b.ns, Make: true, Now: b.now, Say: func(line string) { _ = b.say("%s", line) },
		Serving: []certificates.Serving{{Secret: certificates.SecretServer, Service: b.server}},
	}
	if b.webhook != "" {
		k.Serving = append(k.Serving, certificates.Serving{Secret: certificates.SecretWebhook, Service: b.webhook})
	}
	authorities, err := k.Ensure(ctx)
	if err != nil || b.webhook == "" {
		return authorities, err
	}
	changed, err := certificates.TrustWebhook(ctx, b.admission, authorities)
	if err == nil && changed {
		err = b.say("ValidatingWebhookConfiguration %s trusts the authority", certificates.WebhookConfiguration)
	}
	return authorities, err
}

func (b *bootstrap) rootKey(ctx context.Context) error {
	key, err := b.newRootKey(ctx)
	if err != nil {
		return err
	}
	_, err = b.secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretRootKey}, Data: map[string][]byte{fileRootKey: key},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return b.say("Secret %s was made meanwhile and is left as it is", secretRootKey)
	}
	if err != nil {
		return fmt.Errorf("store the root key in Secret %s: %s", secretRootKey, apierrors.ReasonForError(err))
	}
	return b.say("Secret %s holds a new root key; keep a copy outside the cluster, its loss is the loss of all secrets", secretRootKey)
}

// newRootKey lets the server's program make a root key: what one is, only the server knows.
func (b *bootstrap) newRootKey(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "scaivault-bootstrap-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, fileRootKey)
	out, err := exec.CommandContext(ctx, b.binary, "root-key", "generate", "--out", file).CombinedOutput() //nolint:gosec // the administrator's own flag
	if err != nil {
		return nil, fmt.Errorf("%s root-key generate: %w: %s", b.binary, err, out)
	}
	return os.ReadFile(file)
}

// databaseEmpty waits until the server says whether its database is empty.
func (b *bootstrap) databaseEmpty(ctx context.Context, ca []byte) (bool, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	c, err := client.New(client.Options{BaseURL: b.url, RootCAs: pool, Retries: -1, Timeout: 5 * time.Second})
	if err != nil {
		return false, err
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	var last error
	for {
		ready, err := c.System.Ready(ctx)
		if err == nil && (ready.DatabaseEmpty || ready.Checks["database"] == "ok") {
			return ready.DatabaseEmpty, nil
		}
		last = errors.Join(err, notReady(ready))
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("the server at %s did not say whether its database is empty: %w", b.url, last)
		case <-tick.C:
		}
	}
}

func notReady(r *vaultapi.Readiness) error {
	if r == nil {
		return nil
	}
	return fmt.Errorf("it is not ready: %v", r.Errors)
}

func (b *bootstrap) hasRootKey(ctx context.Context) (bool, error) {
	_, err := b.secrets.Get(ctx, secretRootKey, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read Secret %s: %w", secretRootKey, err)
	}
	return true, nil
}

func (b *bootstrap) say(format string, args ...any) error {
	_, err := fmt.Fprintf(b.out, format+"\n", args...)
	return err
}
