package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	// trustFor is how long a look at the vault's identity is believed without another.
	trustFor = 5 * time.Second
	// doubtFor is how long a failure to look is answered without another try.
	doubtFor = time.Second
)

// Pin is which vault, in which state, this operator works with.
type Pin struct {
	InstanceID   string
	RestoreEpoch int64
}

// PinStore keeps the pin outside the process.
type PinStore interface {
	// Load returns the pin, nil if there is none yet.
	Load(context.Context) (*Pin, error)
	// Save writes it.
	Save(context.Context, Pin) error
}

// versioner asks the vault who it is; *client.System fits.
type versioner interface {
	Version(context.Context) (*vaultapi.Version, error)
}

// Guard keeps an empty vault, or one restored to an older state, from emptying the cluster: as long as
// another vault than the pinned one answers, nothing may be written or deleted.
type Guard struct {
	vault versioner
	store PinStore
	now   func() time.Time

	mu      sync.Mutex
	checked time.Time
	verdict error
	pin     *Pin // as last read
}

// NewGuard makes a Guard that has not looked yet.
func NewGuard(vault versioner, store PinStore, now func() time.Time) *Guard {
	return &Guard{vault: vault, store: store, now: now}
}

// Check passes while the pinned vault answers. It believes a look of a few seconds ago.
func (g *Guard) Check(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	valid := trustFor
	if g.verdict != nil {
		valid = doubtFor
	}
	if !g.checked.IsZero() && g.now().Sub(g.checked) < valid {
		return g.verdict
	}
	return g.look(ctx)
}

// CheckNow is Check with a look of its own, for what cannot be undone.
func (g *Guard) CheckNow(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.look(ctx)
}

// Doubt makes the next Check look again: the connection broke, and who answers next may be another.
func (g *Guard) Doubt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checked = time.Time{}
}

func (g *Guard) look(ctx context.Context) error {
	g.verdict = g.judge(ctx)
	g.checked = g.now()
	return g.verdict
}

func (g *Guard) judge(ctx context.Context) error {
	v, err := g.vault.Version(ctx)
	if err != nil {
		return Explain(err, "ask the vault who it is")
	}
	is := Pin{InstanceID: v.InstanceID, RestoreEpoch: v.RestoreEpoch}
	if is.InstanceID == "" {
		return reconcile.Retrying(v1alpha1.ReasonVaultUnavailable, errors.New("the vault does not say which instance it is"))
	}
	if g.pin, err = g.store.Load(ctx); err != nil {
		return fmt.Errorf("read which vault is pinned: %w", err)
	}
	if g.pin == nil {
		g.pin = &is
		return g.store.Save(ctx, is)
	}
	return g.pin.same(is)
}

// Saw judges a vault that told in passing who it is.
func (g *Guard) Saw(is Pin) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pin == nil {
		return nil
	}
	err := g.pin.same(is)
	if err != nil {
		g.verdict, g.checked = err, g.now()
	}
	return err
}

func (p Pin) same(is Pin) error {
	if p == is {
		return nil
	}
	return replaced(p, is)
}

// IsReplaced tells whether another vault than the pinned one answers.
func IsReplaced(err error) bool { return reconcile.ReasonOf(err) == v1alpha1.ReasonVaultReplaced }

func replaced(pin, is Pin) error {
	return reconcile.Stalled(v1alpha1.ReasonVaultReplaced, fmt.Errorf(
		"the vault that answers is instance %s, restore epoch %d, and not %s, %d as before; nothing is written or deleted; if this is meant, run: scaivault-operator accept-vault",
		is.InstanceID, is.RestoreEpoch, pin.InstanceID, pin.RestoreEpoch))
}
