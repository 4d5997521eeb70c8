package main

import (
	"context"
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
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	secretRootKey = "scaivault-root-key"
	secretCA      = "scaivault-ca"
	secretTLS     = "scaivault-server-tls"
	fileRootKey   = "root.key"
	fileCA        = "ca.crt"

	askEvery = time.Second
)

// bootstrap makes what the server needs before it can start, once.
type bootstrap struct {
	secrets corev1client.SecretInterface
	server  string // name of the Service
	binary  string // scaivault-server, which knows what a root key is
	ns      string
	url     string // of the server
	now     func() time.Time
	out     io.Writer
}

func bootstrapCommand() *cobra.Command {
	var s settings
	var server, binary string
	var patience time.Duration
	c := &cobra.Command{
		Use:   "bootstrap",
		Short: "Make certificates and, for an empty database only, the root key",
		Long: `Makes the authority and the serving certificate of the server, and renews the certificate when it has
less than a third of its life left. Then waits for the server: if it reports an empty database and no root
key exists, makes the root key. A database that has keys already is never given another root key.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.cluster()
			if err != nil {
				return err
			}
			core, err := corev1client.NewForConfig(cfg)
			if err != nil {
				return fmt.Errorf("client of the cluster: %w", err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			b := &bootstrap{secrets: core.Secrets(s.namespace), server: server, binary: binary, ns: s.namespace, url: s.vaultURL, now: time.Now, out: cmd.OutOrStdout()}
			return b.run(ctx)
		},
	}
	s.flags(c.Flags())
	c.Flags().StringVar(&server, "server", "scaivault-server", "name of the server's Service in the namespace")
	c.Flags().StringVar(&binary, "server-binary", "scaivault-server", "program that makes a root key; the image holds it")
	c.Flags().DurationVar(&patience, "timeout", 10*time.Minute, "how long to wait for the server")
	return c
}

func (b *bootstrap) run(ctx context.Context) error {
	ca, err := b.certificates(ctx)
	if err != nil {
		return err
	}
	has, err := b.get(ctx, secretRootKey)
	if err != nil {
		return err
	}
	if has != nil {
		return b.say("Secret %s exists and is left as it is", secretRootKey)
	}
	empty, err := b.databaseEmpty(ctx, ca)
	if err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("the database has keys already and Secret %s is missing: restore it from your copy (scaivault-server root-key export); a new one could open nothing", secretRootKey)
	}
	return b.rootKey(ctx)
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
	pool, err := pool(ca)
	if err != nil {
		return false, err
	}
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

// get reads a Secret, nil if there is none.
func (b *bootstrap) get(ctx context.Context, name string) (*corev1.Secret, error) {
	s, err := b.secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	return s, nil
}

func (b *bootstrap) say(format string, args ...any) error {
	_, err := fmt.Fprintf(b.out, format+"\n", args...)
	return err
}
