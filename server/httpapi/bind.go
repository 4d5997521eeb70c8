package httpapi

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/secrets"
)

// An input struct says what a route takes: fields tagged `path`, `query` or `header` and at most one field
// named Body. Tags default, minimum, maximum and enum are enforced here and shown in the OpenAPI document.
type plan struct {
	params []param
	body   int // index of field Body, -1 without one
}

type param struct {
	field          int
	in, name       string
	defaultTo      string
	minimum        int64
	maximum        int64
	oneOf          []string
	set            func(reflect.Value, string) error
	defaultIsGiven bool
}

// planOf reads the tags once, when the routes are built. A struct that cannot be bound is a mistake in the
// route table and panics.
func planOf(t reflect.Type) plan {
	p := plan{body: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "Body" {
			p.body = i
			continue
		}
		p.params = append(p.params, paramOf(i, f))
	}
	return p
}

func paramOf(i int, f reflect.StructField) param {
	q := param{field: i, maximum: 1<<63 - 1, minimum: -1 << 63}
	for _, in := range []string{"path", "query", "header"} {
		if name := f.Tag.Get(in); name != "" {
			q.in, q.name = in, name
		}
	}
	if q.in == "" {
		panic("field " + f.Name + " names no parameter")
	}
	q.defaultTo, q.defaultIsGiven = f.Tag.Lookup("default")
	if enum := f.Tag.Get("enum"); enum != "" {
		q.oneOf = strings.Split(enum, ",")
	}
	q.minimum, q.maximum = bound(f, "minimum", q.minimum), bound(f, "maximum", q.maximum)
	q.set = q.setter(f.Type)
	return q
}

func bound(f reflect.StructField, tag string, otherwise int64) int64 {
	s, ok := f.Tag.Lookup(tag)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("field %s: %s %q", f.Name, tag, s))
	}
	return n
}

// bind fills the parameters of in, which points to nothing yet but zero values.
func (p plan) bind(in reflect.Value, x *exchange) error {
	var query url.Values
	if x.r.URL.RawQuery != "" {
		var err error
		if query, err = url.ParseQuery(x.r.URL.RawQuery); err != nil {
			return invalidRequest("the query is not well formed")
		}
	}
	for i := range p.params {
		q := &p.params[i]
		text, given, err := q.text(x, query)
		if err != nil {
			return err
		}
		if !given {
			continue
		}
		if err := q.set(in.Field(q.field), text); err != nil {
			return err
		}
	}
	return nil
}

// text is the parameter as sent. A parameter that is there twice means two things, and is refused.
func (q *param) text(x *exchange, query url.Values) (text string, given bool, err error) {
	var values []string
	switch q.in {
	case "path":
		if q.name == secretParam {
			return x.path, true, nil
		}
		return x.r.PathValue(q.name), true, nil
	case "query":
		values = query[q.name]
	default:
		values = x.r.Header.Values(q.name)
	}
	switch {
	case len(values) > 1:
		return "", false, q.bad("is there more than once")
	case len(values) == 1 && (!utf8.ValidString(values[0]) || strings.Contains(values[0], "\x00")):
		return "", false, q.bad("must be UTF-8 without NUL") // PostgreSQL's TEXT knows neither
	case len(values) == 1 && values[0] != "":
		return values[0], true, nil
	}
	return q.defaultTo, q.defaultIsGiven, nil
}

func (q *param) bad(format string, args ...any) *fault.Error {
	return invalidRequest("parameter %s "+format, append([]any{q.name}, args...)...).With("parameter", q.name)
}

// setter picks the parser for a type.
func (q *param) setter(t reflect.Type) func(reflect.Value, string) error {
	switch {
	case t == reflect.TypeFor[secrets.Path]():
		return setPath
	case t == reflect.TypeFor[time.Time]():
		return q.setTime
	case t == reflect.TypeFor[time.Duration]():
		return q.setDuration
	case t == reflect.TypeFor[*bool]():
		return func(v reflect.Value, s string) error {
			b := new(bool)
			v.Set(reflect.ValueOf(b))
			return q.setBool(v.Elem(), s)
		}
	case t == reflect.TypeFor[[]string]():
		return func(v reflect.Value, s string) error {
			v.Set(reflect.ValueOf(strings.Split(s, ",")))
			return nil
		}
	}
	switch t.Kind() {
	case reflect.Bool:
		return q.setBool
	case reflect.Int, reflect.Int64:
		return q.setInt
	case reflect.String:
		return q.setString
	}
	panic(fmt.Sprintf("parameter %s: no parser for %s", q.name, t))
}

func setPath(v reflect.Value, s string) error {
	p, err := secrets.ParsePath(s)
	if err != nil {
		return err
	}
	v.Set(reflect.ValueOf(p))
	return nil
}

func (q *param) setString(v reflect.Value, s string) error {
	if q.oneOf != nil && !slices.Contains(q.oneOf, s) {
		return q.bad("must be one of %s", strings.Join(q.oneOf, ", "))
	}
	v.SetString(s)
	return nil
}

func (q *param) setInt(v reflect.Value, s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < q.minimum || n > q.maximum {
		if q.maximum == 1<<63-1 {
			return q.bad("must be a whole number of at least %d", q.minimum)
		}
		return q.bad("must be a whole number from %d to %d", q.minimum, q.maximum)
	}
	v.SetInt(n)
	return nil
}

func (q *param) setBool(v reflect.Value, s string) error {
	if s != "true" && s != "false" {
		return q.bad("must be true or false")
	}
	v.SetBool(s == "true")
	return nil
}

func (q *param) setTime(v reflect.Value, s string) error {
	t, err := vaultapi.ParseTime(s)
	if err != nil {
		return q.bad("must be an RFC 3339 time or a date such as 2026-01-31")
	}
	v.Set(reflect.ValueOf(t))
	return nil
}

func (q *param) setDuration(v reflect.Value, s string) error {
	d, err := schedule.ParseDuration(s)
	if err != nil {
		return fault.Invalid(fault.CodeInvalidDuration, "parameter %s must be a duration such as 30d or 1h30m", q.name).With("field", q.name)
	}
	v.SetInt(int64(d))
	return nil
}

// jsonName is what a JSON author calls a Go type.
func jsonName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	}
	return "string"
}
