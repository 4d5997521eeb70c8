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

func newWebhooksCommand(a *app) *cobra.Command {
	return console.Group("webhooks", "Have events delivered to URLs",
		newWebhookListCommand(a), newWebhookGetCommand(a), newWebhookCreateCommand(a), newWebhookUpdateCommand(a),
		newWebhookDeleteCommand(a), newWebhookTestCommand(a), newDeliveriesCommand(a))
}

func newWebhookListCommand(a *app) *cobra.Command {
	return listing[vaultapi.Webhook]{
		name: "webhooks", heading: []string{"ID", "NAME", "STATUS", "FAILURES", "URL", "EVENTS"},
		row: func(w *vaultapi.Webhook) []string {
			return []string{w.ID, w.Name, w.Status, strconv.FormatInt(w.ConsecutiveFailures, 10), w.URL, selected(w.Events)}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.Webhook, *string, error) {
			page, err := c.Webhooks.List(ctx, at.size, at.cursor)
			if err != nil {
				return nil, nil, err
			}
			return page.Webhooks, page.Cursor, nil
		},
	}.command(a, "list", "List webhooks", 0)
}

// selected are the events of a webhook; without any it gets what rotation policies send to it.
func selected(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, " ")
}

func newWebhookGetCommand(a *app) *cobra.Command {
	return onObject(a, "get WEBHOOK", "Show a webhook and how its deliveries go", 1, func(ctx context.Context, c *client.Client, args []string) error {
		w, err := c.Webhooks.Get(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(w, func() [][]string { return webhookRows(w) })
	})
}

func webhookRows(w *vaultapi.Webhook) [][]string {
	rows := [][]string{
		{"id", w.ID}, {"name", w.Name}, {"url", w.URL}, {"status", w.Status}, {"events", selected(w.Events)},
		{"path prefix", console.OrDash(w.Filters.PathPrefix)}, {"secret type", console.OrDash(w.Filters.SecretType)},
		{"tags", console.OrDash(strings.Join(w.Filters.Tags, " "))}, {"failures in a row", strconv.FormatInt(w.ConsecutiveFailures, 10)},
		{"previous secret until", maybeStamp(w.PreviousSecretExpiresAt)}, {"created", stamp(w.CreatedAt)},
	}
	if w.EventsLost > 0 {
		rows = append(rows, []string{"events lost", fmt.Sprintf("%d, the last at %s", w.EventsLost, maybeStamp(w.EventsLostAt))})
	}
	if s := w.Statistics; s != nil {
		rows = append(rows, []string{"deliveries in 24 h", fmt.Sprint(s.Deliveries24h)}, []string{"pending", fmt.Sprint(s.Pending)},
			[]string{"success rate", percent(s.SuccessRate24h)}, []string{"latency", millis(s.AvgLatencyMS)})
	}
	if l := w.LastDelivery; l != nil {
		rows = append(rows, []string{"last delivery", fmt.Sprintf("%s %s, answer %s, at %s", l.ID, l.Status, answer(l.ResponseCode), stamp(l.Timestamp))})
	}
	return rows
}

func percent(rate *float64) string {
	if rate == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", *rate*100)
}

func millis(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", *ms)
}

func answer(code *int64) string {
	if code == nil {
		return "none"
	}
	return strconv.FormatInt(*code, 10)
}

// webhookFlags are the fields of a webhook but its name. They hold what was given.
type webhookFlags struct {
	url, secret, secretType, prefix string
	events, tags                    []string
	enabled                         bool
}

func (f *webhookFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", "", "where events are sent to, by https")
	cmd.Flags().StringVar(&f.secret, "secret", "?", "what the receiver checks signatures with; ? asks, - reads standard input, @FILE reads a file")
	cmd.Flags().StringSliceVar(&f.events, "event", nil, "events, such as rotation.due, secret.* or *")
	cmd.Flags().StringVar(&f.prefix, "path-prefix", "", "only events of paths that begin so, such as environments/production/")
	cmd.Flags().StringVar(&f.secretType, "secret-type", "", "only events of secrets of this type")
	cmd.Flags().StringSliceVar(&f.tags, "tag", nil, "only events of secrets with one of these tags")
	cmd.Flags().BoolVar(&f.enabled, "enabled", true, "whether events are delivered")
}

func (f *webhookFlags) filters() *vaultapi.WebhookFilters {
	return &vaultapi.WebhookFilters{PathPrefix: f.prefix, SecretType: f.secretType, Tags: f.tags}
}

// signingSecret reads what a flag names.
func (a *app) signingSecret(given string) (vaultapi.SigningSecret, error) {
	text, err := a.value("secret", given)
	return vaultapi.SigningSecret(strings.TrimRight(text, "\r\n")), err
}

func newWebhookCreateCommand(a *app) *cobra.Command {
	var f webhookFlags
	cmd := onObject(a, "create NAME --url URL --event EVENT", "Have events delivered to a URL", 1, func(ctx context.Context, c *client.Client, args []string) error {
		secret, err := a.signingSecret(f.secret)
		if err != nil {
			return err
		}
		w, err := c.Webhooks.Create(ctx, vaultapi.WebhookWrite{
			Name: args[0], URL: f.url, Secret: secret, Events: f.events, Filters: f.filters(), Enabled: &f.enabled,
		})
		if err != nil {
			return err
		}
		return a.done(w, "Created "+w.ID+" "+w.Name)
	})
	cmd.Example = "  openssl rand -hex 32 | tee signing-secret | \\\n" +
		"    scaivault webhooks create prod-rotations --url https://ops.example.com/hook --event 'rotation.*' --path-prefix environments/production/ --secret -"
	f.add(cmd)
	return cmd
}

func newWebhookUpdateCommand(a *app) *cobra.Command {
	var f webhookFlags
	var name, overlap string
	var cmd *cobra.Command
	cmd = onObject(a, "update WEBHOOK", "Change the given fields of a webhook", 1, func(ctx context.Context, c *client.Client, args []string) error {
		p := vaultapi.WebhookPatch{PreviousSecretTTL: overlap}
		err := given(cmd.Flags(), map[string]func(){
			"name": func() { p.Name = &name }, "url": func() { p.URL = &f.url }, "event": func() { p.Events = &f.events },
			"path-prefix": func() { p.Filters = f.filters() }, "secret-type": func() { p.Filters = f.filters() },
			"tag": func() { p.Filters = f.filters() }, "enabled": func() { p.Enabled = &f.enabled },
			"secret": func() {}, "previous-secret-ttl": func() {},
		})
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("secret") {
			secret, err := a.signingSecret(f.secret)
			if err != nil {
				return err
			}
			p.Secret = &secret
		}
		w, err := c.Webhooks.Patch(ctx, args[0], p)
		if err != nil {
			return err
		}
		return a.done(w, "Changed "+w.ID+" "+w.Name)
	})
	cmd.Long = "Change the given fields of a webhook. The filters are replaced together: what of --path-prefix, --secret-type and --tag is not given is dropped once one of them is."
	cmd.Example = "  openssl rand -hex 32 | tee signing-secret | scaivault webhooks update prod-rotations --secret - --previous-secret-ttl 24h\n" +
		"  scaivault webhooks update prod-rotations --enabled=false"
	cmd.Flags().StringVar(&name, "name", "", "new name")
	f.add(cmd)
	cmd.Flags().StringVar(&overlap, "previous-secret-ttl", "", "how long deliveries carry the signature with the secret before as well, such as 24h")
	return cmd
}

func newWebhookDeleteCommand(a *app) *cobra.Command {
	return onObject(a, "delete WEBHOOK", "Delete a webhook with what was not yet delivered", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.Webhooks.Delete(ctx, args[0]); err != nil {
			return err
		}
		return a.done(map[string]any{"id": args[0], "deleted": true}, "Deleted "+args[0])
	})
}

