package store

import "sync"

// wakes are the channels on which somebody waits.
type wakes struct {
	mu       sync.Mutex
	channels map[string]chan struct{}
}

func (w *wakes) init() { w.channels = make(map[string]chan struct{}) }

func (w *wakes) channel(name string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.channels[name]
	if !ok {
		c = make(chan struct{})
		w.channels[name] = c
	}
	return c
}

func (w *wakes) wake(names []string) {
	if len(names) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		if c, ok := w.channels[name]; ok {
			close(c)
			delete(w.channels, name)
		}
	}
}

func (w *wakes) all() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, c := range w.channels {
		close(c)
		delete(w.channels, name)
	}
}

// Wake returns a channel that is closed at the next notification of channel. To miss none, take it first and
// look at the database after. Wake-ups are hints: other replicas' come only over PostgreSQL with a DirectURL,
// a reconnect wakes everybody, and a waiter without a DirectURL polls besides.
func (db *DB) Wake(channel string) <-chan struct{} { return db.wakes.channel(channel) }

// Notify wakes those who wait on channel, in this process and where possible in other replicas, once tx is
// committed.
func (db *DB) Notify(tx *Tx, channel string) error {
	if tx.over {
		return errTxOver
	}
	tx.b.wakes = append(tx.b.wakes, channel)
	return nil
}
