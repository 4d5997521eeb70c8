package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/pkg/client"
)

// app is what the commands share: where they read and write, and how they reach the server.
type app struct {
	in          io.Reader
	out, errors io.Writer
	getenv      func(string) string
	home        func() (string, error)
	now         func() time.Time

	json bool // flag --json
}

// run executes the program and returns its exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errors)
	err := root.ExecuteContext(ctx)
	if err != nil {
		a.remark("Error: %s", explained(err))
	}
	return exitCode(err)
}

func newRootCommand(a *app) *cobra.Command {
	root := group("scaivault", "Work with a ScaiVault server",
		newSecretsCommand(a), newPoliciesCommand(a), newAuditCommand(a), newSubscriptionsCommand(a),
		newEventsCommand(a), newAuthCommand(a), newTrustCommand(a), newConfigCommand(a), newHealthCommand(a), newVersionCommand(a))
	root.Long = `Work with a ScaiVault server.

Start with:
  scaivault config set base_url https://vault.example.com
  scaivault auth login

Environment, which wins over the configuration file ~/.scaivault/config.json:
  SCAIVAULT_URL, SCAIVAULT_TOKEN, SCAIVAULT_TENANT_ID, SCAIVAULT_PARTNER_ID
  SCAIVAULT_DEBUG=1 logs each request to standard error, without tokens and values

Exit codes: 0 ok, 1 general failure, 2 authentication, 3 authorization, 4 not found, 5 invalid input.`
	root.Version = version
	root.SetVersionTemplate("scaivault {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the API's JSON instead of a table")
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// usage marks what an argument check complains about as the user's mistake.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
		}
		return nil
	}
}

// connect makes the client from environment and configuration file.
func (a *app) connect() (*client.Client, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	return a.dial(s)
}

func (a *app) dial(s settings) (*client.Client, error) {
	if s.baseURL == "" {
		return nil, usageError{errNoServer}
	}
	o := client.Options{
		BaseURL: s.baseURL, Token: s.token, CAFile: s.caFile,
		TenantID: a.getenv("SCAIVAULT_TENANT_ID"), PartnerID: a.getenv("SCAIVAULT_PARTNER_ID"),
		UserAgent: "scaivault-cli/" + strings.TrimPrefix(version, "v"),
	}
	if a.getenv("SCAIVAULT_DEBUG") == "1" {
		o.Log = slog.New(slog.NewTextHandler(a.errors, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c, err := client.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}
