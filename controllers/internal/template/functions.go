package template

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/template"
)

// allowed tells whether a template may call a function. and, or, not, index, slice and len are
// text/template's own; all others are ours, also where it has one of the same name, because ours
// watch size and time.
func allowed(name string, ours template.FuncMap) bool {
	switch name {
	case "and", "or", "not", "index", "slice", "len":
		return true
	case stepFunc:
		return false
	}
	_, ok := ours[name]
	return ok
}

func (b *budget) functions() template.FuncMap {
	f := template.FuncMap{
		stepFunc: b.step,
		"print":  b.print, "println": b.println, "printf": b.printf,
		"default": func(fallback, v any) any { return either(v, fallback) },
		"eq":      b.equal, "ne": b.unequal,
		"lt":        b.order(func(c int) bool { return c < 0 }),
		"le":        b.order(func(c int) bool { return c <= 0 }),
		"gt":        b.order(func(c int) bool { return c > 0 }),
		"ge":        b.order(func(c int) bool { return c >= 0 }),
		"contains":  func(part, s string) (bool, error) { return strings.Contains(s, part), b.check() },
		"hasPrefix": func(part, s string) (bool, error) { return strings.HasPrefix(s, part), b.check() },
		"hasSuffix": func(part, s string) (bool, error) { return strings.HasSuffix(s, part), b.check() },
		"replace":   b.replace, "indent": b.indent, "nindent": b.nindent,
		"split": b.split, "join": b.join, "keys": b.keys,
		"toJson": b.toJSON, "fromJson": b.fromJSON, "required": b.required,
	}
	for name, fn := range map[string]func(string) string{
		"upper": strings.ToUpper, "lower": strings.ToLower, "trim": strings.TrimSpace, "urlquery": url.QueryEscape,
		"b64enc": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	} {
		f[name] = func(s string) (string, error) { return b.bound(fn(s)) }
	}
	f["trimPrefix"] = func(part, s string) (string, error) { return b.bound(strings.TrimPrefix(s, part)) }
	f["trimSuffix"] = func(part, s string) (string, error) { return b.bound(strings.TrimSuffix(s, part)) }
	f["b64dec"] = b.decode
	f["quote"] = b.toJSON
	return f
}

// bound lets a result pass that is within size and time.
func (b *budget) bound(s string) (string, error) {
	if err := b.room(len(s)); err != nil {
		return "", err
	}
	return s, nil
}

// room tells whether n bytes may be made.
func (b *budget) room(n int) error {
	if n > OutputLimit {
		return failf("a function gives more than %d bytes", OutputLimit)
	}
	return b.check()
}

func either(v, fallback any) any {
	if truth, ok := template.IsTrue(v); ok && truth {
		return v
	}
	return fallback
}

func (b *budget) required(message string, v any) (any, error) {
	if truth, ok := template.IsTrue(v); ok && truth {
		return v, nil
	}
	return nil, failf("%s", clip(message))
}

// clip makes one short line of a text that stands in the template.
func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), 80)]
}

func (b *budget) print(args ...any) (string, error) {
	if err := b.room(argSize(args)); err != nil {
		return "", err
	}
	return b.bound(fmt.Sprint(args...))
}

func (b *budget) println(args ...any) (string, error) {
	s, err := b.print(args...)
	return s + "\n", err
}

// printf allows the verbs d s q v x X t with a width below 100 and nothing that reads an argument twice.
func (b *budget) printf(format string, args ...any) (string, error) {
	verbs, err := plainFormat(format)
	if err != nil {
		return "", err
	}
	if verbs != len(args) {
		return "", failf("printf has %d verbs and %d arguments", verbs, len(args))
	}
	if err := b.room(len(format) + 100*verbs + argSize(args)); err != nil {
		return "", err
	}
	return b.bound(fmt.Sprintf(format, args...))
}