func newWebhookTestCommand(a *app) *cobra.Command {
	cmd := onObject(a, "test WEBHOOK", "Send a test event once and tell what came of it", 1, func(ctx context.Context, c *client.Client, args []string) error {
		t, err := c.Webhooks.Test(ctx, args[0])
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s: %s, answer %s after %.1f ms", t.DeliveryID, t.Status, answer(t.ResponseCode), t.DurationMS)
		if err := a.done(t, line); err != nil {
			return err
		}
		if t.Error != "" {
			return fmt.Errorf("the test was not delivered: %s", console.Clean(t.Error))
		}
		return nil
	})
	cmd.Long = "Send a test event once and tell what came of it. The program fails if the receiver did not take it."
	return cmd
}

func newDeliveriesCommand(a *app) *cobra.Command {
	var o client.DeliveryOptions
	cmd := listing[vaultapi.WebhookDelivery]{
		name: "deliveries", heading: []string{"MADE", "ID", "EVENT", "PATH", "STATUS", "ATTEMPTS", "ANSWER", "NEXT ATTEMPT", "ERROR"},
		row: deliveryRow, limit: 20,
		page: func(ctx context.Context, c *client.Client, args []string, at position) ([]vaultapi.WebhookDelivery, *string, error) {
			o.Limit, o.Cursor = at.size, at.cursor
			page, err := c.Webhooks.Deliveries(ctx, args[0], o)
			if err != nil {
				return nil, nil, err
			}
			return page.Deliveries, page.Cursor, nil
		},
	}.command(a, "deliveries WEBHOOK", "List a webhook's deliveries, newest first", 1)
	cmd.Flags().StringVar(&o.Status, "status", "", "only success, failed or pending")
	return cmd
}

func deliveryRow(d *vaultapi.WebhookDelivery) []string {
	return []string{
		microStamp(d.Timestamp), d.ID, d.EventType, console.OrDash(d.Path), d.Status, strconv.FormatInt(d.Attempts, 10),
		answer(d.ResponseCode), maybeStamp(d.NextAttemptAt), console.OrDash(d.Error),
	}
}
