package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/controllers"
)

func releaseCommand() *cobra.Command {
	var s settings
	var o controllers.Options
	var own string
	how := controllers.Releasing{}
	c := &cobra.Command{
		Use:   "release",
		Short: "Give back what the operator holds, before it is uninstalled",
		Long: `Scales the operator to zero, waits until it stopped, and gives back what nobody would take back later: its
policies and its subscription in the vault, and the keys that VaultSecrets have in Secrets of others. Nothing waits
for that: objects, namespaces and resource definitions can be deleted in any order, also without it.

The objects stay, and so do their Secrets. When an object is deleted later, Kubernetes deletes its Secret or keeps it,
as whenDeleted says. An operator that is installed again takes up where this one stopped.

A vault that does not answer keeps nothing in the cluster from being given back; what is left in the vault is said. It may be run again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(&o, own); err != nil {
				return err
			}
			how.Say = sayTo(cmd.OutOrStdout())
			return controllers.Release(cmd.Context(), o, how)
		},
	}
	s.flags(c.Flags())
	ownFlags(c.Flags(), &o, &own)
	c.Flags().StringVar(&how.Deployment, "deployment", "scaivault-operator", "the operator's Deployment; empty: there is none")
	c.Flags().DurationVar(&how.Patience, "patience", 45*time.Second, "how long to wait for the operator's end, then for the vault, then for writes that fail")
	return c
}

// sayTo prints lines; that nobody reads them keeps nothing from being released.
func sayTo(out io.Writer) func(string) {
	return func(line string) { _, _ = fmt.Fprintln(out, line) }
}
