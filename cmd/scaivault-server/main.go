// Command scaivault-server is the vault: it keeps secrets, policies and the audit trail, and serves them over /v1.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server"
)

// version is set by the linker: -X main.version=…
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	root := newRoot(os.Getenv, os.Stdout, os.Stderr)
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, explain(err))
		os.Exit(1)
	}
}

// explain is what a person reads of an error.
func explain(err error) string {
	var config *server.ConfigError
	if errors.As(err, &config) {
		return config.Error() + "\n`scaivault-server --help` lists every setting; `scaivault-server --dev` starts one to try things out."
	}
	var api *vaultapi.Error
	if errors.As(err, &api) {
		text := api.Code + ": " + api.Message
		if fields, ok := api.Details["fields"].(map[string]any); ok {
			for _, name := range slices.Sorted(maps.Keys(fields)) {
				text += fmt.Sprintf("\n  %s: %v", name, fields[name])
			}
		}
		return text
	}
	return "error: " + err.Error()
}

// command is what all commands share.
type command struct {
	config server.Config
	getenv func(string) string
	out    io.Writer
	json   bool
}

func newRoot(getenv func(string) string, out, errOut io.Writer) *cobra.Command {
	c := &command{getenv: getenv, out: out}
	c.config.Stderr, c.config.Version, c.config.Commit = errOut, version, commit()
	root := &cobra.Command{
		Use:   "scaivault-server",
		Short: "Serve a ScaiVault; without a command it serves",
		Long: `scaivault-server keeps secrets, policies and the audit trail and serves them over /v1.

Without a command it serves. To try it out:
  scaivault-server --dev --listen 127.0.0.1:18200 --dev-token TOKEN

Every setting is a flag or an environment variable; the flag wins.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags(), getenv) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return c.serve(cmd.Context()) },
	}
	root.SetOut(out)
	root.SetErr(errOut)
	addSharedFlags(root.PersistentFlags(), &c.config)
	addServeFlags(root.Flags(), &c.config)
	root.AddCommand(c.tokenCommand(), c.trustCommand(), c.rootKeyCommand(), c.versionCommand())
	return root
}

func (c *command) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(c.out, "scaivault-server %s %s %s %s/%s\n", version, commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// commit is the revision the binary was built from, where the build recorded it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
