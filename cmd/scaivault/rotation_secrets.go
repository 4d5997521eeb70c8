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
	cmd := listing[vaultapi.RotationDue]{
		name: "secrets", heading: []string{"PATH", "DUE", "POLICY", "LAST ROTATED", "STATE"},
		none: func() string { return "Nothing is due within " + within + "." },
		row: func(d *vaultapi.RotationDue) []string {
			return []string{d.Path, dueText(d), d.RotationPolicyName, a.ago(d.LastRotatedAt), stateText(d)}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.RotationDue, *string, error) {
			d, err := schedule.ParseDuration(within)
			if err != nil {
				return nil, nil, console.BadUsage("--within: %w", err)
			}
			f.WithinHours = int64((d + time.Hour - 1) / time.Hour)
			f.Limit, f.Cursor = at.size, at.cursor
			page, err := c.Rotation.Due(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			return page.Secrets, page.Cursor, nil
		},
	}.command(a, "due", "List what must be rotated, the longest overdue first", 0)
	cmd.Example = "  scaivault rotation due --within 7d"
	cmd.Flags().StringVar(&within, "within", "7d", "how far ahead, such as 24h or 7d")
	cmd.Flags().BoolVar(&f.ExcludeOverdue, "not-overdue", false, "without what should have been rotated already")
	cmd.Flags().StringVar(&f.PolicyID, "policy", "", "only secrets of this rotation policy")
	return cmd
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
	return listing[vaultapi.RotationAssignment]{
		name: "secrets", heading: []string{"PATH", "STATE", "LAST ROTATED", "NEXT", "OLD VERSION UNTIL"},
		row: func(s *vaultapi.RotationAssignment) []string {
			return []string{s.Path, s.State, a.ago(s.LastRotatedAt), maybeStamp(s.NextRotationAt), maybeStamp(s.GraceEnds)}
		},
		page: func(ctx context.Context, c *client.Client, args []string, at position) ([]vaultapi.RotationAssignment, *string, error) {
			page, err := c.Rotation.Assignments(ctx, args[0], at.size, at.cursor)
			if err != nil {
				return nil, nil, err
			}
			return page.Secrets, page.Cursor, nil
		},
	}.command(a, "secrets POLICY", "List the secrets of a rotation policy", 1)
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
		if err := a.Show(items, func() [][]string { return historyListing(&client.HistoryFilter{}).rows(items) }); err != nil {
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

func newHistoryCommand(a *app) *cobra.Command {
	var f client.HistoryFilter
	cmd := historyListing(&f).command(a, "history POLICY", "List the rotations of a policy, newest first", 1)
	cmd.Flags().StringVar(&f.Status, "status", "", "success, failed or pending")
	return cmd
}

func historyListing(f *client.HistoryFilter) listing[vaultapi.RotationHistoryItem] {
	return listing[vaultapi.RotationHistoryItem]{
		name: "history", heading: []string{"TIME", "PATH", "STATUS", "VERSIONS", "REASON", "BY", "ERROR"}, row: historyRow,
		page: func(ctx context.Context, c *client.Client, args []string, at position) ([]vaultapi.RotationHistoryItem, *string, error) {
			f.Limit, f.Cursor = at.size, at.cursor
			page, err := c.Rotation.History(ctx, args[0], *f)
			if err != nil {
				return nil, nil, err
			}
			return page.History, page.Cursor, nil
		},
	}
}

func historyRow(h *vaultapi.RotationHistoryItem) []string {
	versions, failure := "-", "-"
	if h.NewVersion != 0 {
		versions = fmt.Sprintf("%d to %d", h.OldVersion, h.NewVersion)
	}
	if h.Error != nil {
		failure = h.Error.Code
	}
	return []string{stamp(h.Timestamp), h.Path, h.Status, versions, console.OrDash(h.Reason), h.IdentityID, failure}
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
