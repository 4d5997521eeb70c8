package secrets

import (
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/server/fault"
)

// Limits of a path (contract section 3.2).
const (
	maxPathLength = 512
	maxPathDepth  = 10
)

// Path is the parsed path of a secret. The zero Path names nothing.
type Path struct{ text string }

// String returns the path as it was written.
func (p Path) String() string { return p.text }

// ParsePath accepts a path as it stands or refuses it as invalid_path with details.reason; it never cleans.
// Paths are 1 to 10 segments of a-z, 0-9, - and _, joined by /, of at most 512 characters (contract section 3.2).
func ParsePath(s string) (Path, error) {
	if err := checkPath(s); err != nil {
		return Path{}, err
	}
	return Path{text: s}, nil
}

// ParseWritablePath is ParsePath for a path that is about to be written: its last segment must not be
// `metadata` or `versions`, which name parts of another secret in a URL (contract OC-4).
func ParseWritablePath(s string) (Path, error) {
	p, err := ParsePath(s)
	if err != nil {
		return Path{}, err
	}
	return p, p.checkWritable()
}

func (p Path) checkWritable() error {
	switch last := p.text[strings.LastIndexByte(p.text, '/')+1:]; last {
	case "metadata", "versions":
		return badPath(p.text, "reserved_segment", fmt.Sprintf("the last segment of a secret's path must not be %q", last))
	case "":
		return badPath(p.text, "empty", "the path is empty")
	}
	return nil
}

func checkPath(s string) error {
	switch {
	case s == "":
		return badPath(s, "empty", "the path is empty")
	case len(s) > maxPathLength:
		return badPath(s, "too_long", fmt.Sprintf("a path has at most %d characters", maxPathLength))
	case s[0] == '/':
		return badPath(s, "leading_slash", "a path must not begin with /")
	case s[len(s)-1] == '/':
		return badPath(s, "trailing_slash", "a path must not end with /")
	case strings.Contains(s, "//"):
		return badPath(s, "empty_segment", "a path must not have an empty segment")
	case strings.Count(s, "/") >= maxPathDepth:
		return badPath(s, "too_deep", fmt.Sprintf("a path has at most %d segments", maxPathDepth))
	}
	for i := range len(s) {
		if !legal(s[i]) {
			return badPath(s, "character", fmt.Sprintf("the character %q at position %d is not one of a-z 0-9 - _ /", s[i], i))
		}
	}
	return nil
}

func legal(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '/'
}

func badPath(s, reason, rule string) error {
	return fault.Invalid(fault.CodeInvalidPath, "path %.64q: %s", s, rule).With("reason", reason)
}

// checkPrefix accepts what some path may begin with, and the empty prefix.
func checkPrefix(s string) error {
	if s == "" {
		return nil
	}
	return checkPath(strings.TrimSuffix(s, "/"))
}
