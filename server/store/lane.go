package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// retries is how often a closure runs again alone after the database chose it as the victim of a deadlock.
const retries = 3

// lane is one writer: a goroutine with a connection of its own.
type lane struct {
	db       *DB
	index    int
	conn     *sql.Conn
	inflight []*call
	drained  bool
}

func newLane(db *DB, index int) *lane { return &lane{db: db, index: index} }

func (l *lane) run(ctx context.Context) {
	defer l.exit(ctx)
	var buf []*call
	for {
		buf = l.db.queue.take(buf)
		if len(buf) == 0 {
			l.drained = true
			return
		}
		l.inflight = buf
		l.db.pause.RLock()
		l.serve(ctx, buf)
		l.db.pause.RUnlock()
		l.inflight = nil
		clear(buf)
	}
}

// exit ends the lane. A closure that ended the goroutine under it (runtime.Goexit, which testing's FailNow
// calls) must not hang everybody else: its batch is undone and a new goroutine takes over.
func (l *lane) exit(ctx context.Context) {
	if l.drained {
		l.discard()
		l.db.lanes.Done()
		return
	}
	l.discard()
	refuse(l.inflight, ErrPanic)
	l.db.pause.RUnlock()
	go newLane(l.db, l.index).run(ctx)
}

// serve answers all calls: those of a batch together, those of a poisoned batch each alone. What had not
// started when the poison showed goes on in a fresh batch.
func (l *lane) serve(ctx context.Context, calls []*call) {
	for len(calls) > 0 {
		ran, err := l.together(ctx, calls)
		if err != nil {
			l.db.counters.reruns.Add(int64(ran))
			l.separately(ctx, calls[:ran])
		}
		calls = calls[ran:]
	}
}

// together runs calls in one transaction and answers them. On an error the transaction is undone, and the
// first ran calls, some of which may be withdrawn, are not answered.
func (l *lane) together(ctx context.Context, calls []*call) (ran int, err error) {
	b, err := l.begin(ctx)
	if err != nil {
		refuse(calls, err)
		return len(calls), nil
	}
	for i, c := range calls {
		if !c.start() {
			continue
		}
		if c.result = b.run(c); c.result.poison {
			l.rollback(b)
			return i + 1, c.result.err
		}
	}
	if err := l.conclude(b); errors.Is(err, errUncertain) {
		refuse(calls, err)
	} else if err != nil {
		return len(calls), err
	}
	l.db.counters.batch(len(calls))
	for _, c := range calls {
		if c.state.Load() == started {
			c.answer(classify(c.result.err))
		}
	}
	return len(calls), nil
}

// conclude finishes and commits b, or undoes it.
func (l *lane) conclude(b *batch) error {
	if err := b.finish(); err != nil {
		l.rollback(b)
		return err
	}
	if err := b.commit(); err != nil {
		l.rollback(b)
		return fmt.Errorf("%w: commit: %w", ErrUnavailable, err)
	}
	b.cancel()
	b.follow()
	return nil
}

// separately answers the started calls of a poisoned batch. Values for a stage cannot be at fault by
// themselves, so they first try it together.
func (l *lane) separately(ctx context.Context, calls []*call) {
	var values, closures []*call
	for _, c := range calls {
		switch {
		case c.state.Load() != started:
		case c.stage != nil:
			values = append(values, c)
		default:
			closures = append(closures, c)
		}
	}
	l.each(ctx, closures)
	if len(values) > 1 && len(closures) > 0 {
		if _, err := l.together(ctx, values); err == nil {
			return
		}
	}
	l.each(ctx, values)
}

// each answers the calls one by one, and the rest at once when the database cannot be reached.
func (l *lane) each(ctx context.Context, calls []*call) {
	for i, c := range calls {
		err := l.alone(ctx, c)
		c.answer(classify(err))
		if errors.Is(err, errUnreachable) {
			refuse(calls[i+1:], err)
			return
		}
	}
}

// alone runs one call in a transaction of its own.
func (l *lane) alone(ctx context.Context, c *call) error {
	for attempt := 0; ; attempt++ {
		err := l.once(ctx, c)
		if attempt == retries || !deadlocked(err) {
			return err
		}
	}
}

func (l *lane) once(ctx context.Context, c *call) error {
	b, err := l.begin(ctx)
	if err != nil {
		return err
	}
	if o := b.run(c); o.err != nil {
		l.rollback(b)
		return o.err
	}
	if err := l.conclude(b); err != nil {
		return err
	}
	l.db.counters.batch(1)
	return nil
}

// begin opens a transaction, on a new connection if the old one has died.
func (l *lane) begin(ctx context.Context) (*batch, error) {
	ctx, cancel := l.db.dialect.bound(ctx)
	err := l.open(ctx)
	if err != nil {
		l.discard()
		err = l.open(ctx)
	}
	if err != nil {
		l.discard()
		cancel()
		return nil, fmt.Errorf("%w: %w: %w", ErrUnavailable, errUnreachable, err)
	}
	stages := l.db.registered()
	return &batch{
		db: l.db, lane: l.index, ctx: ctx, cancel: cancel, conn: l.conn, now: l.db.Now(),
		stages: stages, staged: make([][]any, len(stages)),
	}, nil
}

func (l *lane) open(ctx context.Context) error {
	if l.conn == nil {
		conn, err := l.db.writers.Conn(ctx)
		if err != nil {
			return err
		}
		l.conn = conn
	}
	_, err := l.conn.ExecContext(ctx, l.db.dialect.begin)
	return err
}

// rollback undoes b; a connection that cannot do so is closed, which does.
func (l *lane) rollback(b *batch) {
	if err := b.exec(rollbackAll); err != nil {
		l.discard()
	}
	b.cancel()
}

func (l *lane) discard() {
	if l.conn == nil {
		return
	}
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // tells the pool to close it
	_ = l.conn.Close()
	l.conn = nil
}

func refuse(calls []*call, err error) {
	for _, c := range calls {
		if c.start() {
			c.answer(err)
		}
	}
}
