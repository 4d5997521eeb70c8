package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/guard"
)

// withAdmin runs do on the administration of the server whose data the flags name.
func (c *command) withAdmin(ctx context.Context, do func(*server.Admin) error) (err error) {
	a, err := server.OpenAdmin(ctx, c.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	return do(a)
}

func (c *command) tokenCommand() *cobra.Command {
	token := &cobra.Command{
		Use: "token", Short: "Make, list and revoke personal tokens on the server's own machine",
		Long: `Make, list and revoke personal tokens. With --data-dir the command talks to the running server through its admin
socket, or opens the database itself when none runs; with DATABASE_URL it opens the database.`,
	}
	token.PersistentFlags().BoolVar(&c.json, "json", false, "answer as JSON")
	list := &cobra.Command{Use: "list", Short: "List personal tokens", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return c.withAdmin(cmd.Context(), func(a *server.Admin) error { return c.listTokens(cmd.Context(), a) })
	}}
	revoke := &cobra.Command{Use: "revoke ID", Short: "Revoke a token; it ends at once", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		return c.withAdmin(cmd.Context(), func(a *server.Admin) error {
			if err := a.RevokeToken(cmd.Context(), args[0]); err != nil {
				return err
			}
			return c.print(map[string]any{"id": args[0], "revoked": true}, "revoked "+args[0]+"\n")
		})
	}}
	token.AddCommand(c.tokenCreateCommand(), list, revoke)
	return token
}

func (c *command) tokenCreateCommand() *cobra.Command {
	var spec authn.TokenSpec
	var admin bool
	var life string
	create := &cobra.Command{
		Use: "create", Short: "Make a personal token; it is shown once", Args: cobra.NoArgs,
		Example: "  scaivault-server token create --data-dir /var/lib/scaivault --admin --identity user:ann@example.org",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := schedule.ParseDuration(life)
			if err != nil {
				return fmt.Errorf("--expires-in: %w", err)
			}
			spec.Life = d
			if admin {
				spec.Roles, spec.Scopes = append(spec.Roles, guard.RoleSuperAdmin), authn.Scopes()
			}
			if spec.Name == "" {
				spec.Name = spec.Identity
			}
			return c.withAdmin(cmd.Context(), func(a *server.Admin) error { return c.createToken(cmd.Context(), a, spec) })
		},
	}
	f := create.Flags()
	f.StringVar(&spec.Identity, "identity", "user:admin", "whose token: user:<mail> or sa:<name>")
	f.StringVar(&spec.Name, "name", "", "what people know it by; default: the identity")
	f.StringSliceVar(&spec.Scopes, "scopes", nil, "scopes, comma-separated, such as secrets:read,secrets:list")
	f.StringSliceVar(&spec.Roles, "role", nil, "super_admin, partner_admin or tenant_admin")
	f.BoolVar(&admin, "admin", false, "every scope and role super_admin: for the first administrator")
	f.StringVar(&life, "expires-in", "90d", "life, such as 12h or 90d")
	return create
}

func (c *command) createToken(ctx context.Context, a *server.Admin, spec authn.TokenSpec) error {
	made, err := a.CreateToken(ctx, spec)
	if err != nil {
		return err
	}
	return c.print(made, fmt.Sprintf("%s\n\n%s for %s, until %s. It is not shown again.\n",
		made.Token, made.ID, made.IdentityID, made.ExpiresAt.Format(time.RFC3339)))
}

func (c *command) listTokens(ctx context.Context, a *server.Admin) error {
	tokens, err := a.Tokens(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "NAME", "IDENTITY", "ROLES", "EXPIRES", "LAST USED", "STATE"}}
	for _, t := range tokens {
		rows = append(rows, []string{t.ID, t.Name, t.IdentityID, orDash(strings.Join(t.Roles, ",")),
			t.ExpiresAt.Format(time.RFC3339), orNever(t.LastUsedAt), stateOf(t, time.Now())})
	}
	return c.print(map[string]any{"tokens": tokens}, table(rows))
}

func stateOf(t authn.TokenInfo, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case !now.Before(t.ExpiresAt.Time):
		return "expired"
	}
	return "active"
}

func (c *command) trustCommand() *cobra.Command {
	trust := &cobra.Command{Use: "trust", Short: "Say which Kubernetes ServiceAccounts may exchange their tokens, and what they become"}
	trust.PersistentFlags().BoolVar(&c.json, "json", false, "answer as JSON")
	list := &cobra.Command{Use: "list", Short: "List trust rules", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return c.withAdmin(cmd.Context(), func(a *server.Admin) error { return c.listTrust(cmd.Context(), a) })
	}}
	remove := &cobra.Command{Use: "remove NAME", Short: "Remove a trust rule; tokens it gave live on until they expire", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withAdmin(cmd.Context(), func(a *server.Admin) error {
				if err := a.DeleteTrustRule(cmd.Context(), args[0]); err != nil {
					return err
				}
				return c.print(map[string]any{"name": args[0], "removed": true}, "removed "+args[0]+"\n")
			})
		}}
	trust.AddCommand(c.trustAddCommand(), list, remove)
	return trust
}

func (c *command) trustAddCommand() *cobra.Command {
	var rule vaultapi.TrustRuleWrite
	add := &cobra.Command{
		Use: "add NAME", Short: "Add a trust rule; the most specific rule decides alone", Args: cobra.ExactArgs(1),
		Example: "  scaivault-server trust add billing --namespace billing --service-account billing-prod --identity sa:billing-prod",
		RunE: func(cmd *cobra.Command, args []string) error {
			rule.Name = args[0]
			return c.withAdmin(cmd.Context(), func(a *server.Admin) error {
				made, err := a.CreateTrustRule(cmd.Context(), rule)
				if err != nil {
					return err
				}
				return c.print(made, fmt.Sprintf("added %s: %s\n", made.Name, made.Identity))
			})
		},
	}
	f := add.Flags()
	f.StringVar(&rule.Cluster, "cluster", authn.HomeCluster, "cluster that issues the tokens")
	f.StringVar(&rule.Namespace, "namespace", "", "namespace; empty: every one")
	f.StringVar(&rule.ServiceAccount, "service-account", "", "ServiceAccount of that namespace; empty: every one")
	f.StringVar(&rule.Identity, "identity", "", "identity; default sa:{namespace}:{name}; an alias such as sa:billing-prod needs namespace and ServiceAccount")
	f.StringSliceVar(&rule.Scopes, "scopes", nil, "scopes, comma-separated; default those a workload needs")
	f.StringVar(&rule.Life, "life", "10m", "life of the tokens, from 1m to 1h")
	return add
}

func (c *command) listTrust(ctx context.Context, a *server.Admin) error {
	rules, err := a.TrustRules(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"NAME", "CLUSTER", "NAMESPACE", "SERVICE ACCOUNT", "IDENTITY", "LIFE", "SCOPES"}}
	for _, r := range rules {
		rows = append(rows, []string{r.Name, r.Cluster, orAny(r.Namespace), orAny(r.ServiceAccount), r.Identity, r.Life, strings.Join(r.Scopes, ",")})
	}
	return c.print(map[string]any{"trust_rules": rules}, table(rows))
}

// print writes text for people, or value as JSON.
func (c *command) print(value any, text string) error {
	if !c.json {
		_, err := fmt.Fprint(c.out, text)
		return err
	}
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

func table(rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // a Builder takes everything
	}
	_ = w.Flush()
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func orAny(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

func orNever(t *vaultapi.Time) string {
	if t == nil {
		return "never"
	}
	return t.Format(time.RFC3339)
}
