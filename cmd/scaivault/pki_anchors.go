package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newAnchorsCommand(a *app) *cobra.Command {
	return console.Group("anchors", "Say which authorities outside of the vault validation trusts",
		newAnchorListCommand(a), newAnchorGetCommand(a), newAnchorAddCommand(a), newAnchorUpdateCommand(a), newAnchorDeleteCommand(a))
}

func newAnchorListCommand(a *app) *cobra.Command {
	return listing[vaultapi.TrustAnchor]{
		name: "trust_anchors", heading: []string{"ID", "NAME", "SUBJECT", "VALID UNTIL"},
		row: func(t *vaultapi.TrustAnchor) []string { return []string{t.ID, t.Name, t.Subject, stamp(t.ValidUntil)} },
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.TrustAnchor, *string, error) {
			page, err := c.PKI.TrustAnchors(ctx, at.size, at.cursor)
			if err != nil {
				return nil, nil, err
			}
			return page.TrustAnchors, page.Cursor, nil
		},
	}.command(a, "list", "List trust anchors", 0)
}

func newAnchorGetCommand(a *app) *cobra.Command {
	return onObject(a, "get ANCHOR", "Show a trust anchor; its certificate with --json", 1, func(ctx context.Context, c *client.Client, args []string) error {
		t, err := c.PKI.TrustAnchor(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(t, func() [][]string {
			return [][]string{
				{"id", t.ID}, {"name", t.Name}, {"description", console.OrDash(t.Description)}, {"subject", t.Subject}, {"issuer", t.Issuer},
				{"serial number", t.SerialNumber}, {"valid", stamp(t.ValidFrom) + " to " + stamp(t.ValidUntil)}, {"created", stamp(t.CreatedAt)},
			}
		})
	})
}

func newAnchorAddCommand(a *app) *cobra.Command {
	var w vaultapi.TrustAnchorWrite
	cmd := onObject(a, "add NAME CERTIFICATE-FILE", "Have validation trust an authority", 2, func(ctx context.Context, c *client.Client, args []string) (err error) {
		w.Name = args[0]
		if w.CertificatePEM, err = a.readPublic(args[1]); err != nil {
			return err
		}
		t, err := c.PKI.CreateTrustAnchor(ctx, w)
		if err != nil {
			return err
		}
		return a.done(t, "Added "+t.ID+" "+t.Name+": "+t.Subject)
	})
	cmd.Example = "  scaivault pki anchors add partner partner-root.crt --description 'of the partner, until 2027'"
	cmd.Flags().StringVar(&w.Description, "description", "", "what it is for")
	return cmd
}

func newAnchorUpdateCommand(a *app) *cobra.Command {
	var name, description string
	var cmd *cobra.Command
	cmd = onObject(a, "update ANCHOR", "Change the given fields of a trust anchor", 1, func(ctx context.Context, c *client.Client, args []string) error {
		var p vaultapi.TrustAnchorPatch
		err := given(cmd.Flags(), map[string]func(){"name": func() { p.Name = &name }, "description": func() { p.Description = &description }})
		if err != nil {
			return err
		}
		t, err := c.PKI.PatchTrustAnchor(ctx, args[0], p)
		if err != nil {
			return err
		}
		return a.done(t, "Changed "+t.ID+" "+t.Name)
	})
	cmd.Flags().StringVar(&name, "name", "", "new name")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}

func newAnchorDeleteCommand(a *app) *cobra.Command {
	return onObject(a, "delete ANCHOR", "Have validation trust an authority no longer", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.PKI.DeleteTrustAnchor(ctx, args[0]); err != nil {
			return err
		}
		return a.done(map[string]any{"id": args[0], "deleted": true}, "Deleted "+args[0])
	})
}
