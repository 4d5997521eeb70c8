package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/scailabs/scaivault/controllers"
)

func acceptVaultCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "accept-vault",
		Short: "Let the operator work with the vault that answers now, after it was replaced or restored",
		Long: `The operator remembers which vault it works with. When another one answers, or the same one with an
older state, it writes and deletes nothing, so that an empty vault does not empty the cluster.
This command makes it accept the vault that answers now.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.acceptVault(cmd.Context(), cmd.OutOrStdout())
		},
	}
	s.flags(c.Flags())
	return c
}

func (s *settings) acceptVault(ctx context.Context, out io.Writer) error {
	cfg, err := s.cluster()
	if err != nil {
		return err
	}
	core, err := corev1client.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("client of the cluster: %w", err)
	}
	v, err := controllers.AcceptVault(ctx, core, s.namespace, s.vaultURL, s.vaultCA)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "The operator works with vault %s, restore epoch %d, from now on.\n", v.InstanceID, v.RestoreEpoch)
	return err
}
