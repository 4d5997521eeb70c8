// Command webhook runs cert-manager's admission webhook: it fills in and guards who made a CertificateRequest, lets
// only those approve who have the right for its issuer, and validates. The webhook is an internal package of
// cert-manager, which Go lets modules below github.com/cert-manager/cert-manager import; hence the name of this one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	config "github.com/cert-manager/cert-manager/internal/apis/config/webhook"
	"github.com/cert-manager/cert-manager/internal/webhook"
	_ "github.com/cert-manager/cert-manager/internal/webhook/feature" // registers its feature gates
	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

func main() {
	flags := flag.NewFlagSet("webhook", flag.ExitOnError) // a library owns --kubeconfig of the common set
	c := config.WebhookConfiguration{MetricsListenAddress: "0"}
	flags.StringVar(&c.KubeConfig, "kubeconfig", "", "whose rights it has")
	flags.StringVar(&c.TLSConfig.Filesystem.CertFile, "tls-cert-file", "", "certificate that it serves with")
	flags.StringVar(&c.TLSConfig.Filesystem.KeyFile, "tls-private-key-file", "", "the certificate's key")
	port := flags.Int("secure-port", 10250, "where /validate and /mutate are served")
	health := flags.Int("healthz-port", 6080, "where /livez and /healthz are served")
	_ = flags.Parse(os.Args[1:])
	c.SecurePort, c.HealthzPort = int32(*port), int32(*health)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(logf.NewContext(ctx, logf.Log, "webhook"), c); err != nil {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config.WebhookConfiguration) error {
	server, err := webhook.NewCertManagerWebhookServer(logf.FromContext(ctx), c)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
