package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newTrustCommand(a *app) *cobra.Command {
	return console.Group("trust", "Say which Kubernetes ServiceAccounts may exchange their tokens, and what they become",
		newTrustListCommand(a), newTrustGetCommand(a), newTrustAddCommand(a), newTrustSetCommand(a), newTrustRemoveCommand(a))
}

func newTrustListCommand(a *app) *cobra.Command {
	var f client.TrustRuleFilter
	cmd := listing[vaultapi.TrustRule]{
		name: "trust_rules", heading: []string{"NAME", "CLUSTER", "NAMESPACE", "SERVICE ACCOUNT", "IDENTITY", "LIFE", "SCOPES"},
		row: func(r *vaultapi.TrustRule) []string {
			return []string{r.Name, r.Cluster, orAny(r.Namespace), orAny(r.ServiceAccount), r.Identity, r.Life, strings.Join(r.Scopes, ",")}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.TrustRule, *string, error) {
			f.Limit, f.Cursor = at.size, at.cursor
			page, err := c.TrustRules.List(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			return page.TrustRules, page.Cursor, nil
		},
	}.command(a, "list", "List trust rules", 0)
	cmd.Flags().StringVar(&f.Cluster, "cluster", "", "only those of this cluster")
	return cmd
}

func orAny(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

func newTrustGetCommand(a *app) *cobra.Command {
	return onObject(a, "get RULE", "Show a trust rule", 1, func(ctx context.Context, c *client.Client, args []string) error {
		r, err := c.TrustRules.Get(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(r, func() [][]string { return trustRows(r) })
	})
}

func trustRows(r *vaultapi.TrustRule) [][]string {
	return [][]string{
		{"id", r.ID}, {"name", r.Name}, {"cluster", r.Cluster}, {"namespace", orAny(r.Namespace)},
		{"service account", orAny(r.ServiceAccount)}, {"identity", r.Identity}, {"scopes", strings.Join(r.Scopes, ",")},
		{"life", r.Life}, {"owner", console.OrDash(r.Owner)}, {"created", stamp(r.CreatedAt)},
	}
}

// trustFlags are the fields of a rule but its name.
func trustFlags(f *pflag.FlagSet, w *vaultapi.TrustRuleWrite) {
	f.StringVar(&w.Cluster, "cluster", "", "cluster that issues the tokens; default home")
	f.StringVar(&w.Namespace, "namespace", "", "namespace; empty: every one")
	f.StringVar(&w.ServiceAccount, "service-account", "", "ServiceAccount of that namespace; empty: every one")
	f.StringVar(&w.Identity, "identity", "", "identity; an alias such as sa:billing-prod needs namespace and ServiceAccount")
	f.StringSliceVar(&w.Scopes, "scopes", nil, "scopes, comma-separated; default those that a workload needs")
	f.StringVar(&w.Life, "life", "", "life of the tokens, from 1m to 1h; default 10m")
}

func newTrustAddCommand(a *app) *cobra.Command {
	var w vaultapi.TrustRuleWrite
	cmd := onObject(a, "add NAME", "Add a trust rule; the most specific rule decides alone", 1, func(ctx context.Context, c *client.Client, args []string) error {
		w.Name = args[0]
		r, err := c.TrustRules.Create(ctx, w)
		if err != nil {
			return err
		}
		return a.done(r, fmt.Sprintf("Added %s %s: %s", r.ID, r.Name, r.Identity))
	})
	cmd.Example = "  scaivault trust add billing --namespace billing --service-account billing-prod --identity sa:billing-prod\n" +
		"  scaivault trust add edge --cluster edge"
	trustFlags(cmd.Flags(), &w)
	return cmd
}

func newTrustSetCommand(a *app) *cobra.Command {
	var w vaultapi.TrustRuleWrite
	var name string
	var cmd *cobra.Command
	cmd = onObject(a, "set RULE", "Change the given fields of a trust rule", 1, func(ctx context.Context, c *client.Client, args []string) error {
		var p vaultapi.TrustRulePatch
		err := given(cmd.Flags(), map[string]func(){
			"name": func() { p.Name = &name }, "cluster": func() { p.Cluster = &w.Cluster }, "namespace": func() { p.Namespace = &w.Namespace },
			"service-account": func() { p.ServiceAccount = &w.ServiceAccount }, "identity": func() { p.Identity = &w.Identity },
			"scopes": func() { p.Scopes = &w.Scopes }, "life": func() { p.Life = &w.Life },
		})
		if err != nil {
			return err
		}
		r, err := c.TrustRules.Patch(ctx, args[0], p)
		if err != nil {
			return err
		}
		return a.done(r, fmt.Sprintf("Changed %s %s: %s", r.ID, r.Name, r.Identity))
	})
	cmd.Example = "  scaivault trust set billing --life 5m --scopes secrets:read,secrets:list"
	cmd.Flags().StringVar(&name, "name", "", "new name")
	trustFlags(cmd.Flags(), &w)
	return cmd
}

func newTrustRemoveCommand(a *app) *cobra.Command {
	return onObject(a, "remove RULE", "Remove a trust rule; tokens it gave live on until they expire", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.TrustRules.Delete(ctx, args[0]); err != nil {
			return err
		}
		return a.done(map[string]any{"id": args[0], "deleted": true}, "Removed "+args[0])
	})
}
