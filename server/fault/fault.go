// Package fault is the server's one error type: a kind, a public code and message, and a private cause.
//
// Domain code returns faults; only httpapi turns a kind into a status. An error that is not a fault is
// internal, and nothing of it leaves the process.
package fault

import (
	"errors"
	"fmt"
	"maps"
)

// Kind says what class of failure an error is, and so which HTTP status it becomes.
type Kind int

// The kinds, with the status that httpapi gives them.
const (
	KindInternal        Kind = iota // 500
	KindInvalid                     // 400
	KindUnauthenticated             // 401
	KindForbidden                   // 403
	KindNotFound                    // 404
	KindConflict                    // 409
	KindTooLarge                    // 413
	KindUnprocessable               // 422
	KindLimited                     // 429
	KindUnavailable                 // 503
)

// Error is a failure that may be told to a caller. Code, Message and Details are public; the cause is not.
type Error struct {
	Kind    Kind
	Code    string
	Message string
	Details map[string]any
	cause   error
}

// Error gives the code, the message and the private cause: it is for logs, not for answers.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.cause)
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// With returns a copy that carries one more public detail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = maps.Clone(e.Details)
	if c.Details == nil {
		c.Details = make(map[string]any, 1)
	}
	c.Details[key] = value
	return &c
}

// Because returns a copy that carries a private cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// New makes a fault of any kind; the constructors below are shorter for the usual ones.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid is bad input that the caller must change: 400.
func Invalid(code, format string, args ...any) *Error {
	return New(KindInvalid, code, format, args...)
}

// Forbidden is a call that the caller may not make: 403.
func Forbidden(code, format string, args ...any) *Error {
	return New(KindForbidden, code, format, args...)
}

// NotFound is an absent thing that the caller was allowed to look for: 404.
func NotFound(code, format string, args ...any) *Error {
	return New(KindNotFound, code, format, args...)
}

// Conflict is a call that does not fit the present state: 409.
func Conflict(code, format string, args ...any) *Error {
	return New(KindConflict, code, format, args...)
}

// Validation is a well-formed request with fields that break rules: 422, with details.fields.
// fields maps a field's name (dotted, as in `rules[0].permissions`) to the rule it breaks.
func Validation(fields map[string]string) *Error {
	e := New(KindUnprocessable, CodeValidation, "%d field(s) are not valid: see details.fields", len(fields))
	return e.With("fields", fields)
}

// Unavailable is a dependency that does not answer now: 503. The cause stays private.
func Unavailable(cause error, format string, args ...any) *Error {
	return New(KindUnavailable, CodeUnavailable, format, args...).Because(cause)
}

// Internal is a failure that says nothing to the caller: 500.
func Internal(cause error, format string, args ...any) *Error {
	return &Error{
		Kind: KindInternal, Code: CodeInternal, Message: "internal error",
		cause: fmt.Errorf(format+": %w", append(args, cause)...),
	}
}

// From returns the fault in err's chain, or an internal one that wraps err. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: KindInternal, Code: CodeInternal, Message: "internal error", cause: err}
}

// Code returns the public code of err, "" for nil.
func Code(err error) string {
	if e := From(err); e != nil {
		return e.Code
	}
	return ""
}

// Is tells whether err carries one of the codes.
func Is(err error, codes ...string) bool {
	got := Code(err)
	for _, c := range codes {
		if got == c && err != nil {
			return true
		}
	}
	return false
}
