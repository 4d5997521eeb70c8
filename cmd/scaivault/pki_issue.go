package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const keptHelp = `

With --out DIRECTORY the certificate and the authorities between it and the root are written to tls.crt and the root to
ca.crt; tls.key holds the private key and can be read by you alone. Files that exist are replaced only with --force.
The private key is in the server's answer this once; it is printed only with --show-key.`

// madeCommand is a command that has a certificate made and keeps it.
func madeCommand(a *app, cmd *cobra.Command, withKey bool, order func(ctx context.Context, c *client.Client, args []string) (*vaultapi.IssuedCertificate, error)) *cobra.Command {
	var kept keptFlags
	kept.add(cmd, withKey)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := kept.ready(withKey); err != nil {
			return err
		}
		c, err := a.connect()
		if err != nil {
			return err
		}
		made, err := order(cmd.Context(), c, args)
		if err != nil {
			return err
		}
		return a.keep(made, kept)
	}
	return cmd
}

func newIssueCommand(a *app) *cobra.Command {
	var w vaultapi.CertificateIssue
	cmd := &cobra.Command{
		Use: "issue ROLE [COMMON-NAME]", Short: "Have a key and a certificate made", Long: "Have a key and a certificate made by a role." + keptHelp,
		Args: console.Arguments(cobra.RangeArgs(1, 2)),
		Example: `  scaivault pki issue svc-mtls billing.svc.cluster.local --ttl 168h --out ./billing
  scaivault pki issue svc-mtls billing.svc.cluster.local --show-key --json | jq -r .private_key`,
	}
	cmd.Flags().StringSliceVar(&w.AltNames, "name", nil, "another host name, URI or mail address; may be given again")
	cmd.Flags().StringSliceVar(&w.IPSANs, "ip", nil, "IP address; may be given again")
	cmd.Flags().StringVar(&w.TTL, "ttl", "", "how long it is valid; default and most: what the role says")
	return madeCommand(a, cmd, true, func(ctx context.Context, c *client.Client, args []string) (*vaultapi.IssuedCertificate, error) {
		if len(args) == 2 {
			w.CommonName = args[1]
		}
		return c.PKI.Issue(ctx, args[0], w)
	})
}

func newSignCommand(a *app) *cobra.Command {
	var w vaultapi.CertificateSign
	cmd := &cobra.Command{
		Use: "sign ROLE REQUEST-FILE", Short: "Have a certificate made for a key of your own",
		Long: `Have a certificate made by a role for a certificate request (PKCS #10 in PEM; - is standard input).

With --out DIRECTORY the certificate and the authorities between it and the root are written to tls.crt and the root to
ca.crt; files that exist are replaced only with --force. Otherwise the certificate is printed, with all authorities above it.`,
		Args: console.Arguments(cobra.ExactArgs(2)),
		Example: `  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -subj /CN=billing.svc.cluster.local |
    scaivault pki sign svc-mtls - >tls.crt`,
	}
	cmd.Flags().StringSliceVar(&w.AltNames, "name", nil, "names instead of the request's own, which must be allowed all the same; may be given again")
	cmd.Flags().StringSliceVar(&w.IPSANs, "ip", nil, "IP addresses instead of the request's own; may be given again")
	cmd.Flags().StringVar(&w.TTL, "ttl", "", "how long it is valid; default and most: what the role says")
	return madeCommand(a, cmd, false, func(ctx context.Context, c *client.Client, args []string) (made *vaultapi.IssuedCertificate, err error) {
		if w.CSRPEM, err = a.readPublic(args[1]); err != nil {
			return nil, err
		}
		return c.PKI.Sign(ctx, args[0], w)
	})
}

func newRenewCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "renew CERTIFICATE", Short: "Have a certificate made again with a new key",
		Long:    "Have a certificate made again, of the same names and the same life, with a new key. The old one stays valid until it ends or is revoked." + keptHelp,
		Args:    console.Arguments(cobra.ExactArgs(1)),
		Example: "  scaivault pki renew cert_abc --out ./billing --force",
	}
	return madeCommand(a, cmd, true, func(ctx context.Context, c *client.Client, args []string) (*vaultapi.IssuedCertificate, error) {
		return c.PKI.Renew(ctx, args[0])
	})
}
