package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is all in which the engines differ.
type dialect struct {
	engine    Engine
	begin     string // opens a writing transaction
	forUpdate string // suffix that locks selected rows
	lanes     int    // writers
	batch     int    // most calls of one transaction

	open       func(ctx context.Context, db *DB) error                         // fills the pools
	brief      func(ctx context.Context) context.Context                       // of a query that is over at once
	bound      func(ctx context.Context) (context.Context, context.CancelFunc) // of a batch
	intact     func(conn *sql.Conn) bool                                       // whether the transaction takes statements
	harmless   func(err error) bool                                            // the statement changed nothing and the transaction goes on
	announce   func(b *batch) error                                            // carries wake-ups to other replicas
	commit     func(ctx context.Context, conn *sql.Conn) error                 // errUncertain when nobody can know
	migrator   func(ctx context.Context, o Options) (pool *sql.DB, err error)  // connections that run migrations
	background []func(ctx context.Context, db *DB)                             // work between Open and Close
}

func choose(o Options) (*dialect, error) {
	switch {
	case (o.DataDir == "") == (o.DatabaseURL == ""):
		return nil, errors.New("exactly one of data directory and database URL must be given")
	case o.DataDir != "":
		return sqliteDialect(), nil
	default:
		return postgresDialect(o), nil
	}
}

// IsUnique reports whether err is a violation of a primary key or a unique constraint.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// IsUnavailable reports whether err says that the database cannot work at present rather than that the
// query is wrong: it cannot be reached, does not answer in time, is full, shuts down, or fails to read or
// write. It is true of ErrUnavailable and ErrClosed, and of what Query, QueryRow and closures return in such
// a case.
func IsUnavailable(err error) bool {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	var network net.Error
	switch {
	case err == nil:
		return false
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrClosed), errors.Is(err, driver.ErrBadConn),
		errors.Is(err, sql.ErrConnDone), errors.As(err, &network):
		return true
	case errors.As(err, &pg):
		return postgresOut(pg.Code)
	case errors.As(err, &lite):
		return sqliteOut(lite.Code())
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect)
}

// postgresOut knows the classes of SQLSTATE that are about the server's state.
func postgresOut(code string) bool {
	switch code {
	case "40001", "40P01", "25006": // serialization failure, deadlock, read-only replica
		return true
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "57", "58": // connection, resources, operator intervention, system
		return true
	}
	return false
}

func sqliteOut(code int) bool {
	switch code & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
		sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}

// deadlocked reports whether the database gave up a transaction only because of its neighbours.
func deadlocked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// classify marks a call's error as ErrUnavailable where the database is the reason.
func classify(err error) error {
	if !IsUnavailable(err) || errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
