package guardtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Trail keeps in memory what was recorded and announced, once it is committed. It is a guard's Audit and its Events.
type Trail struct {
	mu      sync.Mutex
	entries []guard.Entry
	events  []guard.Event
}

// Append records entries at once.
func (r *Trail) Append(_ context.Context, entries ...guard.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, entries...)
	return nil
}

// Stage records entries when tx is committed.
func (r *Trail) Stage(tx *store.Tx, entries ...guard.Entry) {
	tx.AfterCommit(func() { _ = r.Append(context.Background(), entries...) })
}

// Emit announces events when tx is committed.
func (r *Trail) Emit(tx *store.Tx, events ...guard.Event) error {
	tx.AfterCommit(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, events...)
	})
	return nil
}

// Entries are what was recorded, the oldest first.
func (r *Trail) Entries() []guard.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.entries)
}

// Events are what was announced, the oldest first.
func (r *Trail) Events() []guard.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Text is all of it, to look for what must not be there.
func (r *Trail) Text() string {
	text, err := json.Marshal(r.Events())
	return fmt.Sprintf("%+v %s %v", r.Entries(), text, err)
}
