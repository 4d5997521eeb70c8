package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
)

// app is what the commands share.
type app struct {
	console.Console
	now  func() time.Time
	kube kubeFlags
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
	root := console.Group("kubectl-scaivault", "See what VaultSecrets do, what blocks them, and what they would write",
		newStatusCommand(a), newWhyCommand(a), newDiffCommand(a), newRenderCommand(a), newSyncCommand(a), newVersionCommand(a))
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl scaivault"}
	root.Long = `See what VaultSecrets do, what blocks them, and what they would write.

The cluster is reached as kubectl reaches it, with your own rights. The vault is reached with your own token,
as the CLI scaivault reaches it: SCAIVAULT_URL and SCAIVAULT_TOKEN, or what scaivault config and scaivault auth
login have kept. What you may not see is said and not guessed. Values are printed by render --show-values alone.

Exit codes: 0 ok, 1 general failure, 2 authentication, 3 authorization, 4 not found, 5 invalid input.`
	root.Example = `  kubectl scaivault status --all-namespaces
  kubectl scaivault why billing -n billing
  kubectl scaivault diff billing -n billing
  kubectl scaivault render -f billing.yaml --values sources.json
  kubectl scaivault sync billing -n billing`
	root.PersistentFlags().BoolVar(&a.JSON, "json", false, "print JSON for programs instead of tables")
	a.kube.bind(root.PersistentFlags())
	namespaces := func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.namespaces(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
	if err := root.RegisterFlagCompletionFunc("namespace", namespaces); err != nil {
		panic(err) // the flag is bound three lines above
	}
	return a.Root(root)
}

// errNoToken says that the vault's address alone is known.
var errNoToken = errors.New("no token for the vault: run scaivault auth login, or set SCAIVAULT_TOKEN")

// vault is the vault as the user sees it.
func (a *app) vault() (*client.Client, error) {
	s, err := a.Settings()
	if err != nil {
		return nil, err
	}
	if s.BaseURL != "" && s.Token == "" {
		return nil, console.Coded(console.Authentication, errNoToken)
	}
	return a.Dial(s, "kubectl-scaivault/"+strings.TrimPrefix(version, "v"))
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: console.Arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return a.Show(map[string]string{"client": version}, func() [][]string { return [][]string{{"client", version}} })
		},
	}
}
