package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"
)

const (
	savepoint       = "SAVEPOINT closure"
	rollbackTo      = "ROLLBACK TO SAVEPOINT closure"
	releaseClosure  = "RELEASE SAVEPOINT closure"
	rollbackAll     = "ROLLBACK"
	commitStatement = "COMMIT"
)

// batch is one transaction and what will follow its COMMIT.
type batch struct {
	db     *DB
	lane   int
	ctx    context.Context
	cancel context.CancelFunc
	conn   *sql.Conn
	now    time.Time

	stages   []*Stage
	staged   [][]any // by stage
	finished int     // stages up to this one take no more values
	late     error   // a value came after its finisher ran
	after    []func()
	wakes    []string
}

// outcome is what became of one call inside a batch.
type outcome struct {
	err    error
	poison bool // the transaction must not be committed
}

// run runs one call.
func (b *batch) run(c *call) outcome {
	if c.stage != nil {
		b.stage(c.stage, c.value)
		return outcome{}
	}
	if c.fallible {
		return b.fallible(c)
	}
	before := b.mark()
	wrote, err := b.invoke(c.fn)
	sound := b.intact()
	switch {
	case err == nil && sound:
		return outcome{}
	case err == nil:
		return outcome{err: errBroken, poison: true}
	case wrote || !sound || errors.Is(err, ErrPanic):
		return outcome{err: err, poison: true}
	}
	b.undo(before)
	return outcome{err: err}
}

// fallible runs a call inside a savepoint, which takes the blame for whatever goes wrong in it.
func (b *batch) fallible(c *call) outcome {
	before := b.mark()
	if err := b.exec(savepoint); err != nil {
		return outcome{err: err, poison: true}
	}
	_, err := b.invoke(c.fn)
	if err == nil && !b.intact() {
		err = errBroken
	}
	if errors.Is(err, ErrPanic) {
		return outcome{err: err, poison: true}
	}
	if err == nil {
		if err := b.exec(releaseClosure); err != nil {
			return outcome{err: err, poison: true}
		}
		return outcome{}
	}
	b.undo(before)
	if b.exec(rollbackTo) != nil || b.exec(releaseClosure) != nil {
		return outcome{err: err, poison: true}
	}
	return outcome{err: err}
}

// invoke calls fn and turns a panic into an error.
func (b *batch) invoke(fn func(*Tx) error) (wrote bool, err error) {
	tx := &Tx{b: b}
	defer func() {
		if v := recover(); v != nil {
			wrote, err = true, b.db.recovered(v)
		}
		tx.end()
	}()
	err = fn(tx)
	return tx.wrote, err
}

// recovered reports a panic without its value, which may hold what nobody should read.
func (db *DB) recovered(v any) error {
	db.options.Log.Error("panic in transaction", slog.String("type", fmt.Sprintf("%T", v)),
		slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("%w (%T)", ErrPanic, v)
}

func (b *batch) exec(query string) error {
	_, err := b.conn.ExecContext(b.ctx, query)
	return err
}

func (b *batch) intact() bool { return b.db.dialect.intact(b.conn) }

func (b *batch) stage(s *Stage, v any) {
	if s.index < b.finished || s.index >= len(b.stages) {
		b.late = fmt.Errorf("%w: %s", errLateStage, s.name)
		return
	}
	b.staged[s.index] = append(b.staged[s.index], v)
}

// mark is the extent of what a closure may have to give back.
type mark struct {
	staged       []int
	after, wakes int
}

func (b *batch) mark() mark {
	m := mark{after: len(b.after), wakes: len(b.wakes)}
	if len(b.staged) > 0 {
		m.staged = make([]int, len(b.staged))
	}
	for i, values := range b.staged {
		m.staged[i] = len(values)
	}
	return m
}

func (b *batch) undo(m mark) {
	for i, n := range m.staged {
		clear(b.staged[i][n:])
		b.staged[i] = b.staged[i][:n]
	}
	b.after = b.after[:m.after]
	b.wakes = b.wakes[:m.wakes]
}

// finish runs the finishers, and hands the wake-ups to the database.
func (b *batch) finish() error {
	for i, s := range b.stages {
		b.finished = i + 1
		if len(b.staged[i]) == 0 {
			continue
		}
		if _, err := b.invoke(func(tx *Tx) error { return s.finish(tx, b.staged[i]) }); err != nil {
			return fmt.Errorf("finish %s: %w", s.name, err)
		}
	}
	if b.late != nil {
		return b.late
	}
	if !b.intact() {
		return errBroken
	}
	slices.Sort(b.wakes)
	b.wakes = slices.Compact(b.wakes)
	return b.db.dialect.announce(b)
}

// commit makes the batch durable.
func (b *batch) commit() error {
	if hook := b.db.options.BeforeCommit; hook != nil {
		if err := hook(); err != nil {
			return err
		}
	}
	begun := time.Now()
	err := b.db.dialect.commit(b.ctx, b.conn)
	b.db.counters.committed(time.Since(begun))
	return err
}

// follow runs what was to happen after COMMIT.
func (b *batch) follow() {
	for _, fn := range b.after {
		b.quietly(fn)
	}
	b.db.wakes.wake(b.wakes)
}

func (b *batch) quietly(fn func()) {
	defer func() {
		if v := recover(); v != nil {
			_ = b.db.recovered(v) // logged; the transaction is committed, so its callers are answered as usual
		}
	}()
	fn()
}
