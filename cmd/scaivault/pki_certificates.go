package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newCertificatesCommand(a *app) *cobra.Command {
	return console.Group("certificates", "See the certificates that were made",
		newCertificateListCommand(a), newCertificateGetCommand(a), newCertificatePEMCommand(a))
}

func newCertificateListCommand(a *app) *cobra.Command {
	var f client.CertificateFilter
	cmd := listing[vaultapi.Certificate]{
		name: "certificates", heading: []string{"ID", "COMMON NAME", "VALID UNTIL", "STATUS", "ROLE", "SERIAL NUMBER"},
		none: func() string { return "There is no such certificate." },
		row: func(c *vaultapi.Certificate) []string {
			return []string{c.ID, console.OrDash(c.CommonName), stamp(c.ValidUntil), c.Status, c.Role, c.SerialNumber}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.Certificate, *string, error) {
			f.Limit, f.Cursor = at.size, at.cursor
			page, err := c.PKI.Certificates(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			return page.Certificates, page.Cursor, nil
		},
	}.command(a, "list", "List certificates, the earliest end first", 0)
	cmd.Example = "  scaivault pki certificates list --expiring-within 30d"
	cmd.Flags().StringVar(&f.ExpiringWithin, "expiring-within", "", "only those that end within this time, such as 30d")
	cmd.Flags().StringVar(&f.CAID, "ca", "", "only those of this authority")
	cmd.Flags().BoolVar(&f.IncludeRevoked, "revoked", false, "revoked ones too")
	return cmd
}

func newCertificateGetCommand(a *app) *cobra.Command {
	return onObject(a, "get CERTIFICATE", "Show a certificate", 1, func(ctx context.Context, c *client.Client, args []string) error {
		got, err := c.PKI.Certificate(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(got, func() [][]string { return certificateRows(got) })
	})
}

func certificateRows(c *vaultapi.Certificate) [][]string {
	rows := [][]string{
		{"id", c.ID}, {"serial number", c.SerialNumber}, {"common name", console.OrDash(c.CommonName)},
		{"names", console.OrDash(strings.Join(c.AltNames, " "))}, {"authority", c.CAID}, {"role", c.Role},
		{"valid", stamp(c.ValidFrom) + " to " + stamp(c.ValidUntil)}, {"status", c.Status},
		{"replaces", console.OrDash(c.Replaces)}, {"made", stamp(c.CreatedAt) + " by " + c.CreatedBy},
	}
	if c.RevokedAt != nil {
		rows = append(rows, []string{"revoked", stamp(*c.RevokedAt) + ", " + orDash(c.RevocationReason)})
	}
	return rows
}

func newCertificatePEMCommand(a *app) *cobra.Command {
	return onObject(a, "pem CERTIFICATE", "Print a certificate as PEM", 1, func(ctx context.Context, c *client.Client, args []string) error {
		text, err := c.PKI.CertificatePEM(ctx, args[0])
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(map[string]string{"certificate_pem": text})
		}
		return a.print(text)
	})
}

func newRevokeCommand(a *app) *cobra.Command {
	var w vaultapi.CertificateRevoke
	cmd := onObject(a, "revoke CERTIFICATE|SERIAL-NUMBER", "Revoke a certificate, for good", 1, func(ctx context.Context, c *client.Client, args []string) error {
		w.SerialNumber = args[0]
		if strings.HasPrefix(args[0], "cert_") {
			w.CertificateID, w.SerialNumber = args[0], ""
		}
		got, err := c.PKI.Revoke(ctx, w)
		if err != nil {
			return err
		}
		return a.done(got, fmt.Sprintf("Revoked %s %s at %s: %s", got.ID, got.CommonName, maybeStamp(got.RevokedAt), orDash(got.RevocationReason)))
	})
	cmd.Example = "  scaivault pki revoke 1A:2B:... --reason key_compromise"
	cmd.Flags().StringVar(&w.Reason, "reason", "", reasonHelp)
	return cmd
}
