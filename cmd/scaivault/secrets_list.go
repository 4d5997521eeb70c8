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

// largestPage is the most that the API gives at once.
const largestPage = 1000

func newListCommand(a *app) *cobra.Command {
	var o client.ListOptions
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List the secrets you may see", Args: console.Arguments(cobra.NoArgs),
		Example: "  scaivault secrets list --prefix environments/production/ --json | jq -r '.secrets[].path'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listSecrets(cmd.Context(), o, limit) },
	}
	cmd.Flags().StringVar(&o.Prefix, "prefix", "", "only paths that begin so")
	cmd.Flags().BoolVar(&o.IncludeMetadata, "metadata", false, "with --json: metadata too")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}

func newExpiringCommand(a *app) *cobra.Command {
	var o client.ListOptions
	var days, limit int
	cmd := &cobra.Command{
		Use: "expiring", Short: "List the secrets that expire soon", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if days < 1 {
				return console.BadUsage("--days must be 1 or more")
			}
			o.ExpiringWithin = fmt.Sprintf("%dd", days)
			return a.listSecrets(cmd.Context(), o, limit)
		},
	}
	cmd.Flags().IntVar(&days, "days", 30, "within how many days")
	cmd.Flags().StringVar(&o.Prefix, "prefix", "", "only paths that begin so")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}

func (a *app) listSecrets(ctx context.Context, o client.ListOptions, limit int) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	items, cursor, err := collect(limit, func(size int, cursor string) ([]vaultapi.SecretInfo, *string, error) {
		o.Limit, o.Cursor = size, cursor
		page, err := c.Secrets.List(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		return page.Secrets, page.Cursor, nil
	})
	if err != nil {
		return err
	}
	list := vaultapi.SecretList{Secrets: items, Data: items, Cursor: cursor, HasMore: cursor != nil}
	a.tellMore(list.HasMore)
	return a.Show(list, func() [][]string {
		rows := [][]string{{"PATH", "TYPE", "VERSION", "UPDATED", "EXPIRES", "TAGS"}}
		for _, s := range items {
			rows = append(rows, []string{s.Path, s.SecretType, number(s.Version), stamp(s.UpdatedAt), maybeStamp(s.ExpiresAt), strings.Join(s.Tags, ",")})
		}
		return rows
	})
}

func (a *app) tellMore(more bool) {
	if more && !a.JSON {
		a.Remark("There are more: raise --limit to see them")
	}
}

// collect follows cursors until it has limit items or there are no more. The cursor is nil at the end.
func collect[T any](limit int, next func(size int, cursor string) ([]T, *string, error)) ([]T, *string, error) {
	if limit < 1 {
		return nil, nil, console.BadUsage("--limit must be 1 or more")
	}
	items := []T{}
	cursor := ""
	for {
		page, after, err := next(min(limit-len(items), largestPage), cursor)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, page...)
		if after == nil || *after == "" || *after == cursor {
			return items, nil, nil
		}
		if len(items) >= limit {
			return items, after, nil
		}
		cursor = *after
	}
}
