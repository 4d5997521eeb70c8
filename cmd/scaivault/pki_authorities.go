package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newAuthoritiesCommand(a *app) *cobra.Command {
	return console.Group("ca", "Keep certificate authorities",
		newAuthorityListCommand(a), newAuthorityGetCommand(a), newAuthorityCreateCommand(a), newAuthorityCertificateCommand(a),
		newCRLCommand(a), newSlotListCommand(a), newBundleCommand(a), newPrepareCommand(a), newActivateCommand(a), newRetireCommand(a),
		newAuthorityRequestsCommand(a), newAuthorityRevokeCommand(a))
}

func newAuthorityListCommand(a *app) *cobra.Command {
	return listing[vaultapi.Authority]{
		name: "authorities", heading: []string{"ID", "NAME", "TYPE", "KEY", "VALID UNTIL", "STATE", "CERTIFICATES"},
		row: func(ca *vaultapi.Authority) []string {
			return []string{ca.ID, ca.Name, ca.CAType, keyKind(ca.KeyType, ca.KeySize), stamp(ca.ValidUntil), authorityState(ca), number(ca.CertificatesIssued)}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.Authority, *string, error) {
			page, err := c.PKI.Authorities(ctx, at.size, at.cursor)
			if err != nil {
				return nil, nil, err
			}
			return page.Authorities, page.Cursor, nil
		},
	}.command(a, "list", "List authorities", 0)
}

func keyKind(kind string, bits int) string {
	return strings.TrimSpace(fmt.Sprintf("%s %d", kind, bits))
}

func authorityState(ca *vaultapi.Authority) string {
	switch {
	case ca.RevokedAt != nil:
		return "revoked"
	case ca.IsActive:
		return "active"
	}
	return "expired"
}

func newAuthorityGetCommand(a *app) *cobra.Command {
	return onObject(a, "get CA", "Show an authority", 1, func(ctx context.Context, c *client.Client, args []string) error {
		ca, err := c.PKI.Authority(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(ca, func() [][]string { return authorityRows(ca) })
	})
}

func authorityRows(ca *vaultapi.Authority) [][]string {
	rows := [][]string{
		{"id", ca.ID}, {"name", ca.Name}, {"common name", ca.CommonName}, {"type", ca.CAType}, {"parent", orDash(ca.ParentCAID)},
		{"key", keyKind(ca.KeyType, ca.KeySize)}, {"serial number", ca.SerialNumber}, {"state", authorityState(ca)},
		{"valid", stamp(ca.ValidFrom) + " to " + stamp(ca.ValidUntil)}, {"authorities below", pathLength(ca.MaxPathLength)},
		{"certificates", number(ca.CertificatesIssued)},
	}
	for _, names := range []struct {
		what string
		list []string
	}{
		{"permitted domains", ca.PermittedDNSDomains}, {"excluded domains", ca.ExcludedDNSDomains},
		{"permitted addresses", ca.PermittedIPRanges}, {"excluded addresses", ca.ExcludedIPRanges},
	} {
		if len(names.list) > 0 {
			rows = append(rows, []string{names.what, strings.Join(names.list, " ")})
		}
	}
	if ca.RevokedAt != nil {
		rows = append(rows, []string{"revoked", stamp(*ca.RevokedAt) + ", " + orDash(ca.RevocationReason)})
	}
	return rows
}

// pathLength is how many authorities may stand between one and a certificate.
func pathLength(most *int) string {
	if most == nil {
		return "any number"
	}
	return strconv.Itoa(*most)
}

func newAuthorityCreateCommand(a *app) *cobra.Command {
	var w vaultapi.AuthorityWrite
	var most int
	var cmd *cobra.Command
	cmd = onObject(a, "create NAME", "Create a root, or with --parent an authority below one", 1, func(ctx context.Context, c *client.Client, args []string) error {
		w.Name, w.CAType = args[0], "root"
		if w.ParentCAID != "" {
			w.CAType = "intermediate"
		}
		if w.CommonName == "" {
			w.CommonName = w.Name
		}
		if cmd.Flags().Changed("max-path-length") {
			w.MaxPathLength = &most
		}
		ca, err := c.PKI.CreateAuthority(ctx, w)
		if err != nil {
			return err
		}
		return a.done(ca, fmt.Sprintf("Created %s %s, valid until %s", ca.ID, ca.Name, stamp(ca.ValidUntil)))
	})
	cmd.Example = "  scaivault pki ca create root --common-name 'Example Root' --key-type ec --max-path-length 1\n" +
		"  scaivault pki ca create services --parent root --common-name 'Example Services' --key-type ec --permit-domain svc.cluster.local"
	f := cmd.Flags()
	f.StringVar(&w.ParentCAID, "parent", "", "authority that signs it; without one it is a root")
	f.StringVar(&w.CommonName, "common-name", "", "name in its certificate; default NAME")
	f.StringVar(&w.KeyType, "key-type", "", "rsa (default), ec or ed25519")
	f.IntVar(&w.KeySize, "key-size", 0, "bits: rsa 2048, 3072 or 4096; ec 256 or 384")
	f.IntVar(&w.ValidityDays, "days", 0, "how long it is valid; default 3650, below another 1825")
	f.IntVar(&most, "max-path-length", 0, "how many authorities may stand between it and a certificate; default as many as the parent leaves")
	f.StringSliceVar(&w.PermittedDNSDomains, "permit-domain", nil, "only names of this domain and below; may be given again")
	f.StringSliceVar(&w.ExcludedDNSDomains, "exclude-domain", nil, "no names of this domain and below; may be given again")
	f.StringSliceVar(&w.PermittedIPRanges, "permit-range", nil, "only addresses of this range, such as 10.0.0.0/8; may be given again")
	f.StringSliceVar(&w.ExcludedIPRanges, "exclude-range", nil, "no addresses of this range; may be given again")
	return cmd
}

func newAuthorityCertificateCommand(a *app) *cobra.Command {
	var chain bool
	cmd := onObject(a, "certificate CA", "Print an authority's certificate as PEM", 1, func(ctx context.Context, c *client.Client, args []string) error {
		got, err := c.PKI.AuthorityCertificate(ctx, args[0])
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(got)
		}
		text := got.CertificatePEM
		if chain {
			text += got.CAChainPEM
		}
		return a.print(text)
	})
	cmd.Example = "  scaivault pki ca certificate root >ca.crt"
	cmd.Flags().BoolVar(&chain, "chain", false, "then those above it, up to the root")
	return cmd
}

func newAuthorityRevokeCommand(a *app) *cobra.Command {
	var w vaultapi.AuthorityRevoke
	cmd := onObject(a, "revoke CA", "Revoke an authority with everything below it, for good", 1, func(ctx context.Context, c *client.Client, args []string) error {
		ca, err := c.PKI.RevokeAuthority(ctx, args[0], w)
		if err != nil {
			return err
		}
		return a.done(ca, fmt.Sprintf("Revoked %s %s and everything below it", ca.ID, ca.Name))
	})
	cmd.Flags().StringVar(&w.Reason, "reason", "", reasonHelp)
	return cmd
}
