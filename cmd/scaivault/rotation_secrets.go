package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newDueCommand(a *app) *cobra.Command {
	var within string
	var f client.DueFilter
	var limit int
	cmd := &cobra.Command{
		Use: "due", Short: "List what must be rotated, the longest overdue first", Args: console.Arguments(cobra.NoArgs),
		Example: "  scaivault rotation due --within 7d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := schedule.ParseDuration(within)
			if err != nil {
				return console.BadUsage("--within: %w", err)
			}
			f.WithinHours = int64((d + time.Hour - 1) / time.Hour)
			list, err := a.due(cmd.Context(), f, limit)
			if err != nil {
				return err
			}
			if len(list.Secrets) == 0 && !a.JSON {
				a.Remark("Nothing is due within %s.", within)
			}
			return a.Show(list, func() [][]string { return a.dueRows(list.Secrets) })
		},
	}
	cmd.Flags().StringVar(&within, "within", "7d", "how far ahead, such as 24h or 7d")
	cmd.Flags().BoolVar(&f.ExcludeOverdue, "not-overdue", false, "without what should have been rotated already")
	cmd.Flags().StringVar(&f.PolicyID, "policy", "", "only secrets of this rotation policy")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}

func (a *app) due(ctx context.Context, f client.DueFilter, limit int) (vaultapi.RotationDueList, error) {
	c, err := a.connect()
	if err != nil {
		return vaultapi.RotationDueList{}, err
	}
	items, cursor, err := collect(limit, func(size int, cursor string) ([]vaultapi.RotationDue, *string, error) {
		f.Limit, f.Cursor = size, cursor
		page, err := c.Rotation.Due(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		return page.Secrets, page.Cursor, nil
	})
	a.tellMore(cursor != nil)
	return vaultapi.RotationDueList{Secrets: items, Data: items, Cursor: cursor, HasMore: cursor != nil}, err
}

func (a *app) dueRows(items []vaultapi.RotationDue) [][]string {
	rows := [][]string{{"PATH", "DUE", "POLICY", "LAST ROTATED", "STATE"}}
	for i := range items {
		d := &items[i]
		rows = append(rows, []string{d.Path, dueText(d), d.RotationPolicyName, a.ago(d.LastRotatedAt), stateText(d)})
	}
	return rows
}

// dueText says in how long a rotation is due, or since when.
func dueText(d *vaultapi.RotationDue) string {
	switch hours := d.HoursUntilDue; {
	case d.IsOverdue:
		return "overdue by " + span(time.Duration(-hours)*time.Hour)
	default:
		return "in " + span(time.Duration(hours)*time.Hour)
	}
}

func stateText(d *vaultapi.RotationDue) string {
	switch {
	case d.LastError != nil:
		return fmt.Sprintf("%s after %d attempts: %s", d.State, d.Failures, d.LastError.Code)
	case d.State == vaultapi.RotationOpen, d.State == vaultapi.RotationOverdue:
		return d.State + ": write a new version"
	}
	return d.State
}

// span is a duration in its largest units.
func span(d time.Duration) string {
	hours := int64(d / time.Hour)
	switch {
	case hours < 1:
		return "less than 1h"
	case hours < 48:
		return fmt.Sprintf("%dh", hours)
	}
	return fmt.Sprintf("%dd", hours/24)
}

func (a *app) ago(t *vaultapi.Time) string {
	if t == nil {
		return "never"
	}
	return span(a.now().Sub(t.Time)) + " ago"
}

func newAttachCommand(a *app) *cobra.Command {
	return onObject(a, "attach POLICY PATH", "Put a secret under a rotation policy", 2, func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.Rotation.Attach(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return a.Show(s, func() [][]string { return [][]string{{s.Path + " is rotated next at " + maybeStamp(s.NextRotationAt)}} })
	})
}

func newDetachCommand(a *app) *cobra.Command {
	return onObject(a, "detach POLICY PATH", "Take a secret from a rotation policy", 2, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.Rotation.Detach(ctx, args[0], args[1]); err != nil {
			return err
		}
		return a.done(map[string]any{"path": args[1], "detached": true}, "Detached "+args[1])
	})
}

