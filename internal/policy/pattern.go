package policy

import (
	"fmt"
	"strings"
)

// Limits of a pattern. A path has no more than MaxDepth segments and MaxLength bytes (contract
// section 3.2), so that a longer pattern could never match.
const (
	MaxLength = 512
	MaxDepth  = 10

	// maxPatternSegments counts ** too.
	maxPatternSegments = 2 * MaxDepth
)

const placeholder = "{namespace}"

// Pattern is a parsed `[class:]glob` (contract sections 5.2 and 25, IN-9, IN-10):
//
//   - segments are separated by /; there is no leading or trailing / and no empty segment;
//   - * stands for any characters within a segment, alone for exactly one segment;
//   - ? stands for one character;
//   - ** stands alone in its segment, for any number of segments including none; first in a longer
//     pattern, for one or more; as the whole pattern, for every path of the class;
//   - {namespace} stands for the subject's Kubernetes namespace, taken literally;
//   - other characters are a-z, 0-9, -, _ and a dot; the segments . and .. are refused.
//
// The zero Pattern matches nothing.
type Pattern struct {
	text     string
	class    Class
	segments []segment
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Class returns the class of the paths the pattern speaks of.
func (p Pattern) Class() Class { return p.class }

// Match reports whether the pattern covers path for a subject of the Kubernetes namespace given,
// which may be empty. It does not look at the class. A malformed path is never covered.
func (p Pattern) Match(path, namespace string) bool {
	parts, ok := splitPath(path)
	return ok && len(p.segments) > 0 && matchSegments(p.segments, parts.slice(), literalNamespace(namespace))
}

// PatternError says where and why a pattern is not one.
type PatternError struct {
	Code     string // always invalid_glob
	Pattern  string
	Position int    // byte offset, from 0
	Rule     string // the rule of the grammar that is broken
}

// Error implements error.
func (e *PatternError) Error() string {
	return fmt.Sprintf("pattern %.64q, position %d: %s", e.Pattern, e.Position, e.Rule)
}

// kind of a segment or of a part of one.
type kind uint8

const (
	literal   kind = iota // text
	one                   // ?, parts only
	star                  // *
	deep                  // **, segments only
	namespace             // {namespace}
	glob                  // several parts, segments only
)

type segment struct {
	kind  kind
	text  string // of a literal
	parts []part // of a glob
}

type part struct {
	kind kind
	text string // of a literal
}

// ParsePattern reads a pattern. The error is a *PatternError.
func ParsePattern(s string) (Pattern, error) {
	p := parser{text: s}
	if err := p.class(); err != nil {
		return Pattern{}, err
	}
	if err := p.glob(); err != nil {
		return Pattern{}, err
	}
	return Pattern{text: s, class: p.cls, segments: p.segments}, nil
}

type parser struct {
	text     string
	cls      Class
	start    int // where the glob begins
	segments []segment
}

func (p *parser) fail(position int, rule string) error {
	return &PatternError{Code: CodeInvalidGlob, Pattern: p.text, Position: position, Rule: rule}
}

func (p *parser) class() error {
	prefix, _, found := strings.Cut(p.text, ":")
	if !found {
		return nil
	}
	switch c := Class(prefix); c {
	case ClassPKI, ClassDynamic, ClassPartner:
		p.cls, p.start = c, len(prefix)+1
		return nil
	default:
		return p.fail(0, "the class before : must be pki, dynamic or partner")
	}
}

func (p *parser) glob() error {
	body := p.text[p.start:]
	switch {
	case body == "":
		return p.fail(p.start, "the pattern is empty")
	case len(body) > MaxLength:
		return p.fail(p.start+MaxLength, fmt.Sprintf("a pattern has at most %d characters", MaxLength))
	case body[0] == '/':
		return p.fail(p.start, "a pattern must not begin with /")
	case body[len(body)-1] == '/':
		return p.fail(len(p.text)-1, "a pattern must not end with /")
	}
	at, depth := p.start, 0
	for i, text := range strings.Split(body, "/") {
		seg, err := p.segment(at, text)
		if err != nil {
			return err
		}
		if seg.kind != deep {
			depth++
		}
		if depth > MaxDepth || i >= maxPatternSegments {
			return p.fail(at, fmt.Sprintf("a path has at most %d segments", MaxDepth))
		}
		p.add(i, seg, len(text) < len(body))
		at += len(text) + 1
	}
	return nil
}

// add appends the i-th segment. A leading ** that is followed by more asks for one segment (IN-9),
// so it becomes *, **; a ** after another adds nothing.
func (p *parser) add(i int, seg segment, more bool) {
	switch {
	case seg.kind != deep:
		p.segments = append(p.segments, seg)
	case i == 0 && more:
		p.segments = append(p.segments, segment{kind: star}, seg)
	case i == 0 || p.segments[len(p.segments)-1].kind != deep:
		p.segments = append(p.segments, seg)
	}
}

func (p *parser) segment(at int, text string) (segment, error) {
	switch text {
	case "":
		return segment{}, p.fail(at, "a segment must not be empty")
	case ".", "..":
		return segment{}, p.fail(at, "the segments . and .. are not allowed")
	case "**":
		return segment{kind: deep}, nil
	}
	parts, err := p.parts(at, text)
	if err != nil {
		return segment{}, err
	}
	if len(parts) == 1 && parts[0].kind != one {
		return segment{kind: parts[0].kind, text: parts[0].text}, nil
	}
	return segment{kind: glob, parts: parts}, nil
}

func (p *parser) parts(at int, text string) ([]part, error) {
	var parts []part
	for i := 0; i < len(text); {
		next, width, err := p.part(at+i, text[i:])
		if err != nil {
			return nil, err
		}
		if last := len(parts) - 1; next.kind == literal && last >= 0 && parts[last].kind == literal {
			parts[last].text += next.text
		} else {
			parts = append(parts, next)
		}
		i += width
	}
	return parts, nil
}

// part reads what text begins with and says how many bytes that took.
func (p *parser) part(at int, text string) (part, int, error) {
	switch c := text[0]; {
	case strings.HasPrefix(text, "**"):
		return part{}, 0, p.fail(at, "** must stand alone between two /")
	case c == '*':
		return part{kind: star}, 1, nil
	case c == '?':
		return part{kind: one}, 1, nil
	case strings.HasPrefix(text, placeholder):
		return part{kind: namespace}, len(placeholder), nil
	case c == '{':
		return part{}, 0, p.fail(at, "the only placeholder is "+placeholder)
	case legal(c):
		width := 1
		for width < len(text) && legal(text[width]) {
			width++
		}
		return part{kind: literal, text: text[:width]}, width, nil
	case 'A' <= c && c <= 'Z':
		return part{}, 0, p.fail(at, "upper case is not allowed")
	default:
		return part{}, 0, p.fail(at, fmt.Sprintf("the character %q is not allowed", c))
	}
}

// legal reports whether c may stand in a path or, for itself, in a pattern.
func legal(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}
