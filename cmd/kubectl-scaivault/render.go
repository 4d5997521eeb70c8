package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
	"github.com/scailabs/scaivault/internal/console"
)

// rendering is what a VaultSecret makes.
type rendering struct {
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name"` // of the Secret
	Type      string   `json:"type"`
	Keys      []string `json:"keys"`
	// Data holds the values, in Base64 as in a Secret, where they were asked for.
	Data map[string][]byte `json:"data,omitempty"`
}

func newRenderCommand(a *app) *cobra.Command {
	var file, values string
	var reveal bool
	cmd := &cobra.Command{
		Use: "render -f FILE", Short: "Render a VaultSecret from a file, without a cluster", Args: console.Arguments(cobra.NoArgs),
		Long: `Render a VaultSecret from a file, without a cluster, with the code that the operator renders with.

The sources are read from --values, a JSON object of secrets, each under the name of its source or under its
path; what is not in it is read from the vault with your own token, if one is configured. Keys are printed;
values only with --show-values.`,
		Example: `  echo '{"db": {"url": "postgres://app:secret@db/app"}}' >sources.json
  kubectl scaivault render -f billing.yaml --values sources.json
  kubectl scaivault render -f billing.yaml --values sources.json --show-values --json
  kubectl scaivault render -f - <billing.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return console.BadUsage("give the file of the VaultSecret: -f FILE")
			}
			return a.render(cmd.Context(), file, values, reveal)
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file of the VaultSecret; - for standard input")
	cmd.Flags().StringVar(&values, "values", "", "JSON file with the sources' fields; - for standard input")
	cmd.Flags().BoolVar(&reveal, "show-values", false, "print the values too")
	return cmd
}

func (a *app) render(ctx context.Context, file, values string, reveal bool) error {
	if file == "-" && values == "-" {
		return console.BadUsage("only one of -f and --values can be standard input")
	}
	obj, err := a.manifest(file)
	if err != nil {
		return err
	}
	from, err := a.readShelf(values, obj)
	if err != nil {
		return err
	}
	if err := a.openVault(from); err != nil {
		return err
	}
	data, err := a.content(ctx, obj, from)
	if err != nil {
		return err
	}
	return a.showRendering(obj, data, reveal)
}

// openVault puts the vault behind a shelf if one is configured.
func (a *app) openVault(s *shelf) error {
	v, err := a.vault()
	if errors.Is(err, console.ErrNoServer) || errors.Is(err, errNoToken) && len(s.file) > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	s.vault = vaultsecret.Through(v.Secrets)
	return nil
}

func (a *app) showRendering(obj *v1alpha1.VaultSecret, data map[string][]byte, reveal bool) error {
	r := rendering{Namespace: obj.Namespace, Name: obj.TargetName(), Type: secretType(obj), Keys: slices.Sorted(maps.Keys(data))}
	if reveal {
		r.Data = data
	}
	return a.Show(r, func() [][]string {
		rows := [][]string{{"KEY"}}
		if reveal {
			rows[0] = append(rows[0], "VALUE")
		}
		for _, k := range r.Keys {
			row := []string{k}
			if reveal {
				row = append(row, string(data[k]))
			}
			rows = append(rows, row)
		}
		return rows
	})
}

func secretType(obj *v1alpha1.VaultSecret) string {
	if t := obj.Spec.Target; t != nil && t.Type != "" {
		return t.Type
	}
	return "Opaque"
}
