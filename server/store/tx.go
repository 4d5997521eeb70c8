package store

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// Stage gathers values during a batch and hands them to its finisher once, before COMMIT.
type Stage struct {
	name   string
	index  int
	finish func(tx *Tx, values []any) error
}

// NewStage registers a finisher; it must be called before the first write. finish runs once per batch in
// which values were staged, with all of them in the order they were staged. Finishers run in the order of
// registration, and may stage values for later ones. On PostgreSQL several lanes finish at the same time.
func (db *DB) NewStage(name string, finish func(tx *Tx, values []any) error) *Stage {
	db.mu.Lock()
	defer db.mu.Unlock()
	s := &Stage{name: name, index: len(db.stages), finish: finish}
	db.stages = append(db.stages[:s.index:s.index], s) // batches keep the slice they began with
	return s
}

func (db *DB) registered() []*Stage {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.stages
}

// Tx is a closure's part of a transaction. It is valid until the closure returns, on its goroutine.
type Tx struct {
	b     *batch
	rows  []*sql.Rows
	wrote bool
	over  bool
}

// Exec runs a statement without a result.
func (tx *Tx) Exec(query string, args ...any) (sql.Result, error) {
	if tx.over {
		return nil, errTxOver
	}
	result, err := tx.b.conn.ExecContext(tx.b.ctx, query, args...)
	if err == nil || !tx.b.db.dialect.harmless(err) {
		tx.wrote = true
	}
	return result, err
}

// Query runs a query; rows that are still open when the closure returns are closed.
func (tx *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	if tx.over {
		return nil, errTxOver
	}
	tx.wrote = tx.wrote || !reads(query)
	rows, err := tx.b.conn.QueryContext(tx.b.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	tx.rows = append(tx.rows, rows)
	return rows, nil
}

// QueryRow runs a query for at most one row. It counts as a write unless it begins with SELECT.
func (tx *Tx) QueryRow(query string, args ...any) *sql.Row {
	ctx := tx.b.ctx
	if tx.over {
		ended, end := context.WithCancel(ctx)
		end()
		ctx = ended
	}
	tx.wrote = tx.wrote || !reads(query)
	return tx.b.conn.QueryRowContext(ctx, query, args...)
}

func reads(query string) bool {
	query = strings.TrimLeft(query, " \t\r\n")
	return len(query) > 6 && strings.EqualFold(query[:6], "SELECT")
}

// Stage hands v to s's finisher at the end of the batch.
func (tx *Tx) Stage(s *Stage, v any) {
	tx.wrote = true
	tx.b.stage(s, v)
}

// AfterCommit has fn run once the transaction is committed, before any caller of the batch is answered.
// fn must be quick and must not call Update or Append.
func (tx *Tx) AfterCommit(fn func()) { tx.b.after = append(tx.b.after, fn) }

// Lane numbers the writer lane, from 0.
func (tx *Tx) Lane() int { return tx.b.lane }

// Now is the time at which the batch began, the same for all of it.
func (tx *Tx) Now() time.Time { return tx.b.now }

// Context is the batch's own context; it carries nothing of a caller's.
func (tx *Tx) Context() context.Context { return tx.b.ctx }

func (tx *Tx) end() {
	tx.over = true
	for _, rows := range tx.rows {
		_ = rows.Close() // what the closure did not read to the end; a broken transaction shows in intact
	}
}
