package secretpolicies

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// MaxDescription is how many bytes a description may have.
const MaxDescription = 1024

const (
	idPrefix    = "sp_"
	defaultType = "custom"
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)

// isName reports whether s can be a policy's name, or its id.
func isName(s string) bool { return namePattern.MatchString(s) && s != "." && s != ".." }

// isOwnID reports whether a name could be taken for a policy's id.
func isOwnID(name string) bool {
	return len(name) == len(idPrefix)+idLength && strings.HasPrefix(name, idPrefix)
}

// check checks what of a policy is not its recipe: 422 validation_error.
func (r record) check() error {
	fields := map[string]string{}
	switch {
	case !isName(r.Name):
		fields["name"] = "1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen, and not . or .."
	case isOwnID(r.Name):
		fields["name"] = "must not look like a secret policy's id"
	}
	if len(r.Description) > MaxDescription || !utf8.ValidString(r.Description) || strings.ContainsRune(r.Description, 0) {
		fields["description"] = fmt.Sprintf("at most %d bytes of text", MaxDescription)
	}
	switch r.Type {
	case "password", "api_key", "oauth_client", "ssh_key", defaultType:
	default:
		fields["policy_type"] = "must be password, api_key, oauth_client, ssh_key or custom"
	}
	if len(fields) > 0 {
		return fault.Validation(fields)
	}
	return nil
}

// Recipe checks the fields of a recipe: 422 validation_error, with details.fields that name each mistake.
func Recipe(fields []vaultapi.SecretPolicyField) (generate.Recipe, error) {
	written := make([]generate.Field, len(fields))
	for i, f := range fields {
		config := f.Config
		written[i] = generate.Field{Name: f.Name, Generator: f.Generator, Config: func() json.RawMessage { return config }}
	}
	r, err := generate.Parse(written)
	var bad *generate.Invalid
	if errors.As(err, &bad) {
		return generate.Recipe{}, fault.Validation(bad.Fields)
	}
	return r, err
}

// withoutValues leaves out what only somebody's value can be: all that a static field is made of.
func withoutValues(fields []vaultapi.SecretPolicyField) []vaultapi.SecretPolicyField {
	shown := make([]vaultapi.SecretPolicyField, len(fields))
	for i, f := range fields {
		if f.Generator == "static" {
			f.Config = nil
		}
		shown[i] = f
	}
	return shown
}

func notFound(ref string) error {
	return fault.NotFound(fault.CodeSecretPolicyNotFound, "there is no secret policy %.128q", ref)
}

func exists(known record) error {
	f := fault.Conflict(fault.CodeSecretPolicyExists, "there is a secret policy %s already", known.Name).With("name", known.Name)
	if known.ID != "" {
		f = f.With("secret_policy_id", known.ID)
	}
	return f
}

func inUse(r record, uses int64) error {
	return fault.Conflict(fault.CodePolicyInUse,
		"secret policy %s is the recipe of %d secrets and rotation policies: give those another, or detach the secrets by force", r.Name, uses).
		With("secret_policy_id", r.ID).With("uses", uses)
}

// unread is the answer when the database could not be asked; faults stand as they are.
func unread(err error) error {
	if err == nil || fault.Code(err) != fault.CodeInternal {
		return err
	}
	return fault.Unavailable(err, "secret policies cannot be read now")
}
