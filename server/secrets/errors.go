package secrets

import (
	"errors"

	"github.com/scailabs/scaivault/server/fault"
)

func notFound(path string) *fault.Error {
	return fault.NotFound(fault.CodeSecretNotFound, "no secret at %s", path).With("path", path)
}

func expired(path string) error {
	return fault.NotFound(fault.CodeSecretNotFound, "the secret at %s has expired: write a new version", path).
		With("path", path).With("reason", "expired")
}

func versionNotFound(path string, version int64) error {
	return fault.NotFound(fault.CodeVersionNotFound, "%s has no version %d, or no longer", path, version).
		With("path", path).With("version", version)
}

func conflict(path string, current int64) error {
	return fault.Conflict(fault.CodeVersionConflict, "%s is at version %d: read it again and repeat the change", path, current).
		With("path", path).With("current_version", current)
}

func stillDeleted(path string) error {
	return fault.Conflict(fault.CodeSecretExists, "%s is deleted but can still be restored: restore it, or delete it permanently first", path).
		With("path", path)
}

func invalid(field, format string, args ...any) *fault.Error {
	return fault.Invalid(fault.CodeInvalidRequest, format, args...).With("field", field)
}

func tooLarge(field, format string, args ...any) error {
	return fault.New(fault.KindTooLarge, fault.CodeInvalidRequest, format, args...).With("field", field)
}

// sealing gives a failure of the key chain its kind; faults stand as they are.
func sealing(err error, path string) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return fault.Internal(err, "secret %s", path)
}
