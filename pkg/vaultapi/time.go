package vaultapi

import (
	"fmt"
	"time"
)

const microLayout = "2006-01-02T15:04:05.000000Z"

// Time is an instant on a resource: RFC 3339, UTC, whole seconds.
type Time struct{ time.Time }

// MicroTime is an instant on an event or an audit entry: RFC 3339, UTC, microseconds.
type MicroTime struct{ time.Time }

// At makes a Time.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Second)} }

// AtMicros makes a Time from microseconds since 1970.
func AtMicros(us int64) Time { return At(time.UnixMicro(us)) }

// MaybeAt makes a Time of microseconds that may be absent.
func MaybeAt(us *int64) *Time {
	if us == nil {
		return nil
	}
	t := AtMicros(*us)
	return &t
}

// MarshalJSON writes whole seconds, or null for the zero time.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.UTC().Format("2006-01-02T15:04:05Z") + `"`), nil
}

// MarshalJSON writes microseconds, or null for the zero time.
func (t MicroTime) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.UTC().Format(microLayout) + `"`), nil
}

// ParseTime reads RFC 3339 or a bare ISO 8601 date (midnight UTC), as date inputs allow (contract section 1).
func ParseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither an RFC 3339 time nor a date such as 2026-01-31", s)
}