func plainFormat(format string) (verbs int, err error) {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		start := i + 1
		for i++; i < len(format) && strings.IndexByte("-+0. 123456789", format[i]) >= 0; i++ {
		}
		switch {
		case i >= len(format) || i-start > 4:
			return 0, failf("printf takes verbs such as %%s, %%d, %%q with a width below 100")
		case format[i] == '%':
		case strings.IndexByte("dsqvxXt", format[i]) >= 0:
			verbs++
			if digits := strings.Trim(format[start:i], "-+ ."); len(digits) > 2 && !strings.Contains(digits, ".") {
				return 0, failf("printf takes widths below 100")
			}
		default:
			return 0, failf("printf takes only the verbs d s q v x X t")
		}
	}
	return verbs, nil
}

// argSize is about how long the arguments print.
func argSize(args []any) int {
	n := 0
	for _, a := range args {
		n += 1 + valueSize(a)
	}
	return n
}

func valueSize(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case json.Number:
		return len(v)
	case []any:
		return argSize(v)
	case map[string]any:
		n := 0
		for k, x := range v {
			n += len(k) + 2 + valueSize(x)
		}
		return n
	case []string:
		n := 0
		for _, s := range v {
			n += len(s) + 1
		}
		return n
	}
	return 32
}

func (b *budget) replace(from, to, s string) (string, error) {
	n := strings.Count(s, from)
	if err := b.room(len(s) + n*max(0, len(to)-len(from))); err != nil {
		return "", err
	}
	return b.bound(strings.ReplaceAll(s, from, to))
}

func (b *budget) indent(n int, s string) (string, error) {
	if n < 0 || n > 100 {
		return "", failf("indent takes 0 to 100")
	}
	if err := b.room(len(s) + n*(1+strings.Count(s, "\n"))); err != nil {
		return "", err
	}
	pad := strings.Repeat(" ", n)
	return b.bound(pad + strings.ReplaceAll(s, "\n", "\n"+pad))
}

func (b *budget) nindent(n int, s string) (string, error) {
	s, err := b.indent(n, s)
	return "\n" + s, err
}

func (b *budget) split(sep, s string) ([]string, error) {
	if strings.Count(s, sep) > StepLimit {
		return nil, failf("split gives more than %d parts", StepLimit)
	}
	return strings.Split(s, sep), b.check()
}

func (b *budget) join(sep string, list any) (string, error) {
	var parts []string
	switch l := list.(type) {
	case []string:
		parts = l
	case []any:
		if err := b.room(argSize(l)); err != nil {
			return "", err
		}
		for _, v := range l {
			parts = append(parts, fmt.Sprint(v))
		}
	default:
		return "", failf("join takes a list")
	}
	if err := b.room(valueSize(parts) + len(sep)*len(parts)); err != nil {
		return "", err
	}
	return b.bound(strings.Join(parts, sep))
}

func (b *budget) keys(m map[string]any) ([]string, error) {
	return slices.Sorted(maps.Keys(m)), b.check()
}

func (b *budget) toJSON(v any) (string, error) {
	if err := b.room(valueSize(v)); err != nil {
		return "", err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return "", failf("toJson cannot write this")
	}
	return b.bound(strings.TrimSuffix(buf.String(), "\n"))
}

func (b *budget) fromJSON(s string) (any, error) {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil || dec.More() { // the decoder's own error would quote the value
		return nil, failf("fromJson was given something that is not JSON")
	}
	return v, b.check()
}

func (b *budget) decode(s string) (string, error) {
	raw, ok := Base64(s)
	if !ok {
		return "", failf("b64dec was given something that is not Base64")
	}
	return b.bound(string(raw))
}

// Base64 reads standard or URL-safe Base64, with or without padding; blanks and line breaks are ignored.
func Base64(s string) ([]byte, bool) {
	s = strings.TrimRight(strings.Join(strings.Fields(s), ""), "=")
	s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	raw, err := base64.RawStdEncoding.DecodeString(s)
	return raw, err == nil
}
