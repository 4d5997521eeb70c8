package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/server/seal"
)

func (c *command) rootKeyCommand() *cobra.Command {
	var out string
	root := &cobra.Command{Use: "root-key", Short: "Make a root key, or show it for safe keeping"}
	generate := &cobra.Command{
		Use: "generate", Aliases: []string{"new"}, Short: "Make a root key file; an existing file is never replaced", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return errors.New("say where the key goes: --out FILE")
			}
			key, err := seal.NewRootKey()
			if err != nil {
				return err
			}
			if err := key.Save(out); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s written to %s. Keep a copy elsewhere: without it the database cannot be opened again.\n", key, out)
			return err
		},
	}
	generate.Flags().StringVar(&out, "out", "", "file to write, mode 0600")
	export := &cobra.Command{
		Use: "export", Short: "Print the root key, to keep a copy apart from the database and its backups", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			file := c.config.RootKeyFile
			if file == "" && c.config.DataDir != "" {
				file = filepath.Join(c.config.DataDir, "root.key") // where --dev keeps it
			}
			if file == "" {
				return errors.New("say which key: --root-key-file FILE (ROOT_KEY_FILE)")
			}
			key, err := seal.LoadRootKey(file)
			if err != nil {
				return err
			}
			_, err = c.out.Write(key.Export())
			return err
		},
	}
	root.AddCommand(generate, export)
	return root
}
