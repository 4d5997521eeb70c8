package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newSecretsCommand(a *app) *cobra.Command {
	return console.Group("secrets", "Read and write secrets",
		newReadCommand(a), newWriteCommand(a), newListCommand(a), newExpiringCommand(a), newMetadataCommand(a),
		newTagCommand(a), newVersionsCommand(a), newSecretRotateCommand(a), newConsumersCommand(a), newDeleteCommand(a), newRestoreCommand(a))
}

// onSecret is a command about one secret.
func onSecret(a *app, use, short string, run func(ctx context.Context, c *client.Client, path string) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " PATH", Short: short, Args: console.Arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return run(cmd.Context(), c, args[0])
		},
	}
}

func newReadCommand(a *app) *cobra.Command {
	var field string
	var o client.ReadOptions
	cmd := onSecret(a, "read", "Print a secret's fields and values", func(ctx context.Context, c *client.Client, path string) error {
		s, err := c.Secrets.Read(ctx, path, o)
		if err != nil {
			return err
		}
		return a.printSecret(s, field)
	})
	cmd.Example = "  scaivault secrets read environments/production/billing/database --field url"
	cmd.Flags().Int64Var(&o.Version, "version", 0, "an older version")
	cmd.Flags().StringVar(&field, "field", "", "print the value of one field and nothing else")
	return cmd
}

// secretJSON is what the API answers: unlike vaultapi.Secret it shows the values.
type secretJSON struct {
	vaultapi.SecretInfo
	Data json.RawMessage `json:"data"`
}

func (a *app) printSecret(s *vaultapi.Secret, field string) error {
	fields, err := s.Data.Fields()
	if err != nil {
		return err
	}
	if field != "" {
		return a.printField(fields, field)
	}
	return a.Show(secretJSON{s.SecretInfo, s.Data.Reveal()}, func() [][]string { return valueRows(fields) })
}

func (a *app) printField(fields map[string]json.RawMessage, name string) error {
	value, ok := fields[name]
	if !ok {
		return console.Absent(fmt.Errorf("the secret has no field %q: it has %s", name, strings.Join(sortedKeys(fields), ", ")))
	}
	text := plain(value)
	if a.JSON {
		text = string(value)
	}
	if strings.HasSuffix(text, "\n") {
		_, err := fmt.Fprint(a.Out, text)
		return err
	}
	return a.Say("%s", text)
}

// plain is a string's text, and other values' JSON.
func plain(value json.RawMessage) string {
	var s string
	if err := json.Unmarshal(value, &s); err == nil && string(value) != "null" {
		return s
	}
	return string(value)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func newMetadataCommand(a *app) *cobra.Command {
	return onSecret(a, "metadata", "Print all about a secret but its values", func(ctx context.Context, c *client.Client, path string) error {
		info, err := c.Secrets.ReadMetadata(ctx, path)
		if err != nil {
			return err
		}
		return a.Show(info, func() [][]string { return infoRows(info) })
	})
}

func infoRows(info *vaultapi.SecretInfo) [][]string {
	rows := [][]string{
		{"path", info.Path},
		{"type", info.SecretType},
		{"version", number(info.Version)},
		{"versions kept", number(info.VersionCount)},
		{"tags", console.OrDash(strings.Join(info.Tags, ", "))},
		{"created", stamp(info.CreatedAt)},
		{"updated", stamp(info.UpdatedAt)},
		{"expires", maybeStamp(info.ExpiresAt)},
		{"reads in 30 days", number(info.AccessCount30d)},
		{"last read", maybeStamp(info.LastAccessedAt)},
		{"generated from", orDash(info.SecretPolicyID)},
	}
	for _, key := range sortedKeys(info.Metadata) {
		if key != "tags" {
			rows = append(rows, []string{"metadata." + key, fmt.Sprint(info.Metadata[key])})
		}
	}
	return rows
}

func newVersionsCommand(a *app) *cobra.Command {
	return onSecret(a, "versions", "List a secret's versions", func(ctx context.Context, c *client.Client, path string) error {
		list, err := c.Secrets.Versions(ctx, path)
		if err != nil {
			return err
		}
		return a.Show(list, func() [][]string {
			rows := [][]string{{"VERSION", "STATUS", "CREATED", "BY", "READABLE UNTIL"}}
			for _, v := range list.Versions {
				rows = append(rows, []string{number(v.Version), v.Status, stamp(v.CreatedAt), v.CreatedBy, maybeStamp(v.ReadableUntil)})
			}
			return rows
		})
	})
}

func newDeleteCommand(a *app) *cobra.Command {
	var o client.DeleteOptions
	cmd := onSecret(a, "delete", "Delete a secret; it can be restored unless --hard is given", func(ctx context.Context, c *client.Client, path string) error {
		gone, err := c.Secrets.Delete(ctx, path, o)
		if err != nil {
			return err
		}
		return a.Show(gone, func() [][]string {
			if gone.RecoverableUntil == nil {
				return [][]string{{"Deleted " + gone.Path + " for good"}}
			}
			return [][]string{{"Deleted " + gone.Path + "; until " + stamp(*gone.RecoverableUntil) + ": scaivault secrets restore " + gone.Path}}
		})
	})
	cmd.Flags().BoolVar(&o.Permanent, "hard", false, "delete all versions for good")
	return cmd
}

func newRestoreCommand(a *app) *cobra.Command {
	return onSecret(a, "restore", "Undo a deletion", func(ctx context.Context, c *client.Client, path string) error {
		info, err := c.Secrets.Restore(ctx, path)
		if err != nil {
			return err
		}
		return a.Show(info, func() [][]string {
			return [][]string{{"Restored " + info.Path + " at version " + number(info.Version)}}
		})
	})
}

func newTagCommand(a *app) *cobra.Command {
	var remove, replace bool
	cmd := &cobra.Command{
		Use: "tag PATH [TAG...]", Short: "Add tags to a secret, or remove or replace them",
		Args: console.Arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove && replace || len(args) == 1 && !replace {
				return console.BadUsage("give tags to add, tags and --remove, or --replace and the new tags")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			change := func(tags []string) []string { return retagged(tags, args[1:], remove, replace) }
			return a.retag(cmd.Context(), c, args[0], change)
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "remove the tags given")
	cmd.Flags().BoolVar(&replace, "replace", false, "have these tags and no others")
	return cmd
}

func (a *app) retag(ctx context.Context, c *client.Client, path string, change func([]string) []string) error {
	info, err := c.Secrets.ReadMetadata(ctx, path)
	if err != nil {
		return err
	}
	info, err = c.Secrets.UpdateMetadata(ctx, path, map[string]any{"tags": change(info.Tags)})
	if err != nil {
		return err
	}
	return a.Show(info, func() [][]string {
		return [][]string{{info.Path, console.OrDash(strings.Join(info.Tags, ", "))}}
	})
}

// retagged never returns nil, which would remove the key.
func retagged(tags, given []string, remove, replace bool) []string {
	if replace {
		tags = nil
	}
	result := []string{}
	for _, tag := range tags {
		if !remove || !slices.Contains(given, tag) {
			result = append(result, tag)
		}
	}
	for _, tag := range given {
		if !remove && !slices.Contains(result, tag) {
			result = append(result, tag)
		}
	}
	return result
}
