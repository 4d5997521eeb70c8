package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newPoliciesCommand(a *app) *cobra.Command {
	return console.Group("policies", "Say who may do what",
		newPolicyListCommand(a), newPolicyGetCommand(a), newPolicyCreateCommand(a), newPolicyDeleteCommand(a),
		newBindCommand(a), newUnbindCommand(a), newPolicyTestCommand(a), newWhoCanCommand(a))
}

func newPolicyListCommand(a *app) *cobra.Command {
	var f client.PolicyFilter
	cmd := policyListing(&f).command(a, "list", "List policies", 0)
	cmd.Flags().BoolVar(&f.IncludeInactive, "inactive", false, "inactive ones too")
	cmd.Flags().StringVar(&f.Owner, "owner", "", "only those of this owner")
	return cmd
}

func policyListing(f *client.PolicyFilter) listing[vaultapi.Policy] {
	return listing[vaultapi.Policy]{
		name: "policies", heading: []string{"ID", "NAME", "ACTIVE", "RULES", "BINDINGS", "PATTERNS"},
		row: func(p *vaultapi.Policy) []string {
			return []string{p.ID, p.Name, fmt.Sprint(p.IsActive), fmt.Sprint(p.RuleCount), fmt.Sprint(p.BindingCount), patterns(p.Rules)}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.Policy, *string, error) {
			f.Limit, f.Cursor = at.size, at.cursor
			page, err := c.Policies.List(ctx, *f)
			if err != nil {
				return nil, nil, err
			}
			return page.Policies, page.Cursor, nil
		},
	}
}

func patterns(rules []vaultapi.Rule) string {
	all := make([]string, len(rules))
	for i, r := range rules {
		all[i] = r.PathPattern
	}
	return strings.Join(all, " ")
}

// onObject is a command about one object with an id.
func onObject(a *app, use, short string, arguments int, run func(ctx context.Context, c *client.Client, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: console.Arguments(cobra.ExactArgs(arguments)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return run(cmd.Context(), c, args)
		},
	}
}

func newPolicyGetCommand(a *app) *cobra.Command {
	return onObject(a, "get POLICY", "Show a policy, its rules and bindings", 1, func(ctx context.Context, c *client.Client, args []string) error {
		p, err := c.Policies.Get(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(p, func() [][]string { return policyRows(p) })
	})
}

func policyRows(p *vaultapi.Policy) [][]string {
	rows := [][]string{
		{"id", p.ID}, {"name", p.Name}, {"description", console.OrDash(p.Description)},
		{"active", fmt.Sprint(p.IsActive)}, {"owner", console.OrDash(p.Owner)}, {"updated", stamp(p.UpdatedAt)},
	}
	for i, r := range p.Rules {
		rows = append(rows, []string{fmt.Sprintf("rule %d", i), r.PathPattern, strings.Join(r.Permissions, ","), conditions(r.Conditions)})
	}
	for _, b := range p.Bindings {
		rows = append(rows, []string{"bound to", b.IdentityID, b.ID, "expires " + maybeStamp(b.ExpiresAt)})
	}
	return rows
}

func conditions(c *vaultapi.Conditions) string {
	if c == nil {
		return ""
	}
	var all []string
	if len(c.IPRanges) > 0 {
		all = append(all, "from "+strings.Join(c.IPRanges, ","))
	}
	if c.RequireMFA {
		all = append(all, "with MFA")
	}
	if w := c.TimeWindow; w != nil {
		all = append(all, strings.TrimSpace(strings.Join(w.Days, ",")+" "+w.Start+"-"+w.End+" "+w.Timezone))
	}
	return strings.Join(all, "; ")
}

func newPolicyCreateCommand(a *app) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "create -f FILE", Short: "Create a policy from its JSON", Args: console.Arguments(cobra.NoArgs),
		Example: `  echo '{"name":"billing-read","rules":[{"path_pattern":"environments/production/billing/**","permissions":["read"]}]}' |
    scaivault policies create -f -`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.createPolicy(cmd.Context(), name)
			if err != nil {
				return err
			}
			return a.Show(p, func() [][]string { return [][]string{{"Created " + p.ID + " " + p.Name}} })
		},
	}
	cmd.Flags().StringVarP(&name, "file", "f", "", "the file; - is standard input")
	return cmd
}

func (a *app) createPolicy(ctx context.Context, name string) (*vaultapi.Policy, error) {
	if name == "" {
		return nil, console.BadUsage("give the policy's file: -f FILE")
	}
	raw, err := a.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var w vaultapi.PolicyWrite
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields() // a misspelt condition must not become a rule without one
	if err := dec.Decode(&w); err != nil {
		return nil, console.BadUsage("%s is not a policy: %w", name, err)
	}
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return c.Policies.Create(ctx, w)
}

func newPolicyDeleteCommand(a *app) *cobra.Command {
	var o client.PolicyDeleteOptions
	cmd := onObject(a, "delete POLICY", "Delete a policy", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.Policies.Delete(ctx, args[0], o); err != nil {
			return err
		}
		return a.done(map[string]any{"id": args[0], "deleted": true}, "Deleted "+args[0])
	})
	cmd.Flags().BoolVar(&o.Force, "force", false, "with its bindings")
	return cmd
}

