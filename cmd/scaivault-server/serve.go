package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/scailabs/scaivault/server"
)

// setting binds a flag to the environment variable that gives its value when the flag is absent.
type setting struct{ flag, env string }

func settings() []setting {
	return []setting{
		{"listen", "BIND_ADDRESS"}, {"data-dir", "DATA_DIR"}, {"database-url", "DATABASE_URL"},
		{"database-direct-url", "DATABASE_DIRECT_URL"}, {"root-key-file", "ROOT_KEY_FILE"},
		{"tls-cert-file", "TLS_CERT_FILE"}, {"tls-key-file", "TLS_KEY_FILE"}, {"insecure-http", "INSECURE_HTTP"},
		{"dev-token", "SCAIVAULT_DEV_TOKEN"}, {"log-level", "LOG_LEVEL"}, {"log-format", "LOG_FORMAT"},
		{"kubernetes-auth", "KUBERNETES_AUTH"}, {"operator-service-account", "OPERATOR_SERVICE_ACCOUNT"},
		{"rate-limits", "RATE_LIMITS"}, {"public-metrics", "PUBLIC_METRICS"}, {"trusted-proxy", "TRUSTED_PROXIES"},
		{"public-url", "PUBLIC_URL"}, {"webhook-allow-private", "WEBHOOK_ALLOW_PRIVATE"}, {"webhook-ca-file", "WEBHOOK_CA_FILE"},
	}
}

// fromEnvironment sets the flags that the command line left open. A value is never a flag's default, so that
// --help shows none of them.
func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	for _, s := range settings() {
		f, value := flags.Lookup(s.flag), getenv(s.env)
		if f == nil || f.Changed || value == "" {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			return fmt.Errorf("environment variable %s: %w", s.env, err)
		}
	}
	return nil
}

// addSharedFlags adds what every command needs that reaches a server's data.
func addSharedFlags(f *pflag.FlagSet, c *server.Config) {
	f.StringVar(&c.DataDir, "data-dir", "", "directory of the embedded database (DATA_DIR)")
	f.StringVar(&c.DatabaseURL, "database-url", "", "PostgreSQL instead of the embedded database; better given as DATABASE_URL, where no process list shows it")
	f.StringVar(&c.RootKeyFile, "root-key-file", "", "file of the root key (ROOT_KEY_FILE)")
}

func addServeFlags(f *pflag.FlagSet, c *server.Config) {
	f.BoolVar(&c.Dev, "dev", false, "development: plain HTTP, an all-powerful token, hardly any rate limit, a root key of its own, temporary data unless --data-dir is given")
	f.StringVar(&c.DevToken, "dev-token", "", "the token of --dev; one is drawn and printed when absent (SCAIVAULT_DEV_TOKEN)")
	f.StringVar(&c.Listen, "listen", "", "host:port; default 0.0.0.0:8443, with --dev 127.0.0.1:8443 (BIND_ADDRESS)")
	f.StringVar(&c.DatabaseDirectURL, "database-direct-url", "", "PostgreSQL without a pooler in between, for wake-ups (DATABASE_DIRECT_URL)")
	f.StringVar(&c.TLSCertFile, "tls-cert-file", "", "certificate chain in PEM; reloaded when it changes (TLS_CERT_FILE)")
	f.StringVar(&c.TLSKeyFile, "tls-key-file", "", "private key in PEM (TLS_KEY_FILE)")
	f.BoolVar(&c.InsecureHTTP, "insecure-http", false, "plain HTTP, where TLS ends before this server (INSECURE_HTTP)")
	f.StringVar(&c.LogLevel, "log-level", "", "debug, info, warn or error; default info (LOG_LEVEL)")
	f.StringVar(&c.LogFormat, "log-format", "", "json or text; default json, with --dev text (LOG_FORMAT)")
	f.BoolVar(&c.KubernetesAuth, "kubernetes-auth", false, "ServiceAccounts of this cluster may exchange their tokens (KUBERNETES_AUTH)")
	f.StringVar(&c.Kubeconfig, "kubeconfig", "", "how to reach this cluster; default: as a pod of it")
	f.StringArrayVar(&c.Clusters, "cluster", nil, "a further cluster: name=NAME,issuer=URL and kubeconfig=FILE, or jwks=FILE-OR-URL[,ca=FILE]; may be repeated")
	f.StringVar(&c.OperatorAccount, "operator-service-account", "", "<namespace>/<name> of the operator's ServiceAccount (OPERATOR_SERVICE_ACCOUNT)")
	f.StringVar(&c.RateLimits, "rate-limits", "", "profile documented or cluster; default cluster (RATE_LIMITS)")
	f.StringArrayVar(&c.RateLimitOverrides, "rate-limit", nil, "<category>=<calls per minute>; may be repeated")
	f.StringSliceVar(&c.TrustedProxies, "trusted-proxy", nil, "network whose X-Forwarded-For is believed; may be repeated (TRUSTED_PROXIES, comma-separated)")
	f.StringVar(&c.PublicURL, "public-url", "", "where clients outside reach this server, such as http://vault.example.com: certificates name lists and OCSP under it (PUBLIC_URL)")
	f.BoolVar(&c.WebhookAllowPrivate, "webhook-allow-private", false, "webhooks may be delivered to addresses that are not public, and by plain http (WEBHOOK_ALLOW_PRIVATE)")
	f.StringVar(&c.WebhookCAFile, "webhook-ca-file", "", "further authorities of webhook receivers' certificates, in PEM (WEBHOOK_CA_FILE)")
	f.BoolVar(&c.PublicMetrics, "public-metrics", false, "/v1/metrics without a token (PUBLIC_METRICS)")
}

func (c *command) serve(ctx context.Context) error {
	config := c.config
	if config.Dev && config.LogFormat == "" {
		config.LogFormat = "text"
	}
	drawn := config.Dev && config.DevToken == ""
	if drawn {
		config.DevToken = server.DrawDevToken()
	}
	s, err := server.New(ctx, config)
	if err != nil {
		return err
	}
	if config.Dev {
		_, _ = fmt.Fprintf(c.out, "ScaiVault for development (not for real secrets): http://%s\n", s.Addr())
	}
	if drawn {
		_, _ = fmt.Fprintf(c.out, "token: %s\n", strings.TrimSpace(config.DevToken))
	}
	return s.Run(ctx)
}
