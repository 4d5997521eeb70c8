package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newAuthorityRequestsCommand(a *app) *cobra.Command {
	return console.Group("requests", "Have authorities outside of the vault sign authorities of the vault",
		newAuthorityRequestListCommand(a), newAuthorityRequestGetCommand(a), newAuthorityRequestCreateCommand(a),
		newInstallCommand(a), newAuthorityRequestDeleteCommand(a))
}

func newAuthorityRequestListCommand(a *app) *cobra.Command {
	return listing[vaultapi.AuthorityRequest]{
		name: "requests", heading: []string{"ID", "NAME", "COMMON NAME", "KEY", "MADE", "BY"},
		row: func(r *vaultapi.AuthorityRequest) []string {
			return []string{r.ID, r.Name, r.CommonName, keyKind(r.KeyType, r.KeySize), stamp(r.CreatedAt), r.CreatedBy}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.AuthorityRequest, *string, error) {
			page, err := c.PKI.AuthorityRequests(ctx, at.size, at.cursor)
			if err != nil {
				return nil, nil, err
			}
			return page.Requests, page.Cursor, nil
		},
	}.command(a, "list", "List the keys that wait for a certificate from outside", 0)
}

func newAuthorityRequestGetCommand(a *app) *cobra.Command {
	return onObject(a, "get REQUEST", "Print a certificate request as PEM, for the authority outside", 1, func(ctx context.Context, c *client.Client, args []string) error {
		r, err := c.PKI.AuthorityRequest(ctx, args[0])
		if err != nil {
			return err
		}
		return a.printRequest(r)
	})
}

// printRequest prints what is to be signed outside.
func (a *app) printRequest(r *vaultapi.AuthorityRequest) error {
	if a.JSON {
		return a.PrintJSON(r)
	}
	return a.print(r.CSRPEM)
}

func newAuthorityRequestCreateCommand(a *app) *cobra.Command {
	var w vaultapi.AuthorityRequestWrite
	var most int
	cmd := &cobra.Command{
		Use: "create NAME|--renew CA", Short: "Make the key of an authority and print the request for its certificate", Args: console.Arguments(cobra.MaximumNArgs(1)),
		Example: "  scaivault pki ca requests create corporate --common-name 'Example Services' --key-type ec >corporate.csr\n" +
			"  scaivault pki ca requests create --renew corporate >corporate.csr",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (len(args) == 1) == (w.CAID != "") {
			return console.BadUsage("give either the NAME of a new authority, or --renew CA for the next key of one")
		}
		if len(args) == 1 {
			w.Name = args[0]
			if w.CommonName == "" {
				w.CommonName = w.Name
			}
		}
		if cmd.Flags().Changed("max-path-length") {
			w.MaxPathLength = &most
		}
		c, err := a.connect()
		if err != nil {
			return err
		}
		r, err := c.PKI.RequestAuthority(cmd.Context(), w)
		if err != nil {
			return err
		}
		a.Remark("%s: when it is signed, scaivault pki ca requests install %s CERTIFICATE-FILE", r.ID, r.ID)
		return a.printRequest(r)
	}
	cmd.Flags().StringVar(&w.CAID, "renew", "", "authority that was signed outside: its next key")
	cmd.Flags().StringVar(&w.CommonName, "common-name", "", "name in its certificate; default NAME")
	cmd.Flags().StringVar(&w.KeyType, "key-type", "", "rsa (default), ec or ed25519")
	cmd.Flags().IntVar(&w.KeySize, "key-size", 0, "bits: rsa 2048, 3072 or 4096; ec 256 or 384")
	cmd.Flags().IntVar(&most, "max-path-length", 0, "how many authorities its certificate must allow below it at least; default any will do")
	return cmd
}

func newInstallCommand(a *app) *cobra.Command {
	var w vaultapi.AuthorityInstall
	var chain string
	cmd := onObject(a, "install REQUEST CERTIFICATE-FILE", "Give the key of a request the certificate that was made of it", 2, func(ctx context.Context, c *client.Client, args []string) (err error) {
		if w.CertificatePEM, err = a.readPublic(args[1]); err != nil {
			return err
		}
		if chain != "" {
			if w.ChainPEM, err = a.readPublic(chain); err != nil {
				return err
			}
		}
		ca, err := c.PKI.InstallAuthority(ctx, args[0], w)
		if err != nil {
			return err
		}
		return a.done(ca, "Installed "+ca.ID+" "+ca.Name+", valid until "+stamp(ca.ValidUntil))
	})
	cmd.Flags().StringVar(&chain, "chain", "", "file with the authorities above it, up to a root")
	return cmd
}

func newAuthorityRequestDeleteCommand(a *app) *cobra.Command {
	return onObject(a, "delete REQUEST", "Forget a key that waits", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.PKI.CancelAuthorityRequest(ctx, args[0]); err != nil {
			return err
		}
		return a.done(map[string]any{"id": args[0], "deleted": true}, "Deleted "+args[0])
	})
}
