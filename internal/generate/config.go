package generate

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// config reads the settings of one field. What is taken is removed: what is left at the end is not
// known to the generator. A misspelt setting is refused, since without it another secret would come
// out than the one that was asked for.
type config struct {
	generator string
	where     string
	settings  map[string]json.RawMessage
	bad       *Invalid
}

func readConfig(f Field, where string, bad *Invalid) *config {
	c := &config{generator: f.Generator, where: where, bad: bad, settings: map[string]json.RawMessage{}}
	if f.Config == nil {
		return c
	}
	raw := bytes.TrimSpace(f.Config())
	if len(raw) == 0 || string(raw) == "null" {
		return c
	}
	if err := json.Unmarshal(raw, &c.settings); err != nil {
		bad.add(where, "must be a JSON object")
		c.settings = nil
	}
	return c
}

func (c *config) refuse(key, format string, args ...any) {
	c.bad.add(c.where+"."+key, format, args...)
}

// done refuses what no generator took.
func (c *config) done() {
	for key := range c.settings {
		c.refuse(printable(key), "generator %s has no such setting", c.generator)
	}
}

// printable makes a key fit for an error.
func printable(key string) string {
	const longest = 64
	if len(key) > longest {
		key = key[:longest]
	}
	return strings.Trim(strconv.QuoteToASCII(key), `"`)
}

// take decodes a setting, and tells whether it is there and of the right type. Null is as good as absent.
func (c *config) take(key, kind string, to any) bool {
	raw, found := c.settings[key]
	delete(c.settings, key)
	if !found || string(raw) == "null" {
		return false
	}
	if err := json.Unmarshal(raw, to); err != nil { // its error would quote the setting
		c.refuse(key, "must be %s", kind)
		return false
	}
	return true
}

// span is the bounds of a number, and what it is when it is not given.
type span struct{ least, most, otherwise int }

func (c *config) number(key string, in span) int {
	n := in.otherwise
	if c.take(key, "a whole number", &n) && (n < in.least || n > in.most) {
		c.refuse(key, "must be %d to %d", in.least, in.most)
		return in.otherwise
	}
	return n
}

func (c *config) oneOfNumbers(key string, known ...int) int {
	n := known[0]
	if c.take(key, "a whole number", &n) && !slices.Contains(known, n) {
		c.refuse(key, "must be %d or %d", known[0], known[1])
		return known[0]
	}
	return n
}

func (c *config) flag(key string) bool {
	var on bool
	c.take(key, "true or false", &on)
	return on
}

// choice returns the first of the known words where none is given.
func (c *config) choice(key string, known ...string) string {
	word := known[0]
	if c.take(key, "a string", &word) && !slices.Contains(known, word) {
		c.refuse(key, "must be %s", strings.Join(known[:len(known)-1], ", ")+" or "+known[len(known)-1])
		return known[0]
	}
	return word
}

// line takes a text without line breaks and other control characters: it must not begin a new line
// where it is written.
func (c *config) line(key string, most int) string {
	var text string
	if c.take(key, "a string", &text) && (len(text) > most || strings.ContainsFunc(text, unicode.IsControl)) {
		c.refuse(key, "at most %d bytes without line breaks and other control characters", most)
		return ""
	}
	return text
}

// twin is the name of the second field that a generator writes beside the first.
func (c *config) twin(key, otherwise string) string {
	name := otherwise
	c.take(key, "a string", &name)
	if !namePattern.MatchString(name) {
		c.refuse(key, "1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen")
		return ""
	}
	return name
}

// MaxStatic is how many bytes of JSON a static value may have.
const MaxStatic = 64 << 10

// staticField repeats its value: a host or a user name that belongs beside what is generated.
func (c *config) staticField(name string) field {
	raw, found := c.settings["value"]
	delete(c.settings, "value")
	switch {
	case !found:
		c.refuse("value", "is required")
	case len(raw) > MaxStatic || !utf8.Valid(raw):
		c.refuse("value", "at most %d bytes of UTF-8", MaxStatic)
	case !isScalar(raw):
		c.refuse("value", "must be a string, a number or true or false")
	}
	return field{names: []string{name}, make: func(source) ([]any, error) { return []any{raw}, nil }}
}

func isScalar(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.ContainsRune([]byte("{[n"), rune(raw[0]))
}
