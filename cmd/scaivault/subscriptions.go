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

func newSubscriptionsCommand(a *app) *cobra.Command {
	return console.Group("subscriptions", "Keep subscriptions to changes",
		newSubscriptionListCommand(a), newSubscriptionGetCommand(a), newSubscribeCommand(a), newUnsubscribeCommand(a))
}

func newSubscriptionListCommand(a *app) *cobra.Command {
	var f client.SubscriptionFilter
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List your subscriptions", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			list, err := subscriptions(cmd.Context(), c, f, limit)
			if err != nil {
				return err
			}
			a.tellMore(list.HasMore)
			return a.Show(list, func() [][]string {
				rows := [][]string{{"ID", "NAME", "STATUS", "PATHS", "EVENTS"}}
				for _, s := range list.Subscriptions {
					rows = append(rows, []string{s.ID, s.Name, s.Status, strings.Join(s.Paths, " "), eventNames(s.Events)})
				}
				return rows
			})
		},
	}
	cmd.Flags().StringVar(&f.Owner, "owner", "", "only those of this owner")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}

func subscriptions(ctx context.Context, c *client.Client, f client.SubscriptionFilter, limit int) (vaultapi.SubscriptionList, error) {
	items, cursor, err := collect(limit, func(size int, cursor string) ([]vaultapi.Subscription, *string, error) {
		f.Limit, f.Cursor = size, cursor
		page, err := c.Subscriptions.List(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		return page.Subscriptions, page.Cursor, nil
	})
	return vaultapi.SubscriptionList{Subscriptions: items, Data: items, Cursor: cursor, HasMore: cursor != nil}, err
}

func eventNames(names []string) string {
	if len(names) == 0 {
		return "all"
	}
	return strings.Join(names, " ")
}

func newSubscriptionGetCommand(a *app) *cobra.Command {
	return onObject(a, "get ID", "Show a subscription", 1, func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.Subscriptions.Get(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(s, func() [][]string {
			return [][]string{
				{"id", s.ID}, {"name", s.Name}, {"status", s.Status}, {"identity", s.IdentityID},
				{"paths", strings.Join(s.Paths, " ")}, {"events", eventNames(s.Events)},
				{"buffer size", fmt.Sprint(s.Delivery.BufferSize)}, {"owner", console.OrDash(s.Owner)}, {"created", stamp(s.CreatedAt)},
			}
		})
	})
}

func newSubscribeCommand(a *app) *cobra.Command {
	w := vaultapi.SubscriptionWrite{Delivery: vaultapi.Delivery{Type: "polling"}}
	cmd := &cobra.Command{
		Use: "create NAME --path GLOB", Short: "Subscribe to changes of paths", Args: console.Arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			w.Name = args[0]
			s, err := c.Subscriptions.Create(cmd.Context(), w)
			if err != nil {
				return err
			}
			return a.done(s, "Created "+s.ID+" "+s.Name)
		},
	}
	selectFlags(cmd, &w)
	cmd.Flags().Int64Var(&w.Delivery.BufferSize, "buffer-size", 0, "how many events it may lag; default 1000")
	return cmd
}

// selectFlags say which events a subscription is about.
func selectFlags(cmd *cobra.Command, w *vaultapi.SubscriptionWrite) {
	cmd.Flags().StringSliceVar(&w.Paths, "path", nil, "paths, as globs such as environments/production/**")
	cmd.Flags().StringSliceVar(&w.Events, "event", nil, "events, such as secret.updated or secret.*; default all")
}

func newUnsubscribeCommand(a *app) *cobra.Command {
	return onObject(a, "delete ID", "Delete a subscription", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.Subscriptions.Delete(ctx, args[0]); err != nil {
			return err
		}
		return a.done(map[string]any{"id": args[0], "deleted": true}, "Deleted "+args[0])
	})
}
