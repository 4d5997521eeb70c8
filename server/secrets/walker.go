package secrets

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// walker goes through compact, valid JSON and refuses what readers would disagree about: names that occur
// twice in an object, and nesting deeper than maxDepth.
type walker struct {
	in    []byte
	at    int
	trail []string // where we are: data, field, [index]
	names [maxDepth + 2]names
}

func (w *walker) value() error {
	switch w.in[w.at] {
	case '{':
		return w.nested('}', w.member)
	case '[':
		return w.nested(']', w.element)
	case '"':
		w.text()
	default:
		w.literal()
	}
	return nil
}

// literal reads a number, true, false or null.
func (w *walker) literal() string {
	start := w.at
	for w.at < len(w.in) && w.in[w.at] != ',' && w.in[w.at] != ']' && w.in[w.at] != '}' {
		w.at++
	}
	return string(w.in[start:w.at])
}

// nested walks an object or an array: its items, each behind { [ or a comma, up to the closing character.
func (w *walker) nested(end byte, item func(i int) error) error {
	depth := len(w.trail)
	if depth > maxDepth {
		return invalid(w.where(), "%s is nested deeper than %d levels", w.where(), maxDepth)
	}
	w.names[depth].reset()
	w.at++ // { or [
	for i := 0; w.in[w.at] != end; i++ {
		if w.in[w.at] == ',' {
			w.at++
		}
		if err := item(i); err != nil {
			return err
		}
		w.trail = w.trail[:depth]
	}
	w.at++
	return nil
}

func (w *walker) member(int) error {
	depth := len(w.trail)
	name := w.text()
	w.at++ // colon
	w.trail = append(w.trail, name)
	if !w.names[depth].add(name) {
		return invalid(w.where(), "%s occurs twice", w.where())
	}
	return w.value()
}

func (w *walker) element(i int) error {
	w.trail = append(w.trail, "["+strconv.Itoa(i)+"]")
	return w.value()
}

// text reads a string and returns it as encoding/json does: unescaped, so that "a" and "\u0061" are one name, and with
// U+FFFD for what is not UTF-8.
func (w *walker) text() string {
	start, escaped := w.at, false
	for w.at++; w.in[w.at] != '"'; w.at++ {
		if w.in[w.at] == '\\' {
			escaped = true
			w.at++
		}
	}
	w.at++
	quoted := w.in[start:w.at]
	if !escaped && utf8.Valid(quoted) {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return string(quoted)
	}
	return s
}

// where names the field we are at, such as data.tls.hosts[2], shortened at the end.
func (w *walker) where() string {
	const limit = 256
	where := strings.ReplaceAll(strings.Join(w.trail, "."), ".[", "[")
	if len(where) > limit {
		where = strings.ToValidUTF8(where[:limit], "") + "…"
	}
	return where
}

// names of one object: few are compared, many are hashed.
type names struct {
	few  []string
	many map[string]struct{}
}

const fewNames = 12

func (n *names) reset() { n.few, n.many = n.few[:0], nil }

// add tells whether the name is new.
func (n *names) add(name string) bool {
	if n.many == nil {
		for _, other := range n.few {
			if other == name {
				return false
			}
		}
		if n.few = append(n.few, name); len(n.few) > fewNames {
			n.many = make(map[string]struct{}, 2*fewNames)
			for _, other := range n.few {
				n.many[other] = struct{}{}
			}
		}
		return true
	}
	if _, known := n.many[name]; known {
		return false
	}
	n.many[name] = struct{}{}
	return true
}
