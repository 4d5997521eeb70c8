package policy

import "strings"

// pathSegments holds the segments of a path without an allocation.
type pathSegments struct {
	n  int
	at [MaxDepth]string
}

func (s *pathSegments) slice() []string { return s.at[:s.n] }

// splitPath cuts a path. A path that no secret can have (empty, . and .. segments, characters other
// than those of a pattern, too long or too deep) is refused and never cleaned, so that no wildcard
// covers it.
func splitPath(path string) (s pathSegments, ok bool) {
	if path == "" || len(path) > MaxLength {
		return s, false
	}
	start := 0
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			if !legal(path[i]) {
				return s, false
			}
			continue
		}
		text := path[start:i]
		if text == "" || text == "." || text == ".." || s.n == MaxDepth {
			return s, false
		}
		s.at[s.n] = text
		s.n++
		start = i + 1
	}
	return s, true
}

// literalNamespace returns the namespace if it is a DNS label and else "", which {namespace} never
// matches: what a token claims must not bring a metacharacter or a / into a comparison.
func literalNamespace(name string) string {
	if name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return ""
	}
	for i := range len(name) {
		if c := name[i]; !legal(c) || c == '_' || c == '.' {
			return ""
		}
	}
	return name
}

// matchSegments matches all of path. It goes back to the last ** only: with the earliest match of
// what stands before it, no later one can do better.
func matchSegments(pattern []segment, path []string, ns string) bool {
	p, t, back, from := 0, 0, -1, 0
	for t < len(path) {
		switch {
		case p < len(pattern) && pattern[p].kind == deep:
			back, from = p, t
			p++
		case p < len(pattern) && pattern[p].matches(path[t], ns):
			p++
			t++
		case back >= 0:
			from++
			p, t = back+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p].kind == deep {
		p++
	}
	return p == len(pattern)
}

// matches compares one segment that is not **.
func (s segment) matches(text, ns string) bool {
	switch s.kind {
	case literal:
		return s.text == text
	case star:
		return true
	case namespace:
		return ns != "" && ns == text
	case glob:
		return matchParts(s.parts, text, ns)
	default:
		return false
	}
}

func matchParts(parts []part, text, ns string) bool {
	p, t, back, from := 0, 0, -1, 0
	for t < len(text) {
		if p < len(parts) && parts[p].kind == star {
			back, from = p, t
			p++
			continue
		}
		if p < len(parts) {
			if width := parts[p].width(text[t:], ns); width > 0 {
				p++
				t += width
				continue
			}
		}
		if back < 0 {
			return false
		}
		from++
		p, t = back+1, from
	}
	for p < len(parts) && parts[p].kind == star {
		p++
	}
	return p == len(parts)
}

// width says how many bytes of text the part takes; 0: it does not match. A star is not asked.
func (p part) width(text, ns string) int {
	switch p.kind {
	case one:
		return 1
	case literal:
		if strings.HasPrefix(text, p.text) {
			return len(p.text)
		}
	case namespace:
		if strings.HasPrefix(text, ns) {
			return len(ns)
		}
	}
	return 0
}
