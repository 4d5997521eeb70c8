package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newSlotListCommand(a *app) *cobra.Command {
	return onObject(a, "slots CA", "List the keys of an authority, the oldest first", 1, func(ctx context.Context, c *client.Client, args []string) error {
		list, err := c.PKI.Slots(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(list, func() [][]string {
			rows := [][]string{{"ID", "STATE", "KEY", "VALID UNTIL", "SIGNED FROM", "SIGNED UNTIL", "SERIAL NUMBER"}}
			for _, s := range list.Slots {
				rows = append(rows, []string{
					s.ID, s.State, keyKind(s.KeyType, s.KeySize), stamp(s.ValidUntil), maybeStamp(s.ActivatedAt), maybeStamp(s.DeactivatedAt), s.SerialNumber,
				})
			}
			return rows
		})
	})
}

func newBundleCommand(a *app) *cobra.Command {
	cmd := onObject(a, "bundle CA", "Print the certificates that who trusts an authority trusts, as PEM", 1, func(ctx context.Context, c *client.Client, args []string) error {
		got, err := c.PKI.Bundle(ctx, args[0])
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(got)
		}
		return a.print(got.BundlePEM)
	})
	cmd.Example = "  scaivault pki ca bundle root >ca.crt"
	return cmd
}

func newPrepareCommand(a *app) *cobra.Command {
	var w vaultapi.AuthoritySlotWrite
	cmd := onObject(a, "prepare CA", "Make the next key of an authority, which is published and does not sign yet", 1, func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.PKI.PrepareSlot(ctx, args[0], w)
		if err != nil {
			return err
		}
		return a.done(s, "Prepared "+s.ID+", valid until "+stamp(s.ValidUntil)+": once all who trust the authority have its bundle, activate it")
	})
	cmd.Flags().StringVar(&w.KeyType, "key-type", "", "rsa, ec or ed25519; default as the key that signs now")
	cmd.Flags().IntVar(&w.KeySize, "key-size", 0, "bits: rsa 2048, 3072 or 4096; ec 256 or 384")
	cmd.Flags().IntVar(&w.ValidityDays, "days", 0, "how long it is valid; default 3650, below another authority 1825")
	return cmd
}

func newActivateCommand(a *app) *cobra.Command {
	return onObject(a, "activate CA SLOT", "Have another key of an authority sign from now on", 2, func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.PKI.ActivateSlot(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return a.done(s, "Activated "+s.ID+": it signs from now on; the one before stays published")
	})
}

func newRetireCommand(a *app) *cobra.Command {
	var w vaultapi.AuthoritySlotRetire
	cmd := onObject(a, "retire CA SLOT", "Publish a key of an authority no longer, and destroy it", 2, func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.PKI.RetireSlot(ctx, args[0], args[1], w)
		if err != nil {
			return err
		}
		return a.done(s, "Retired "+s.ID)
	})
	cmd.Flags().BoolVar(&w.Force, "force", false, "although certificates that it signed are in use: nobody will trust them")
	return cmd
}
