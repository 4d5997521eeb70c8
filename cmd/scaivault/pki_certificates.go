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
		newCertificateListCommand(a), newCertificateGetCommand(a), newCertificatePEMCommand(a), newCertificateKeyCommand(a))
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

func newCertificateKeyCommand(a *app) *cobra.Command {
	var file string
	var force, show bool
	cmd := onObject(a, "key CERTIFICATE", "Fetch the private key of a certificate whose role keeps keys", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if (file == "") == !show {
			return console.BadUsage("say where the private key goes: --out FILE, or --show-key to print it")
		}
		key, err := c.PKI.CertificateKey(ctx, args[0])
		switch {
		case err != nil:
			return err
		case show && a.JSON:
			return a.PrintJSON(map[string]string{"private_key": key.Reveal()})
		case show:
			return a.print(key.Reveal())
		}
		if err := console.WriteFile(file, []byte(key.Reveal()), 0o600, force); err != nil {
			return err
		}
		return a.done(map[string]string{"file": file}, "Wrote "+file)
	})
	cmd.Flags().StringVar(&file, "out", "", "file for it, which only its owner can read")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that exists")
	cmd.Flags().BoolVar(&show, "show-key", false, "print it")
	return cmd
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

func newValidateCommand(a *app) *cobra.Command {
	var w vaultapi.CertificateValidate
	var chain string
	cmd := onObject(a, "validate CERTIFICATE-FILE", "Say whether a certificate leads to an authority that is trusted here", 1, func(ctx context.Context, c *client.Client, args []string) (err error) {
		if w.CertificatePEM, err = a.readPublic(args[0]); err != nil {
			return err
		}
		if chain != "" {
			if w.ChainPEM, err = a.readPublic(chain); err != nil {
				return err
			}
		}
		v, err := c.PKI.Validate(ctx, w)
		if err != nil {
			return err
		}
		if err := a.Show(v, func() [][]string { return verdictRows(v) }); err != nil {
			return err
		}
		if !v.Valid {
			return fmt.Errorf("the certificate is not valid: %s", console.Clean(strings.Join(v.Errors, "; ")))
		}
		return nil
	})
	cmd.Long = "Say whether a certificate in PEM leads to an authority that is trusted here. The file may hold the authorities above it, too. The program fails if the certificate is not valid."
	cmd.Example = "  scaivault pki validate client.crt --chain client-chain.crt --check-revocation"
	cmd.Flags().StringVar(&chain, "chain", "", "file with the authorities between it and a root")
	cmd.Flags().BoolVar(&w.CheckRevocation, "check-revocation", false, "whether it, or an authority above it, was revoked, too")
	return cmd
}

func verdictRows(v *vaultapi.CertificateValidation) [][]string {
	revoked := "not checked"
	if v.RevocationChecked {
		revoked = fmt.Sprint(v.Revoked)
	}
	rows := [][]string{
		{"valid", fmt.Sprint(v.Valid)}, {"subject", v.Subject}, {"issuer", v.Issuer}, {"serial number", v.SerialNumber},
		{"life", stamp(v.NotBefore) + " to " + stamp(v.NotAfter)}, {"revoked", revoked}, {"trusted by", orDash(v.TrustedBy)},
	}
	for _, e := range v.Errors {
		rows = append(rows, []string{"error", e})
	}
	return rows
}
