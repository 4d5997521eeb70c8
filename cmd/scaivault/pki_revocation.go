package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/pkg/client"
)

func newCRLCommand(a *app) *cobra.Command {
	var anew bool
	cmd := onObject(a, "crl CA", "Print an authority's list of revoked certificates as PEM", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if anew {
			return a.regenerate(ctx, c, args[0])
		}
		text, err := currentCRL(ctx, c, args[0])
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(map[string]string{"crl_pem": text})
		}
		return a.print(text)
	})
	cmd.Long = "Print an authority's list of revoked certificates as PEM. It is made anew by itself, at each revocation at once."
	cmd.Example = "  scaivault pki ca crl services | openssl crl -noout -text"
	cmd.Flags().BoolVar(&anew, "new", false, "have it made anew now")
	return cmd
}

// currentCRL asks for the list as everybody may, by the authority's id.
func currentCRL(ctx context.Context, c *client.Client, ref string) (string, error) {
	if !strings.HasPrefix(ref, "ca_") {
		ca, err := c.PKI.Authority(ctx, ref)
		if err != nil {
			return "", err
		}
		ref = ca.ID
	}
	return c.PKI.CRL(ctx, ref)
}

func (a *app) regenerate(ctx context.Context, c *client.Client, ref string) error {
	made, err := c.PKI.RegenerateCRL(ctx, ref)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(made)
	}
	a.Remark("Number %d, %d revoked, the next one before %s", made.CRLNumber, made.RevokedCertificates, stamp(made.NextUpdate))
	return a.print(made.CRLPEM)
}
