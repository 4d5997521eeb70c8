package store

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// call is one caller's wish: a closure, or a value for a stage.
type call struct {
	fn       func(*Tx) error
	fallible bool
	stage    *Stage
	value    any

	state    atomic.Int32
	done     chan error // receives the answer
	answered bool       // lane only
	result   outcome    // lane only
}

const (
	waiting   int32 = iota
	started         // from here on the caller gets the real outcome, whatever its context says
	withdrawn       // the caller went away first
)

// start claims the call for a lane; false means the caller has withdrawn it.
func (c *call) start() bool {
	return c.state.CompareAndSwap(waiting, started) || c.state.Load() == started
}

func (c *call) withdraw() bool { return c.state.CompareAndSwap(waiting, withdrawn) }

func (c *call) answer(err error) {
	if !c.answered {
		c.answered = true
		c.done <- err
	}
}

// queue holds the calls that no lane has taken yet.
type queue struct {
	mu     sync.Mutex
	filled sync.Cond
	calls  []*call
	closed bool
	lanes  int // among which a backlog is shared
	limit  int // most calls of one batch
}

func newQueue(lanes, limit int) *queue {
	q := &queue{lanes: lanes, limit: limit}
	q.filled.L = &q.mu
	return q
}

// put reports false when the queue is closed.
func (q *queue) put(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.calls = append(q.calls, c)
	q.filled.Signal()
	return true
}

// take waits for calls and returns a lane's share of them in buf's memory; none means closed and drained.
// It first lets others run: callers that have just been answered often come back at once, and a batch that
// waits for them costs one sync of the disk instead of two.
func (q *queue) take(buf []*call) []*call {
	runtime.Gosched()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.calls) == 0 && !q.closed {
		q.filled.Wait()
	}
	n := min(q.limit, (len(q.calls)+q.lanes-1)/q.lanes)
	buf = append(buf[:0], q.calls[:n]...)
	rest := copy(q.calls, q.calls[n:])
	clear(q.calls[rest:])
	q.calls = q.calls[:rest]
	return buf
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.calls)
}

// submit queues c and waits for its answer.
func (db *DB) submit(ctx context.Context, c *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.done = make(chan error, 1)
	if !db.queue.put(c) {
		return ErrClosed
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		if c.withdraw() {
			return ctx.Err()
		}
		return <-c.done
	}
}

// Update runs fn in a transaction and returns only after its COMMIT, or with the reason why nothing of it
// was kept. The package comment has the rules for fn. fn's own error comes back as it is.
func (db *DB) Update(ctx context.Context, fn func(tx *Tx) error) error {
	return db.submit(ctx, &call{fn: fn})
}

// UpdateFallible is Update for closures that often fail after a statement, such as an INSERT that may meet
// an existing row: a savepoint keeps the failure from touching its neighbours.
func (db *DB) UpdateFallible(ctx context.Context, fn func(tx *Tx) error) error {
	return db.submit(ctx, &call{fn: fn, fallible: true})
}

// Append stages v and returns once it is durable. It is Update with a closure that does nothing else.
func (db *DB) Append(ctx context.Context, key *Stage, v any) error {
	return db.submit(ctx, &call{stage: key, value: v})
}
