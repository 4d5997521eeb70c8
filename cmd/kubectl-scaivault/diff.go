package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
	"github.com/scailabs/scaivault/internal/console"
)

// difference is what a sync would change in a Secret, by keys.
type difference struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"` // of the Secret
	Exists    bool     `json:"exists"`
	Added     []string `json:"added"`
	Removed   []string `json:"removed"`
	Changed   []string `json:"changed"`
	Unchanged []string `json:"unchanged"`
	// Conflicts are keys of a Shared Secret that others hold; they would be left to them.
	Conflicts []v1alpha1.KeyConflict `json:"conflicts"`
	// Refusal is why the operator would not write to the Secret as it stands.
	Refusal string `json:"refusal,omitempty"`
}

func newDiffCommand(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "diff NAME | diff -f FILE", Short: "List the keys of the Secret that would change, never values",
		Long: `List the keys of the Secret that would change, never values.

The VaultSecret, from the cluster or from a file, is rendered with the code that the operator renders with, from
the vault as your own token sees it, and compared with the Secret in the cluster. You need read on its paths in
the vault, and get on the Secret.`,
		Example: `  kubectl scaivault diff billing -n billing
  kubectl scaivault diff -f billing.yaml`,
		Args: console.Arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (file == "") == (len(args) == 0) {
				return console.BadUsage("give the name of a VaultSecret, or -f FILE")
			}
			return a.diff(cmd.Context(), file, args)
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file of a VaultSecret, to compare before it is applied; - for standard input")
	return cmd
}

func (a *app) diff(ctx context.Context, file string, args []string) error {
	c, err := a.cluster()
	if err != nil {
		return err
	}
	v, err := a.vault()
	if err != nil {
		return err
	}
	obj, err := a.wanted(ctx, c, file, args)
	if err != nil {
		return err
	}
	data, err := a.content(ctx, obj, &shelf{vault: vaultsecret.Through(v.Secrets)})
	if err != nil {
		return err
	}
	d, err := c.compare(ctx, obj, data)
	if err != nil {
		return err
	}
	return a.showDifference(d)
}

// wanted is the VaultSecret of the file, or the one in the cluster.
func (a *app) wanted(ctx context.Context, c *cluster, file string, args []string) (*v1alpha1.VaultSecret, error) {
	if file == "" {
		return c.vaultSecret(ctx, args[0])
	}
	obj, err := a.manifest(file)
	if err != nil {
		return nil, err
	}
	if obj.Namespace == "" {
		obj.Namespace = c.namespace
	}
	present := &v1alpha1.VaultSecret{} // who it is decides whose the Secret is
	err = c.Get(ctx, client.ObjectKeyFromObject(obj), present)
	if err == nil {
		obj.UID, obj.Status = present.UID, present.Status
	}
	return obj, seen(client.IgnoreNotFound(err))
}

func (c *cluster) compare(ctx context.Context, obj *v1alpha1.VaultSecret, want map[string][]byte) (*difference, error) {
	have := &corev1.Secret{}
	err := c.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: obj.TargetName()}, have)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, seen(err)
	}
	d := &difference{Namespace: obj.Namespace, Name: obj.TargetName(), Exists: err == nil, Conflicts: []v1alpha1.KeyConflict{}}
	would := vaultsecret.Foresight{Data: want}
	if d.Exists {
		if would, err = vaultsecret.Foresee(obj, want, have); err != nil {
			d.Refusal = err.Error()
		}
	}
	d.Removed = append([]string{}, would.Removed...)
	for _, k := range would.Conflicts {
		d.Conflicts = append(d.Conflicts, v1alpha1.KeyConflict{Key: k.Key, Manager: k.Manager})
	}
	d.Added, d.Changed, d.Unchanged = compared(would.Data, have.Data)
	return d, nil
}

// compared sorts the keys that would be written by what they are now.
func compared(want, have map[string][]byte) (added, changed, unchanged []string) {
	added, changed, unchanged = []string{}, []string{}, []string{}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		switch is, exists := have[k]; {
		case !exists:
			added = append(added, k)
		case !bytes.Equal(is, want[k]):
			changed = append(changed, k)
		default:
			unchanged = append(unchanged, k)
		}
	}
	return added, changed, unchanged
}

func (a *app) showDifference(d *difference) error {
	if err := a.Show(d, func() [][]string { return differenceRows(d) }); err != nil || a.JSON {
		return err
	}
	if !d.Exists {
		a.Remark("Secret %s does not exist yet in namespace %s", d.Name, d.Namespace)
	}
	if d.Refusal != "" {
		a.Remark("The operator would not write to it: %s", console.Clean(d.Refusal))
	}
	return nil
}

func differenceRows(d *difference) [][]string {
	rows := [][]string{{"CHANGE", "KEY"}}
	for _, part := range []struct {
		change string
		keys   []string
	}{{"added", d.Added}, {"removed", d.Removed}, {"changed", d.Changed}} {
		for _, k := range part.keys {
			rows = append(rows, []string{part.change, k})
		}
	}
	for _, c := range d.Conflicts {
		rows = append(rows, []string{"conflict", c.Key + " (held by " + c.Manager + ")"})
	}
	if len(rows) == 1 {
		return [][]string{{fmt.Sprintf("Nothing would change: Secret %s has all %d keys as the vault has them", d.Name, len(d.Unchanged))}}
	}
	return rows
}
