package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newConsumersCommand(a *app) *cobra.Command {
	cmd := onSecret(a, "consumers", "Show who reads a secret, and who has not since its newest version", func(ctx context.Context, c *client.Client, path string) error {
		got, err := c.Audit.Consumers(ctx, path)
		if err != nil {
			return err
		}
		if err := a.Show(got, func() [][]string { return consumerRows(got) }); err != nil || a.JSON {
			return err
		}
		a.Remark("Version %d was made at %s; whoever read last before that holds an older one", got.Version, microStamp(got.VersionCreatedAt))
		return nil
	})
	cmd.Long = `Show the identities that read a secret over the API in the last 90 days, those that have not read it since its
newest version was made first: they hold an older one. Pods that use a Kubernetes Secret do not read the vault
themselves; their VaultSecret's ServiceAccount stands for them.

Needs scope audit:read.`
	cmd.Example = "  scaivault secrets consumers environments/production/billing/database"
	return cmd
}

func consumerRows(got *vaultapi.SecretConsumers) [][]string {
	rows := [][]string{{"IDENTITY", "HOLDS", "LAST READ", "READS"}}
	for _, r := range got.Consumers {
		holds := "version " + strconv.FormatInt(got.Version, 10)
		if r.HoldsOldVersion {
			holds = "an older version"
		}
		rows = append(rows, []string{console.Clean(r.IdentityID), holds, microStamp(r.LastReadAt), strconv.FormatInt(r.Reads, 10)})
	}
	return rows
}
