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

func newListCommand(a *app) *cobra.Command {
	var o client.ListOptions
	cmd := secretsListing(&o, func() error { return nil }).command(a, "list", "List the secrets you may see", 0)
	cmd.Example = "  scaivault secrets list --prefix environments/production/ --json | jq -r '.secrets[].path'"
	cmd.Flags().StringVar(&o.Prefix, "prefix", "", "only paths that begin so")
	cmd.Flags().BoolVar(&o.IncludeMetadata, "metadata", false, "with --json: metadata too")
	return cmd
}

func newExpiringCommand(a *app) *cobra.Command {
	var o client.ListOptions
	var days int
	cmd := secretsListing(&o, func() error {
		if days < 1 {
			return console.BadUsage("--days must be 1 or more")
		}
		o.ExpiringWithin = fmt.Sprintf("%dd", days)
		return nil
	}).command(a, "expiring", "List the secrets that expire soon", 0)
	cmd.Flags().IntVar(&days, "days", 30, "within how many days")
	cmd.Flags().StringVar(&o.Prefix, "prefix", "", "only paths that begin so")
	return cmd
}

// secretsListing lists the secrets that o selects, once ready has read the flags into it.
func secretsListing(o *client.ListOptions, ready func() error) listing[vaultapi.SecretInfo] {
	return listing[vaultapi.SecretInfo]{
		name: "secrets", heading: []string{"PATH", "TYPE", "VERSION", "UPDATED", "EXPIRES", "TAGS"},
		row: func(s *vaultapi.SecretInfo) []string {
			return []string{s.Path, s.SecretType, number(s.Version), stamp(s.UpdatedAt), maybeStamp(s.ExpiresAt), strings.Join(s.Tags, ",")}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.SecretInfo, *string, error) {
			if err := ready(); err != nil {
				return nil, nil, err
			}
			o.Limit, o.Cursor = at.size, at.cursor
			page, err := c.Secrets.List(ctx, *o)
			if err != nil {
				return nil, nil, err
			}
			return page.Secrets, page.Cursor, nil
		},
	}
}
