package server

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/scailabs/scaivault/server/egress"
)

// egress makes what calls receivers of webhooks.
func (c Config) egress() (*egress.Client, error) {
	roots, err := c.webhookRoots()
	if err != nil {
		return nil, err
	}
	return egress.New(egress.Options{AllowPrivate: c.WebhookAllowPrivate, Roots: roots}), nil
}

// webhookRoots are the authorities of the system and those of a file; nil without a file.
func (c Config) webhookRoots() (*x509.CertPool, error) {
	if c.WebhookCAFile == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	pem, err := os.ReadFile(c.WebhookCAFile)
	if err != nil {
		return nil, fmt.Errorf("--webhook-ca-file (WEBHOOK_CA_FILE): %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--webhook-ca-file (WEBHOOK_CA_FILE) %q holds no certificate in PEM", c.WebhookCAFile)
	}
	return roots, nil
}
