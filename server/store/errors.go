package store

import "errors"

// Errors a caller can tell apart with errors.Is.
var (
	// ErrUnavailable says that nothing was acknowledged as durable: the commit failed or its outcome is
	// unknown, the disk is full, or the database cannot be reached. Trying again later may succeed.
	ErrUnavailable = errors.New("store unavailable")
	// ErrInUse says that another process holds the SQLite data directory.
	ErrInUse = errors.New("data directory is in use by another process")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("store is closed")
	// ErrPanic says that a closure or finisher panicked; the panic's value is not part of the error.
	ErrPanic = errors.New("panic in transaction")
	// ErrNewer says that the database was written by a newer version of this program.
	ErrNewer = errors.New("database schema is newer than this program")

	errUnreachable = errors.New("no transaction can be opened")
	errUncertain   = errors.New("outcome of the commit is unknown")
	errBroken      = errors.New("transaction is broken by an earlier statement")
	errTxOver      = errors.New("transaction used after its closure returned")
	errLateStage   = errors.New("value staged for a finisher that has run already")
)
