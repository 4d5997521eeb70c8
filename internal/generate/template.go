package generate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a template.
const (
	MaxTemplate = 4096  // bytes as it is written
	MaxDrawn    = 1024  // N of {{random:N}} and {{hex:N}}
	MaxExpanded = 16384 // bytes that it may become
)

// part is a literal text or a placeholder of a template.
type part struct {
	kind string // text, random, hex, uuid, timestamp
	text string
	n    int
}

const (
	uuidLength      = 36
	timestampLength = 12
)

// size is how many bytes the part becomes at most.
func (p part) size() int {
	switch p.kind {
	case "uuid":
		return uuidLength
	case "timestamp":
		return timestampLength
	case "text":
		return len(p.text)
	}
	return p.n
}

// parseTemplate cuts a template. {{ begins a placeholder everywhere; }} without one is text. What a
// placeholder becomes is not looked at again, so that nothing generated can act as a template.
func parseTemplate(text string) ([]part, error) {
	var parts []part
	for at := 0; at < len(text); {
		open := strings.Index(text[at:], "{{")
		if open < 0 {
			return append(parts, part{kind: "text", text: text[at:]}), nil
		}
		if open > 0 {
			parts = append(parts, part{kind: "text", text: text[at : at+open]})
		}
		at += open
		shut := strings.Index(text[at:], "}}")
		if shut < 0 {
			return nil, fmt.Errorf("position %d: {{ is not closed by }}", at)
		}
		p, err := placeholder(text[at+2 : at+shut])
		if err != nil {
			return nil, fmt.Errorf("position %d: %w", at, err)
		}
		parts = append(parts, p)
		at += shut + 2
	}
	return parts, nil
}

func placeholder(text string) (part, error) {
	kind, number, counted := strings.Cut(text, ":")
	if !counted && (kind == "uuid" || kind == "timestamp") {
		return part{kind: kind}, nil
	}
	if !counted || kind != "random" && kind != "hex" {
		return part{}, errors.New("a placeholder is {{random:N}}, {{hex:N}}, {{uuid}} or {{timestamp}}, without blanks")
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || number[0] == '0' || n > MaxDrawn {
		return part{}, fmt.Errorf("the N of {{%s:N}} must be a number from 1 to %d", kind, MaxDrawn)
	}
	return part{kind: kind, n: int(n)}, nil
}

// templateField fills in a template. {{timestamp}} is the Unix time in seconds, {{random:N}} is alphanumeric.
func (c *config) templateField(name string) field {
	var text string
	if !c.take("template", "a string", &text) || text == "" {
		c.refuse("template", "is required")
	}
	if len(text) > MaxTemplate || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		c.refuse("template", "at most %d bytes of text", MaxTemplate)
		return field{}
	}
	parts, err := parseTemplate(text)
	if err != nil {
		c.refuse("template", "%v", err)
	}
	size, random := 0, false
	for _, p := range parts {
		size += p.size()
		random = random || p.kind != "text" && p.kind != "timestamp"
	}
	if size > MaxExpanded {
		c.refuse("template", "would become %d bytes; at most %d are made", size, MaxExpanded)
	}
	return field{names: []string{name}, random: random, make: func(s source) ([]any, error) {
		value, err := s.expand(parts)
		return []any{value}, err
	}}
}

func (s source) expand(parts []part) (string, error) {
	var value strings.Builder
	for _, p := range parts {
		text, err := s.fill(p)
		if err != nil {
			return "", err
		}
		value.WriteString(text)
	}
	return value.String(), nil
}

func (s source) fill(p part) (string, error) {
	switch p.kind {
	case "random":
		return s.draw(alphanumeric, p.n)
	case "hex":
		return s.draw(hexadecimal, p.n)
	case "uuid":
		return s.uuid(4)
	case "timestamp":
		return s.timestamp(), nil
	}
	return p.text, nil
}
