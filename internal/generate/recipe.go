package generate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of a recipe.
const (
	MaxFields = 32 // of a recipe
	MaxSlow   = 4  // fields of a recipe that hold an RSA key or a bcrypt hash
)

// Field is one field of a recipe as it is written.
type Field struct {
	Name      string // of the field in the secret's data: 1 to 128 of a-z, A-Z, 0-9, dot, underscore, hyphen
	Generator string // random, hex, uuid, template, rsa_keypair, ec_keypair, ssh_keypair, bcrypt_hash or static
	// Config returns the generator's settings, a JSON object; nil: none. It stands behind a function
	// because a static value in it must not print.
	Config func() json.RawMessage
}

// Recipe is a checked list of fields. The zero Recipe makes nothing.
type Recipe struct{ fields []field }

// field makes the values of one or two names: a pair's private half or a password comes first.
type field struct {
	names  []string
	random bool
	slow   bool
	make   func(source) ([]any, error) // a value for each of names
}

// source is what a generator draws from.
type source struct {
	random io.Reader
	now    time.Time
}

// Invalid says what is wrong with a recipe.
type Invalid struct {
	Fields map[string]string // where, such as fields[0].config.length, and the rule that it breaks
}

// Error implements error.
func (e *Invalid) Error() string {
	var parts []string
	for _, where := range slices.Sorted(maps.Keys(e.Fields)) {
		parts = append(parts, where+": "+e.Fields[where])
	}
	return strings.Join(parts, "; ")
}

func (e *Invalid) add(where, format string, args ...any) {
	if _, known := e.Fields[where]; !known {
		e.Fields[where] = fmt.Sprintf(format, args...)
	}
}

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)

// Parse checks a recipe. The error is an *Invalid that tells all that is wrong, and holds no values.
func Parse(fields []Field) (Recipe, error) {
	bad := &Invalid{Fields: map[string]string{}}
	if len(fields) == 0 || len(fields) > MaxFields {
		bad.add("fields", "a recipe has 1 to %d fields", MaxFields)
		return Recipe{}, bad
	}
	var r Recipe
	taken := map[string]string{}
	for i, f := range fields {
		where := fmt.Sprintf("fields[%d]", i)
		made := parseField(f, where, bad)
		for _, name := range made.names {
			if by, twice := taken[name]; twice {
				bad.add(where+".name", "%s would be written twice: %s writes it already", name, by)
			}
			taken[name] = where
		}
		r.fields = append(r.fields, made)
	}
	if r.slow() > MaxSlow {
		bad.add("fields", "at most %d fields may hold an RSA key or a bcrypt hash: they take seconds to make", MaxSlow)
	}
	if len(bad.Fields) > 0 {
		return Recipe{}, bad
	}
	return r, nil
}

func parseField(f Field, where string, bad *Invalid) field {
	if !namePattern.MatchString(f.Name) {
		bad.add(where+".name", "1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen")
		return field{}
	}
	c := readConfig(f, where+".config", bad)
	defer c.done()
	switch f.Generator {
	case "random":
		return c.randomField(f.Name)
	case "hex":
		return c.hexField(f.Name)
	case "uuid":
		return c.uuidField(f.Name)
	case "template":
		return c.templateField(f.Name)
	case "rsa_keypair":
		return c.rsaField(f.Name)
	case "ec_keypair":
		return c.ecField(f.Name)
	case "ssh_keypair":
		return c.sshField(f.Name)
	case "bcrypt_hash":
		return c.bcryptField(f.Name)
	case "static":
		return c.staticField(f.Name)
	}
	c.settings = nil // nobody can say which of them are known
	bad.add(where+".generator", "must be random, hex, uuid, template, rsa_keypair, ec_keypair, ssh_keypair, bcrypt_hash or static")
	return field{}
}

// DefaultLength is how many characters a value has where nobody said how it is made.
const DefaultLength = 32

// Default is the recipe of a secret for which there is none: random alphanumeric characters in its
// field password if there is one, else in its only field, else in a field value. Fields are the
// names that the secret's data has now.
func Default(fields []string) Recipe {
	name := "value"
	switch {
	case slices.Contains(fields, "password"):
		name = "password"
	case len(fields) == 1:
		name = fields[0]
	}
	draw := drawing{set: alphanumeric, length: DefaultLength}
	return Recipe{fields: []field{{names: []string{name}, random: true, make: draw.make}}}
}

// Names are the fields that the recipe writes, in the order of the recipe.
func (r Recipe) Names() []string {
	names := []string{}
	for _, f := range r.fields {
		names = append(names, f.names...)
	}
	return names
}

// Random tells whether anything of what the recipe makes is new each time. Literals and times alone
// make no secret.
func (r Recipe) Random() bool {
	return slices.ContainsFunc(r.fields, func(f field) bool { return f.random })
}

// Slow tells whether generating takes long enough (an RSA key, a bcrypt hash) that no transaction
// should be open meanwhile and not many should be made at once.
func (r Recipe) Slow() bool { return r.slow() > 0 }

func (r Recipe) slow() int {
	n := 0
	for _, f := range r.fields {
		if f.slow {
			n++
		}
	}
	return n
}

// drawnAtOnce spares a system call per character.
const drawnAtOnce = 256

// Generate makes a value for each of Names. Key pairs and the salt of bcrypt take their randomness
// from the operating system, whatever random is: Go's key generators read no other source.
func (r Recipe) Generate(random io.Reader, now time.Time) (Result, error) {
	from := source{random: bufio.NewReaderSize(random, drawnAtOnce), now: now}
	made := map[string]json.RawMessage{}
	for _, f := range r.fields {
		values, err := f.make(from)
		if err != nil {
			return Result{}, fmt.Errorf("generate %s: %w", f.names[0], err)
		}
		for i, v := range values {
			if made[f.names[i]], err = encode(v); err != nil {
				return Result{}, fmt.Errorf("generate %s: %w", f.names[i], err)
			}
		}
	}
	return Result{fields: func() map[string]json.RawMessage { return made }}, nil
}