// done reports a call whose answer says nothing.
func (a *app) done(v any, line string) error {
	return a.Show(v, func() [][]string { return [][]string{{line}} })
}

func newBindCommand(a *app) *cobra.Command {
	var w vaultapi.BindingWrite
	cmd := onObject(a, "bind POLICY IDENTITY", "Give a policy to an identity", 2, func(ctx context.Context, c *client.Client, args []string) error {
		w.IdentityID = args[1]
		b, err := c.Policies.Bind(ctx, args[0], w)
		if err != nil {
			return err
		}
		return a.done(b, "Bound "+b.PolicyID+" to "+b.IdentityID+" ("+b.ID+")")
	})
	cmd.Example = "  scaivault policies bind pol_abc sa:billing-prod --expires-at 2027-01-01"
	cmd.Flags().StringVar(&w.IdentityType, "type", "", "user, service_account or group; default by the identity's prefix")
	cmd.Flags().StringVar(&w.ExpiresAt, "expires-at", "", "a time or a date after which it counts no more")
	return cmd
}

func newUnbindCommand(a *app) *cobra.Command {
	return onObject(a, "unbind POLICY IDENTITY|BINDING", "Take a policy from an identity", 2, func(ctx context.Context, c *client.Client, args []string) error {
		id, err := bindingOf(ctx, c, args[0], args[1])
		if err != nil {
			return err
		}
		if err := c.Policies.Unbind(ctx, args[0], id, ""); err != nil {
			return err
		}
		return a.done(map[string]any{"id": id, "deleted": true}, "Unbound "+args[1])
	})
}

// bindingOf finds a binding by its id or by the identity it is for.
func bindingOf(ctx context.Context, c *client.Client, policy, which string) (string, error) {
	if strings.HasPrefix(which, "bind_") {
		return which, nil
	}
	list, err := c.Policies.Bindings(ctx, policy)
	if err != nil {
		return "", err
	}
	for _, b := range list.Bindings {
		if b.IdentityID == which {
			return b.ID, nil
		}
	}
	return "", console.Absent(fmt.Errorf("%s is not bound to %s: see scaivault policies get %s", policy, which, policy))
}

func newPolicyTestCommand(a *app) *cobra.Command {
	var situation vaultapi.PolicyTestContext
	cmd := onObject(a, "test IDENTITY PATH PERMISSION", "Say whether an identity may do something, and why", 3, func(ctx context.Context, c *client.Client, args []string) error {
		t := vaultapi.PolicyTest{IdentityID: args[0], Path: args[1], Permission: args[2]}
		if situation != (vaultapi.PolicyTestContext{}) {
			t.Context = &situation
		}
		r, err := c.Policies.Test(ctx, t)
		if err != nil {
			return err
		}
		return a.Show(r, func() [][]string { return testRows(r) })
	})
	cmd.Example = "  scaivault policies test sa:billing-prod environments/production/billing/stripe read"
	cmd.Flags().StringVar(&situation.SourceIP, "source-ip", "", "as if from this address")
	cmd.Flags().BoolVar(&situation.MFAVerified, "mfa", false, "as if with MFA")
	cmd.Flags().StringVar(&situation.Timestamp, "at", "", "as if at this time")
	cmd.Flags().StringVar(&situation.Namespace, "namespace", "", "as if from this Kubernetes namespace")
	return cmd
}

func testRows(r *vaultapi.PolicyTestResult) [][]string {
	if r.Allowed {
		rule := ""
		if r.MatchedRule != nil {
			rule = fmt.Sprintf(", rule %d", *r.MatchedRule)
		}
		return [][]string{{"allowed by " + r.MatchedPolicyID + rule}}
	}
	rows := [][]string{{"denied: " + r.Reason}}
	if r.FailedCondition != "" {
		rows = append(rows, []string{"failed condition: " + r.FailedCondition})
	}
	if n := r.Nearest; n != nil {
		rows = append(rows, []string{fmt.Sprintf("nearest: %s, rule %d (%s): %s", n.PolicyID, n.Rule, n.PathPattern, n.Why)})
	}
	return append(rows, []string{"evaluated: " + console.OrDash(strings.Join(r.EvaluatedPolicies, " "))})
}

func newWhoCanCommand(a *app) *cobra.Command {
	cmd := onObject(a, "who-can PERMISSION PATH", "List who may do something to a path", 2, func(ctx context.Context, c *client.Client, args []string) error {
		l := policyListing(&client.PolicyFilter{Permission: args[0], Path: args[1]})
		items, cursor, err := l.collect(ctx, c, nil, largestPage)
		if err != nil {
			return err
		}
		a.tellMore(cursor != nil)
		return a.Show(l.whole(items, cursor), func() [][]string {
			rows := [][]string{{"IDENTITY", "POLICY", "NAME", "UNTIL"}}
			for _, p := range items {
				for _, b := range p.Bindings {
					rows = append(rows, []string{b.IdentityID, p.ID, p.Name, maybeStamp(b.ExpiresAt)})
				}
			}
			return rows
		})
	})
	cmd.Example = "  scaivault policies who-can read environments/production/billing/stripe"
	return cmd
}
