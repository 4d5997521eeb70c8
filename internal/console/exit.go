package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Exit codes (contract section 18).
const (
	OK             = 0
	General        = 1
	Authentication = 2
	Authorization  = 3
	NotFound       = 4
	Validation     = 5
)

// coded is an error whose exit code is known where it was made.
type coded struct {
	error
	code int
}

func (e coded) Unwrap() error { return e.error }

// Coded gives an error its exit code.
func Coded(code int, err error) error { return coded{err, code} }

// Mistake marks an error as input that the user must change.
func Mistake(err error) error { return Coded(Validation, err) }

// BadUsage says what the user must change.
func BadUsage(format string, args ...any) error { return Mistake(fmt.Errorf(format, args...)) }

// Absent marks an error as an absent thing that no server had to be asked for.
func Absent(err error) error { return Coded(NotFound, err) }

// ExitCode is what a program that failed with err ends with.
func ExitCode(err error) int {
	var known coded
	switch {
	case err == nil:
		return OK
	case errors.As(err, &known):
		return known.code
	case vaultapi.IsInvalid(err):
		return Validation
	case vaultapi.IsUnauthenticated(err):
		return Authentication
	case vaultapi.IsForbidden(err):
		return Authorization
	case vaultapi.IsNotFound(err):
		return NotFound
	}
	return General
}

// Explained is an error in one line, with the next step where one is known.
func Explained(err error) string {
	line := strings.Join(strings.Fields(Clean(err.Error())), " ")
	var failed *vaultapi.Error
	if !errors.As(err, &failed) {
		if strings.HasPrefix(line, "cannot reach the vault") {
			line += ": check the address with scaivault config get base_url"
		}
		return line
	}
	if rules := brokenFields(failed); rules != "" {
		line += ": " + rules
	}
	switch {
	case failed.Status == http.StatusUnauthorized:
		line += ": run scaivault auth login"
	case failed.Code == "version_conflict":
		line += ": read the secret again and repeat"
	case failed.Code == "policy_in_use" && failed.Details["uses"] != nil:
		line += ": repeat with --force to detach the secrets"
	case failed.Code == "policy_in_use":
		line += ": repeat with --force to remove its bindings too"
	}
	return line
}

// brokenFields names the fields of a validation_error.
func brokenFields(e *vaultapi.Error) string {
	fields, ok := e.Details["fields"].(map[string]any)
	if !ok {
		return ""
	}
	rules := make([]string, 0, len(fields))
	for name, rule := range fields {
		rules = append(rules, Clean(fmt.Sprintf("%s %v", name, rule)))
	}
	slices.Sort(rules)
	return strings.Join(rules, "; ")
}
