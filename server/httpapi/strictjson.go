package httpapi

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

const (
	maxJSONDepth  = 64
	maxJSONValues = 1 << 16 // values in one body: what decoding may cost, whatever their size
	fewKeys       = 8
)

// checkJSON says whether body is exactly one JSON value that means the same to every reader: no key twice in an
// object, no trailing bytes, UTF-8, bounded in depth and in number of values. On the top level two keys must
// not differ in case only, because encoding/json takes them for the same field. Errors name a position and
// never quote the body: it may hold a secret (docs/security/mistakes.md, item 37).
func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return invalidRequest("the body is not UTF-8")
	}
	s := jsonScan{body: body}
	s.space()
	if err := s.value(1); err != nil {
		return err
	}
	s.space()
	if s.at < len(body) {
		return invalidRequest("the body goes on after its JSON value, at byte %d", s.at)
	}
	return nil
}

// jsonScan reads a body once, left to right.
type jsonScan struct {
	body   []byte
	at     int
	values int
}

func (s *jsonScan) broken() error {
	return invalidRequest("the body is not valid JSON at byte %d", s.at)
}

func (s *jsonScan) peek() byte {
	if s.at < len(s.body) {
		return s.body[s.at]
	}
	return 0
}

func (s *jsonScan) space() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

func (s *jsonScan) value(depth int) error {
	s.values++
	if s.values > maxJSONValues {
		return invalidRequest("the body holds more than %d values", maxJSONValues)
	}
	if depth > maxJSONDepth {
		return invalidRequest("the body is nested more than %d levels deep", maxJSONDepth)
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.body[s.at:min(s.at+len(word), len(s.body))]), word) {
			s.at += len(word)
			return nil
		}
	}
	return s.broken()
}

func (s *jsonScan) array(depth int) error {
	s.at++
	s.space()
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		s.space()
		if err := s.value(depth + 1); err != nil {
			return err
		}
		more, err := s.next(']')
		if !more || err != nil {
			return err
		}
	}
}

func (s *jsonScan) object(depth int) error {
	s.at++
	s.space()
	if s.peek() == '}' {
		s.at++
		return nil
	}
	keys := keySet{fold: depth == 1}
	for {
		if err := s.key(&keys); err != nil {
			return err
		}
		if err := s.value(depth + 1); err != nil {
			return err
		}
		more, err := s.next('}')
		if !more || err != nil {
			return err
		}
	}
}

// next reads what stands after a member: a comma, or the end of the object or array.
func (s *jsonScan) next(end byte) (more bool, err error) {
	s.space()
	switch s.peek() {
	case ',':
		s.at++
		return true, nil
	case end:
		s.at++
		return false, nil
	}
	return false, s.broken()
}

// key reads a member's name and colon.
func (s *jsonScan) key(keys *keySet) error {
	s.space()
	start := s.at
	if s.peek() != '"' {
		return s.broken()
	}
	name, err := s.text()
	if err != nil {
		return err
	}
	if !keys.add(name) {
		return invalidRequest("the body has a key twice in one object, at byte %d", start)
	}
	s.space()
	if s.peek() != ':' {
		return s.broken()
	}
	s.at++
	s.space()
	return nil
}

// text reads a string and gives it decoded.
func (s *jsonScan) text() (string, error) {
	start, escaped := s.at, false
	for s.at++; s.at < len(s.body); s.at++ {
		switch c := s.body[s.at]; {
		case c == '"':
			s.at++
			return s.decoded(s.body[start:s.at], escaped)
		case c == '\\':
			escaped = true
			s.at++
		case c < 0x20:
			return "", s.broken()
		}
	}
	return "", s.broken()
}

func (s *jsonScan) decoded(quoted []byte, escaped bool) (string, error) {
	if !escaped {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return "", s.broken()
	}
	return text, nil
}

// number reads a number by the grammar of RFC 8259; its size does not matter, it is kept as written.
func (s *jsonScan) number() error {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.broken()
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.broken()
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.broken()
		}
	}
	return nil
}

func (s *jsonScan) digits() bool {
	start := s.at
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > start
}

// keySet are the keys of one object; most objects have few.
type keySet struct {
	fold bool
	few  []string
	many map[string]struct{}
}

func (k *keySet) add(key string) bool {
	if k.fold {
		key = strings.ToLower(key)
	}
	if k.many != nil {
		_, twice := k.many[key]
		k.many[key] = struct{}{}
		return !twice
	}
	for _, other := range k.few {
		if other == key {
			return false
		}
	}
	k.few = append(k.few, key)
	if len(k.few) > fewKeys {
		k.many = make(map[string]struct{}, 4*fewKeys)
		for _, other := range k.few {
			k.many[other] = struct{}{}
		}
	}
	return true
}
