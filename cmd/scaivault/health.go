package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newHealthCommand(a *app) *cobra.Command {
	var detailed bool
	cmd := &cobra.Command{
		Use: "health", Short: "Say whether the server can work", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			if detailed {
				return a.detailed(cmd.Context(), c)
			}
			return a.ready(cmd.Context(), c)
		},
	}
	cmd.Flags().BoolVar(&detailed, "detailed", false, "each component with its latency; needs scope admin")
	return cmd
}

func (a *app) ready(ctx context.Context, c *client.Client) error {
	r, err := c.System.Ready(ctx)
	if err != nil {
		return err
	}
	err = a.Show(r, func() [][]string {
		rows := [][]string{{"status", r.Status}}
		for _, name := range sortedKeys(r.Checks) {
			rows = append(rows, []string{name, r.Checks[name], r.Errors[name]})
		}
		return rows
	})
	if err == nil && r.Status != "ready" {
		return errors.New("the server is not ready")
	}
	return err
}

func (a *app) detailed(ctx context.Context, c *client.Client) error {
	d, err := c.System.Detailed(ctx)
	if err != nil {
		return err
	}
	return a.Show(d, func() [][]string {
		rows := [][]string{{"status", d.Status}, {"version", d.Version}, {"uptime", fmt.Sprintf("%ds", d.UptimeSeconds)}}
		for _, name := range sortedKeys(d.Checks) {
			check := d.Checks[name]
			latency := ""
			if check.LatencyMS != nil {
				latency = fmt.Sprintf("%.1f ms", *check.LatencyMS)
			}
			rows = append(rows, []string{name, check.Status, latency})
		}
		return rows
	})
}

// versions are this program's and the server's.
type versions struct {
	Client string            `json:"client"`
	Go     string            `json:"go_version"`
	Server *vaultapi.Version `json:"server"`
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the versions of this program and of the server", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Client: version, Go: runtime.Version()}
			c, err := a.connect()
			if err == nil {
				v.Server, err = c.System.Version(cmd.Context())
			}
			server := "-"
			switch {
			case errors.Is(err, console.ErrNoServer):
			case err != nil:
				a.Remark("Warning: the server's version is not known: %s", console.Explained(err))
			default:
				server = v.Server.Version + " (instance " + v.Server.InstanceID + ")"
			}
			return a.Show(v, func() [][]string { return [][]string{{"client", version}, {"server", server}} })
		},
	}
}
