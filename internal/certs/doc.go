// Package certs holds the rules of certificates that need neither a database nor a key: how PEM and certificate
// requests are read, what a name is, what a role allows, how long a certificate lives, how serials are written, and
// name constraints. It judges what others sent, so every reader is bounded in size and linear in time.
package certs

import "fmt"

// FieldError names the field of a request that breaks a rule; Rule says how it must be.
type FieldError struct{ Field, Rule string }

// Error gives field and rule.
func (e *FieldError) Error() string { return e.Field + ": " + e.Rule }

func broken(field, format string, args ...any) error {
	return &FieldError{Field: field, Rule: fmt.Sprintf(format, args...)}
}
