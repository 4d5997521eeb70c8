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
		newSubscriptionListCommand(a), newSubscriptionGetCommand(a), newSubscribeCommand(a),
		newSubscriptionUpdateCommand(a), newUnsubscribeCommand(a))
}

func newSubscriptionListCommand(a *app) *cobra.Command {
	var f client.SubscriptionFilter
	cmd := listing[vaultapi.Subscription]{
		name: "subscriptions", heading: []string{"ID", "NAME", "STATUS", "PATHS", "EVENTS"},
		row: func(s *vaultapi.Subscription) []string {
			return []string{s.ID, s.Name, s.Status, strings.Join(s.Paths, " "), eventNames(s.Events)}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.Subscription, *string, error) {
			f.Limit, f.Cursor = at.size, at.cursor
			page, err := c.Subscriptions.List(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			return page.Subscriptions, page.Cursor, nil
		},
	}.command(a, "list", "List your subscriptions", 0)
	cmd.Flags().StringVar(&f.Owner, "owner", "", "only those of this owner")
	return cmd
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
				{"delivery", deliveryOf(s.Delivery)}, {"owner", console.OrDash(s.Owner)}, {"created", stamp(s.CreatedAt)},
			}
		})
	})
}

func newSubscribeCommand(a *app) *cobra.Command {
	var w vaultapi.SubscriptionWrite
	var d deliveryFlags
	cmd := &cobra.Command{
		Use: "create NAME --path GLOB", Short: "Subscribe to changes of paths", Args: console.Arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			w.Name = args[0]
			if w.Delivery, err = d.delivery(a); err != nil {
				return err
			}
			s, err := c.Subscriptions.Create(cmd.Context(), w)
			if err != nil {
				return err
			}
			return a.done(s, "Created "+s.ID+" "+s.Name)
		},
	}
	selectFlags(cmd, &w)
	d.add(cmd)
	return cmd
}

// deliveryFlags say how events reach the subscriber.
type deliveryFlags struct {
	url, secret string
	buffer      int64
}

func (d *deliveryFlags) add(cmd *cobra.Command) {
	cmd.Flags().Int64Var(&d.buffer, "buffer-size", 0, "of polling: how many events it may lag; default 1000")
	cmd.Flags().StringVar(&d.url, "webhook-url", "", "have events delivered to this URL, by https, instead of polling for them")
	cmd.Flags().StringVar(&d.secret, "webhook-secret", "", "what the receiver checks signatures with; ? asks, - reads standard input, @FILE reads a file")
}

func (d *deliveryFlags) delivery(a *app) (vaultapi.Delivery, error) {
	if d.url == "" {
		return vaultapi.Delivery{Type: "polling", BufferSize: d.buffer}, nil
	}
	out := vaultapi.Delivery{Type: "webhook", URL: d.url}
	if d.secret == "" {
		return out, nil
	}
	var err error
	out.Secret, err = a.signingSecret(d.secret)
	return out, err
}

func deliveryOf(d vaultapi.Delivery) string {
	if d.URL != "" {
		return d.Type + " to " + d.URL
	}
	return fmt.Sprintf("%s, may lag %d events", d.Type, d.BufferSize)
}

func newSubscriptionUpdateCommand(a *app) *cobra.Command {
	var w vaultapi.SubscriptionWrite
	var d deliveryFlags
	var polling bool
	var cmd *cobra.Command
	cmd = onObject(a, "update ID", "Change the given fields of a subscription", 1, func(ctx context.Context, c *client.Client, args []string) error {
		var p vaultapi.SubscriptionPatch
		changed := cmd.Flags().Changed
		if changed("name") {
			p.Name = &w.Name
		}
		if changed("path") {
			p.Paths = &w.Paths
		}
		if changed("event") {
			p.Events = &w.Events
		}
		if polling || changed("buffer-size") || changed("webhook-url") {
			delivery, err := d.delivery(a)
			if err != nil {
				return err
			}
			p.Delivery = &delivery
		}
		if p == (vaultapi.SubscriptionPatch{}) {
			return console.BadUsage("nothing is to change: give at least one of the flags; --webhook-secret goes with --webhook-url")
		}
		s, err := c.Subscriptions.Patch(ctx, args[0], p)
		if err != nil {
			return err
		}
		return a.done(s, "Changed "+s.ID+" "+s.Name)
	})
	cmd.Flags().StringVar(&w.Name, "name", "", "new name")
	cmd.Flags().BoolVar(&polling, "polling", false, "poll for events from now on")
	selectFlags(cmd, &w)
	d.add(cmd)
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
