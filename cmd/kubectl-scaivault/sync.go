package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/console"
)

// lookEvery is the pause between two looks at an object that is waited for.
const lookEvery = 200 * time.Millisecond

func newSyncCommand(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "sync NAME", Short: "Have the operator look at a VaultSecret now, and wait until it did",
		Long: `Have the operator look at a VaultSecret now, and wait until it did.

Changes in the vault and in the cluster reach the operator by themselves; this is for when you want to see it
happen. It sets the annotation scaivault.io/requestedAt, which needs patch on the VaultSecret, and waits for the
echo in status.lastHandledRequest. What the operator found decides the exit code.`,
		Example: `  kubectl scaivault sync billing -n billing
  kubectl scaivault sync billing -n billing --timeout 10s`,
		Args: console.Arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return console.BadUsage("--timeout must be longer than 0")
			}
			return a.sync(cmd.Context(), args[0], timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for the operator")
	return cmd
}

// synced is how a VaultSecret is after the operator looked.
type synced struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	state
}

func (a *app) sync(ctx context.Context, name string, timeout time.Duration) error {
	c, err := a.cluster()
	if err != nil {
		return err
	}
	obj, err := c.vaultSecret(ctx, name)
	if err != nil {
		return err
	}
	if obj.Spec.Suspend {
		return console.BadUsage("VaultSecret %s is suspended and the operator leaves it alone: set spec.suspend to false", name)
	}
	mark := a.now().UTC().Format(time.RFC3339Nano)
	if err := c.request(ctx, obj, mark); err != nil {
		return err
	}
	a.Remark("Asked the operator at %s", mark)
	s, err := a.await(ctx, c, obj, mark, timeout)
	if err != nil {
		return err
	}
	return a.showSynced(synced{Namespace: obj.Namespace, Name: name, state: *s})
}

// request asks the operator to look at an object now.
func (c *cluster) request(ctx context.Context, obj *v1alpha1.VaultSecret, mark string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.AnnotationRequestedAt: mark}}})
	if err != nil {
		return err
	}
	return seen(c.Patch(ctx, obj.DeepCopy(), client.RawPatch(types.MergePatchType, patch)))
}

// await waits until the operator answered a request, and tells what it says meanwhile.
func (a *app) await(ctx context.Context, c *cluster, before *v1alpha1.VaultSecret, mark string, timeout time.Duration) (*state, error) {
	name, last := before.Name, stateOf(before)
	err := wait.PollUntilContextTimeout(ctx, lookEvery, timeout, true, func(ctx context.Context) (bool, error) {
		obj, err := c.vaultSecret(ctx, name)
		if err != nil {
			return false, cmp.Or(ctx.Err(), err) // a call that the end of the wait cut off is no failure of its own
		}
		s := stateOf(obj)
		if obj.Status.LastHandledRequest == mark {
			last = s
			return true, nil
		}
		if s.Blocked && s.Message != last.Message {
			a.Remark("%s: %s", s.Reason, console.Clean(s.Message))
		}
		last = s
		return false, nil
	})
	if ctx.Err() == nil && wait.Interrupted(err) {
		return nil, fmt.Errorf("the operator did not answer in %s; VaultSecret %s is Ready=%s (%s); next: %s", timeout, name, last.Ready, last.Reason, cmp.Or(last.Next,
			"see whether the operator runs: kubectl -n scaivault-system get deployment scaivault-operator"))
	}
	return &last, err
}

// showSynced prints how it ended; trouble is an error with the exit code of its reason.
func (a *app) showSynced(s synced) error {
	if s.Blocked && !a.JSON {
		return console.Coded(max(codeOf(s.Reason), console.General), fmt.Errorf("%s: %s; next: %s", s.Reason, s.Message, s.Next))
	}
	err := a.Show(s, func() [][]string { return [][]string{{fmt.Sprintf("%s: %s", s.Reason, s.Message)}} })
	if err == nil && s.Blocked {
		err = console.Coded(max(codeOf(s.Reason), console.General), fmt.Errorf("VaultSecret %s is not as its spec says: %s", s.Name, s.Reason))
	}
	return err
}
