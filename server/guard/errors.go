package guard

import (
	"context"
	"errors"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/store"
)

// unrecorded is the answer when an entry could not be made durable: the caller learns nothing of the result.
func unrecorded(cause error) error {
	return fault.Unavailable(cause, "the audit trail cannot be written now; nothing is answered without it")
}

// mapped gives the store's own failures their public kind.
func mapped(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		return fault.Unavailable(err, "the database does not take writes now; nothing was changed")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Unavailable(err, "the call ended before its change began")
	}
	return err
}

// moot tells whether the server's own work turned out to be another's. Nobody else's error counts: what a caller
// tried is recorded.
func moot(who Caller, err error) bool {
	var m interface{ Moot() bool }
	return who.Type == TypeSystem && errors.As(err, &m) && m.Moot()
}