func newAssignedCommand(a *app) *cobra.Command {
	var limit int
	cmd := onObject(a, "secrets POLICY", "List the secrets of a rotation policy", 1, func(ctx context.Context, c *client.Client, args []string) error {
		items, cursor, err := collect(limit, func(size int, cursor string) ([]vaultapi.RotationAssignment, *string, error) {
			page, err := c.Rotation.Assignments(ctx, args[0], size, cursor)
			if err != nil {
				return nil, nil, err
			}
			return page.Secrets, page.Cursor, nil
		})
		if err != nil {
			return err
		}
		a.tellMore(cursor != nil)
		list := vaultapi.RotationAssignmentList{Secrets: items, Data: items, Cursor: cursor, HasMore: cursor != nil}
		return a.Show(list, func() [][]string {
			rows := [][]string{{"PATH", "STATE", "LAST ROTATED", "NEXT", "OLD VERSION UNTIL"}}
			for _, s := range items {
				rows = append(rows, []string{s.Path, s.State, a.ago(s.LastRotatedAt), maybeStamp(s.NextRotationAt), maybeStamp(s.GraceEnds)})
			}
			return rows
		})
	})
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}

func newRotateCommand(a *app) *cobra.Command {
	var in vaultapi.PolicyRotation
	cmd := &cobra.Command{
		Use: "rotate POLICY [PATH ...]", Short: "Rotate secrets of a policy now; without paths, all", Args: console.Arguments(cobra.MinimumNArgs(1)),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		if len(args) > 1 {
			in.SecretPaths = args[1:]
		}
		items, err := c.Rotation.RotatePolicy(cmd.Context(), args[0], in)
		if err != nil {
			return err
		}
		if err := a.Show(items, func() [][]string { return historyRows(items) }); err != nil {
			return err
		}
		for _, i := range items {
			if i.Error != nil {
				return fmt.Errorf("%s was not rotated: %s", i.Path, i.Error.Message)
			}
		}
		return nil
	}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why; compromise ends the grace of old versions at once")
	return cmd
}

func historyRows(items []vaultapi.RotationHistoryItem) [][]string {
	rows := [][]string{{"TIME", "PATH", "STATUS", "VERSIONS", "REASON", "BY", "ERROR"}}
	for _, h := range items {
		versions, failure := "-", "-"
		if h.NewVersion != 0 {
			versions = fmt.Sprintf("%d to %d", h.OldVersion, h.NewVersion)
		}
		if h.Error != nil {
			failure = h.Error.Code
		}
		rows = append(rows, []string{stamp(h.Timestamp), h.Path, h.Status, versions, console.OrDash(h.Reason), h.IdentityID, failure})
	}
	return rows
}

func newHistoryCommand(a *app) *cobra.Command {
	var f client.HistoryFilter
	var limit int
	cmd := onObject(a, "history POLICY", "List the rotations of a policy, newest first", 1, func(ctx context.Context, c *client.Client, args []string) error {
		items, cursor, err := collect(limit, func(size int, cursor string) ([]vaultapi.RotationHistoryItem, *string, error) {
			f.Limit, f.Cursor = size, cursor
			page, err := c.Rotation.History(ctx, args[0], f)
			if err != nil {
				return nil, nil, err
			}
			return page.History, page.Cursor, nil
		})
		if err != nil {
			return err
		}
		a.tellMore(cursor != nil)
		list := vaultapi.RotationHistory{History: items, Data: items, Cursor: cursor, HasMore: cursor != nil}
		return a.Show(list, func() [][]string { return historyRows(items) })
	})
	cmd.Flags().StringVar(&f.Status, "status", "", "success, failed or pending")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}

func newSecretRotateCommand(a *app) *cobra.Command {
	var in vaultapi.SecretRotation
	cmd := onSecret(a, "rotate", "Rotate a secret now", func(ctx context.Context, c *client.Client, path string) error {
		done, err := c.Secrets.Rotate(ctx, path, in)
		if err != nil {
			return err
		}
		return a.Show(done, func() [][]string {
			if done.NewVersion == 0 {
				return [][]string{{path + " waits for a new version: write it"}}
			}
			return [][]string{{fmt.Sprintf("Rotated %s from version %d to %d; the old one is readable until %s", path, done.OldVersion, done.NewVersion, maybeStamp(done.GracePeriodEnds))}}
		})
	})
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why; compromise ends the grace of old versions at once")
	return cmd
}
