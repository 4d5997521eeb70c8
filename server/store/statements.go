package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// keptStatements is how many prepared statements a connection keeps.
const keptStatements = 256

// caching opens SQLite connections that prepare each query text once. The driver would parse and plan a
// query each time, which takes longer than running it.
type caching struct{ driver.Connector }

// Connect implements driver.Connector.
func (c caching) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: inner, kept: make(map[string]*statement)}, nil
}

// connection is a SQLite connection with its prepared statements. Like PostgreSQL it refuses statements in a
// transaction after one has failed, because SQLite undoes a whole transaction by itself on some errors and
// would run what follows outside of any.
type connection struct {
	driver.Conn
	kept   map[string]*statement
	open   bool  // inside a transaction
	broken error // why the transaction takes no more statements
}

type statement struct {
	driver.Stmt
	busy bool // its result is still being read
}

// ExecContext implements driver.ExecerContext.
func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.broken != nil && query != rollbackAll && query != rollbackTo {
		return nil, errBroken
	}
	s, done, err := c.statement(ctx, query)
	if err != nil {
		return nil, c.saw(query, err)
	}
	defer done()
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	return result, c.saw(query, err)
}

// QueryContext implements driver.QueryerContext.
func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.broken != nil {
		return nil, errBroken
	}
	s, done, err := c.statement(ctx, query)
	if err != nil {
		return nil, c.saw(query, err)
	}
	r, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		done()
		return nil, c.saw(query, err)
	}
	return &rows{Rows: r, c: c, done: done}, nil
}

// statement returns the prepared query; done must be called when its result has been read. A text that is
// being read already is prepared a second time for this one use.
func (c *connection) statement(ctx context.Context, query string) (s *statement, done func(), err error) {
	s, ok := c.kept[query]
	if ok && !s.busy {
		s.busy = true
		return s, func() { s.busy = false }, nil
	}
	prepared, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	if ok {
		return &statement{Stmt: prepared}, func() { _ = prepared.Close() }, nil
	}
	c.evict()
	s = &statement{Stmt: prepared, busy: true}
	c.kept[query] = s
	return s, func() { s.busy = false }, nil
}

// evict makes room for one more statement.
func (c *connection) evict() {
	if len(c.kept) < keptStatements {
		return
	}
	for query, s := range c.kept {
		if !s.busy {
			_ = s.Close()
			delete(c.kept, query)
			return
		}
	}
}

// saw keeps track of the transaction and returns err.
func (c *connection) saw(query string, err error) error {
	if query == rollbackAll && c.broken != nil && generic(err) {
		err = nil // there is no transaction any more: SQLite has rolled it back itself
	}
	switch {
	case err != nil:
		if c.open && !constraint(err) {
			c.broken = err
		}
	case query == beginWriting:
		c.open = true
	case query == commitStatement, query == rollbackAll:
		c.open, c.broken = false, nil
	case query == rollbackTo:
		c.broken = nil
	}
	return err
}

// Close implements driver.Conn.
func (c *connection) Close() error {
	for _, s := range c.kept {
		_ = s.Close()
	}
	return c.Conn.Close()
}

// ResetSession implements driver.SessionResetter.
func (c *connection) ResetSession(ctx context.Context) error {
	return c.Conn.(driver.SessionResetter).ResetSession(ctx)
}

// IsValid implements driver.Validator.
func (c *connection) IsValid() bool { return c.Conn.(driver.Validator).IsValid() }

type rows struct {
	driver.Rows
	c    *connection
	done func()
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	err := r.Rows.Next(dest)
	if err != nil && !errors.Is(err, io.EOF) {
		return r.c.saw("", err)
	}
	for i, v := range dest {
		if blob, ok := v.([]byte); ok && blob == nil {
			dest[i] = []byte{} // an empty BLOB is not NULL
		}
	}
	return err
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	err := r.Rows.Close()
	r.done()
	return r.c.saw("", err)
}

// constraint reports whether err is a violated constraint, after which a SQLite transaction goes on.
func constraint(err error) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_CONSTRAINT
}

func generic(err error) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_ERROR
}

func intactSQLite(c any) error { return c.(*connection).broken }
