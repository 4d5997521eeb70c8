package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
)

// app is what the commands share: where they read and write, and how they reach the server.
type app struct {
	console.Console
	now func() time.Time
}

// run executes the program and returns its exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		a.Remark("Error: %s", console.Explained(err))
	}
	return console.ExitCode(err)
}

func newRootCommand(a *app) *cobra.Command {
	root := console.Group("scaivault", "Work with a ScaiVault server",
		newSecretsCommand(a), newRotationCommand(a), newPoliciesCommand(a), newSecretPoliciesCommand(a), newAuditCommand(a), newSubscriptionsCommand(a),
		newWebhooksCommand(a), newPKICommand(a),
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
	root.PersistentFlags().BoolVar(&a.JSON, "json", false, "print the API's JSON instead of a table")
	return a.Root(root)
}

// connect makes the client from environment and configuration file.
func (a *app) connect() (*client.Client, error) {
	s, err := a.Settings()
	if err != nil {
		return nil, err
	}
	return a.dial(s)
}

func (a *app) dial(s console.Settings) (*client.Client, error) {
	return a.Dial(s, "scaivault-cli/"+strings.TrimPrefix(version, "v"))
}
