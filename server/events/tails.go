package events

import "sync"

// tails tells those who wait for a tenant's next event that there is one. It knows only tenants that are
// waited for, and holds no events.
type tails struct {
	mu sync.Mutex
	of map[string]*tail
}

type tail struct {
	position int64
	grown    chan struct{} // closed when the log grows, then replaced
	watchers int
}

// watcher is one who waits. It must be closed.
type watcher struct {
	tails  *tails
	tenant string
}

func (t *tails) watch(tenant string) watcher {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = make(map[string]*tail)
	}
	if t.of[tenant] == nil {
		t.of[tenant] = &tail{grown: make(chan struct{})}
	}
	t.of[tenant].watchers++
	return watcher{tails: t, tenant: tenant}
}

// grown returns a channel that is closed once the log has grown after this call.
func (w watcher) grown() <-chan struct{} {
	w.tails.mu.Lock()
	defer w.tails.mu.Unlock()
	return w.tails.of[w.tenant].grown
}

func (w watcher) close() {
	w.tails.mu.Lock()
	defer w.tails.mu.Unlock()
	own := w.tails.of[w.tenant]
	if own.watchers--; own.watchers == 0 {
		delete(w.tails.of, w.tenant)
	}
}

// advance wakes the watchers of tenant if position is news.
func (t *tails) advance(tenant string, position int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[tenant]
	if own == nil || own.position >= position {
		return
	}
	own.position = position
	close(own.grown)
	own.grown = make(chan struct{})
}

// watched lists the tenants that are waited for.
func (t *tails) watched() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, 0, len(t.of))
	for tenant := range t.of {
		names = append(names, tenant)
	}
	return names
}
