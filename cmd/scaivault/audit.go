package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newAuditCommand(a *app) *cobra.Command {
	return console.Group("audit", "See who did what",
		newLogsCommand(a), newSecretTrailCommand(a), newIdentityTrailCommand(a), newSummaryCommand(a), newVerifyCommand(a))
}

// auditFlags are the flags that narrow a query.
type auditFlags struct {
	from, to        string
	failed, succeed bool
	limit           int
	filter          client.AuditFilter
}

func (f *auditFlags) add(cmd *cobra.Command) {
	f.addTimes(cmd)
	flags := cmd.Flags()
	flags.IntVar(&f.limit, "limit", 100, "how many entries at most")
	flags.StringSliceVar(&f.filter.Actions, "action", nil, "only these actions, such as read,write")
	flags.StringVar(&f.filter.SourceIP, "source-ip", "", "only from this address")
	flags.BoolVar(&f.failed, "failed", false, "only what failed")
	flags.BoolVar(&f.succeed, "succeeded", false, "only what succeeded")
}

func (f *auditFlags) addTimes(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.from, "from", "", "not before: a duration ago such as 24h or 7d, a date or a time")
	cmd.Flags().StringVar(&f.to, "to", "", "not after: the same")
}

// query gives the filter that the flags stand for.
func (f *auditFlags) query(now time.Time) (client.AuditFilter, error) {
	q := f.filter
	var err1, err2 error
	q.From, err1 = moment("--from", f.from, now)
	q.To, err2 = moment("--to", f.to, now)
	if f.failed && f.succeed {
		return q, console.BadUsage("--failed and --succeeded exclude each other")
	}
	if f.failed || f.succeed {
		q.Success = &f.succeed
	}
	return q, errors.Join(err1, err2)
}

// moment reads a duration before now, a date or a time.
func moment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := schedule.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	t, err := vaultapi.ParseTime(s)
	if err != nil {
		return time.Time{}, console.BadUsage("%s %q is no duration such as 24h, no date such as 2026-01-31 and no RFC 3339 time", flag, s)
	}
	return t, nil
}

// auditQuery is a command that lists entries of the trail.
func auditQuery(a *app, cmd *cobra.Command, run func(ctx context.Context, c *client.Client, f client.AuditFilter, limit int, args []string) error) *cobra.Command {
	var flags auditFlags
	flags.add(cmd)
	if cmd.Name() == "logs" {
		cmd.Flags().StringVar(&flags.filter.IdentityID, "identity", "", "only this identity")
		cmd.Flags().StringVar(&flags.filter.PathPrefix, "path-prefix", "", "only paths that begin so")
		cmd.Flags().StringVar(&flags.filter.RequestID, "request-id", "", "only this request")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := flags.query(a.now())
		if err != nil {
			return err
		}
		c, err := a.connect()
		if err != nil {
			return err
		}
		return run(cmd.Context(), c, f, flags.limit, args)
	}
	return cmd
}

func newLogsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "logs", Short: "List entries, newest first", Args: console.Arguments(cobra.NoArgs)}
	return auditQuery(a, cmd, func(ctx context.Context, c *client.Client, f client.AuditFilter, limit int, _ []string) error {
		list, err := entries(limit, f, func(f client.AuditFilter) (*vaultapi.AuditList, error) { return c.Audit.Logs(ctx, f) })
		if err != nil {
			return err
		}
		a.tellMore(list.HasMore)
		return a.Show(list, func() [][]string { return entryRows(list.Logs) })
	})
}

// entries follows the cursor until it has limit entries.
func entries(limit int, f client.AuditFilter, next func(client.AuditFilter) (*vaultapi.AuditList, error)) (vaultapi.AuditList, error) {
	items, cursor, err := collect(limit, func(size int, cursor string) ([]vaultapi.AuditEntry, *string, error) {
		f.Limit, f.Cursor = size, cursor
		page, err := next(f)
		if err != nil {
			return nil, nil, err
		}
		return page.Logs, page.Cursor, nil
	})
	return vaultapi.AuditList{Logs: items, Data: items, Cursor: cursor, HasMore: cursor != nil}, err
}

func entryRows(logs []vaultapi.AuditEntry) [][]string {
	rows := [][]string{{"TIME", "ACTION", "IDENTITY", "PATH", "RESULT", "SOURCE"}}
	for _, e := range logs {
		result := "ok"
		if !e.Success {
			result = "failed"
		}
		rows = append(rows, []string{microStamp(e.Timestamp), e.Action, console.OrDash(e.IdentityID), console.OrDash(e.SecretPath), result, console.OrDash(e.SourceIP)})
	}
	return rows
}

func newSecretTrailCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret PATH", Short: "Show what happened to one secret", Args: console.Arguments(cobra.ExactArgs(1)),
		Example: "  scaivault audit secret environments/production/billing/stripe --from 24h --action read",
	}
	return auditQuery(a, cmd, func(ctx context.Context, c *client.Client, f client.AuditFilter, limit int, args []string) error {
		var trail vaultapi.SecretTrail
		list, err := entries(limit, f, func(f client.AuditFilter) (*vaultapi.AuditList, error) {
			page, err := c.Audit.SecretTrail(ctx, args[0], f)
			if err != nil {
				return nil, err
			}
			trail.Summary = page.Summary
			return &page.AuditList, nil
		})
		if err != nil {
			return err
		}
		trail.AuditList = list
		a.tellMore(list.HasMore)
		if err := a.Show(trail, func() [][]string { return entryRows(list.Logs) }); err != nil || a.JSON {
			return err
		}
		s := trail.Summary
		return a.Say("\n30 days: %d reads, %d writes, %d identities, last read %s",
			s.Reads30d, s.Writes30d, s.DistinctIdentities30d, maybeMicroStamp(s.LastReadAt))
	})
}

func newIdentityTrailCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "identity IDENTITY", Short: "Show what one identity did", Args: console.Arguments(cobra.ExactArgs(1)),
		Example: "  scaivault audit identity user:alice@acme.example --from 2026-01-01",
	}
	return auditQuery(a, cmd, func(ctx context.Context, c *client.Client, f client.AuditFilter, limit int, args []string) error {
		var trail vaultapi.IdentityTrail
		list, err := entries(limit, f, func(f client.AuditFilter) (*vaultapi.AuditList, error) {
			page, err := c.Audit.IdentityTrail(ctx, args[0], f)
			if err != nil {
				return nil, err
			}
			trail.Summary = page.Summary
			return &page.AuditList, nil
		})
		if err != nil {
			return err
		}
		trail.AuditList = list
		a.tellMore(list.HasMore)
		if err := a.Show(trail, func() [][]string { return entryRows(list.Logs) }); err != nil || a.JSON {
			return err
		}
		s := trail.Summary
		return a.Say("\n%d entries from %s to %s; secrets touched: %s", s.TotalEvents, maybeMicroStamp(s.FirstEventAt),
			maybeMicroStamp(s.LastEventAt), console.OrDash(console.Clean(strings.Join(s.ResourcesAccessed, " "))))
	})
}

func newSummaryCommand(a *app) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "summary", Short: "Count what happened", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.query(a.now())
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			s, err := c.Audit.Summary(cmd.Context(), q.From, q.To)
			if err != nil {
				return err
			}
			return a.Show(s, func() [][]string { return summaryRows(s) })
		},
	}
	f.addTimes(cmd)
	return cmd
}

func summaryRows(s *vaultapi.AuditSummary) [][]string {
	rows := [][]string{
		{"from", microStamp(s.From)}, {"to", microStamp(s.To)},
		{"entries", number(s.TotalEvents)}, {"successful", number(s.SuccessfulEvents)}, {"failed", number(s.FailedEvents)},
		{"paths", number(s.DistinctPaths)}, {"identities", number(s.DistinctIDs)},
	}
	for _, action := range sortedKeys(s.ByAction) {
		rows = append(rows, []string{"action " + action, number(s.ByAction[action])})
	}
	return rows
}

func newVerifyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check that nothing was changed in or removed from the trail", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			v, err := c.Audit.Verify(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.Show(v, func() [][]string { return verifyRows(v) }); err != nil {
				return err
			}
			if !v.Valid {
				return fmt.Errorf("the audit trail is not whole: %s", strings.Join(v.Problems, "; "))
			}
			return nil
		},
	}
}

func verifyRows(v *vaultapi.AuditVerification) [][]string {
	return [][]string{
		{"valid", fmt.Sprint(v.Valid)}, {"entries", number(v.Entries)}, {"chains", fmt.Sprint(v.Chains)},
		{"last checkpoint", maybeMicroStamp(v.Checkpoint)}, {"entries after it", number(v.Unsigned)},
		{"public key", console.OrDash(v.PublicKey)},
	}
}
