package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
)

func newWhyCommand(a *app) *cobra.Command {
	var o whyOptions
	cmd := &cobra.Command{
		Use: "why NAME", Short: "Walk from a VaultSecret to its Secret and name the one thing that blocks",
		Long: `Walk from a VaultSecret to its Secret and name the one thing that blocks.

Each link is looked at with your own rights: the ServiceAccount, the Secret and VaultPolicies in the cluster; in
the vault, if your token may ask (scopes policies:read and secrets:list), which policy allows the read or comes
nearest, and whether the secret exists. What you may not see is filled in from what the operator says, or is
named as not looked at.

Whom the vault takes the ServiceAccount for is decided by its trust rules; without --exchange the default is
assumed. With --exchange a token of the ServiceAccount is requested and exchanged as the operator does it, which
needs create on serviceaccounts/token; the audit trail of both shows it.`,
		Example: `  kubectl scaivault why billing -n billing
  kubectl scaivault why billing -n billing --exchange`,
		Args: console.Arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeName,
		RunE: func(cmd *cobra.Command, args []string) error { return a.why(cmd.Context(), args[0], o) },
	}
	cmd.Flags().BoolVar(&o.exchange, "exchange", false, "exchange a token of the ServiceAccount to see whom the vault takes it for")
	cmd.Flags().StringVar(&o.identity, "identity", "", "identity of the ServiceAccount in the vault, where a trust rule gives another than sa:NAMESPACE:NAME")
	return cmd
}

type whyOptions struct {
	exchange bool
	identity string
}

// answer is what why shows.
type answer struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	state
	Checks    []check `json:"checks"`
	BlockedBy *check  `json:"blocked_by"` // null: nothing
	// NotLookedAt says what the user may not see, or did not say how to reach.
	NotLookedAt []string `json:"not_looked_at,omitempty"`
}

// walk looks at the links of one VaultSecret.
type walk struct {
	whyOptions
	cluster *cluster
	vault   *client.Client // nil: not reached
	now     func() time.Time
	obj     *v1alpha1.VaultSecret
	checks  []check
	blind   []string // what was not looked at
}

func (a *app) why(ctx context.Context, name string, o whyOptions) error {
	c, err := a.cluster()
	if err != nil {
		return err
	}
	obj, err := c.vaultSecret(ctx, name)
	if err != nil {
		return err
	}
	w := &walk{whyOptions: o, cluster: c, now: a.now, obj: obj, checks: links()}
	if w.vault, err = a.vault(); err != nil {
		w.unseen("the vault: %s", console.Explained(err))
	}
	w.all(ctx)
	s := stateOf(obj)
	if s.Reason == v1alpha1.ReasonAccessDenied {
		s.Next = allowStep(obj) // to ask why was the step before this one
	}
	checks, blocks := conclude(w.checks, s, fmt.Sprintf("kubectl scaivault sync %s -n %s", obj.Name, obj.Namespace))
	return a.showAnswer(&answer{Namespace: obj.Namespace, Name: name, state: s, Checks: checks, BlockedBy: blocks, NotLookedAt: w.blind})
}

// all walks the chain. A link that blocks does not end the walk: what comes after it is worth knowing.
func (w *walk) all(ctx context.Context) {
	w.reach(ctx)
	w.account(ctx)
	w.whom(ctx)
	w.policies(ctx)
	w.sources(ctx)
	w.target(ctx)
}

// note says what was seen of a link.
func (w *walk) note(link, result, next, format string, args ...any) {
	i := slices.IndexFunc(w.checks, func(c check) bool { return c.Link == link })
	w.checks[i] = check{Link: link, Result: result, Detail: fmt.Sprintf(format, args...), Next: next}
}

// unseen says what was not looked at, and why.
func (w *walk) unseen(format string, args ...any) {
	w.blind = append(w.blind, fmt.Sprintf(format, args...))
}

func (a *app) showAnswer(w *answer) error {
	if a.JSON {
		return a.PrintJSON(w)
	}
	if err := a.Say("VaultSecret %s/%s: Ready=%s %s\n", w.Namespace, w.Name, w.Ready, console.Clean(w.Reason)); err != nil {
		return err
	}
	rows := [][]string{{"LINK", "RESULT", "DETAIL"}}
	for _, c := range w.Checks {
		detail := console.OrDash(c.Detail)
		if w.BlockedBy != nil && c.Link == w.BlockedBy.Link && c.Result == resultBlocks {
			detail = "see below"
		}
		rows = append(rows, []string{c.Link, c.Result, detail})
	}
	if err := console.Table(a.Out, rows); err != nil {
		return err
	}
	for _, what := range w.NotLookedAt {
		a.Remark("Not looked at: %s", console.Clean(what))
	}
	if w.BlockedBy == nil {
		return a.Say("\nNothing blocks it.")
	}
	return a.Say("\nBlocked by %s: %s\nNext: %s", w.BlockedBy.Link, console.Clean(w.BlockedBy.Detail), console.Clean(w.BlockedBy.Next))
}
