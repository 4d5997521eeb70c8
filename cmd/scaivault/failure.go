package main

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
	exitOK             = 0
	exitGeneral        = 1
	exitAuthentication = 2
	exitAuthorization  = 3
	exitNotFound       = 4
	exitValidation     = 5
)

var errNoServer = errors.New("no server is configured: run scaivault config set base_url https://HOST, or set SCAIVAULT_URL")

// usageError is input that the user must change.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func badUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// notFoundError is an absent thing that the server did not have to be asked for.
type notFoundError struct{ error }

func exitCode(err error) int {
	var usage usageError
	var absent notFoundError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), vaultapi.IsInvalid(err):
		return exitValidation
	case vaultapi.IsUnauthenticated(err):
		return exitAuthentication
	case vaultapi.IsForbidden(err):
		return exitAuthorization
	case errors.As(err, &absent), vaultapi.IsNotFound(err):
		return exitNotFound
	}
	return exitGeneral
}

// explained is an error in one line, with the next step where one is known.
func explained(err error) string {
	line := strings.Join(strings.Fields(clean(err.Error())), " ")
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
		rules = append(rules, clean(fmt.Sprintf("%s %v", name, rule)))
	}
	slices.Sort(rules)
	return strings.Join(rules, "; ")
}
