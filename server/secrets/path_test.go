package secrets

import (
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server/fault"
)

func TestParsePath(t *testing.T) {
	deep := strings.TrimSuffix(strings.Repeat("a/", 10), "/")
	long := strings.Repeat("a", 512)
	for _, good := range []string{"a", "app/db", "environments/production/billing/database", "a-b_c/0", deep, long, "metadata/x", "app/versions2", "-"} {
		p, err := ParseWritablePath(good)
		if err != nil || p.String() != good {
			t.Errorf("%.40q: %v", good, err)
		}
	}
	tests := map[string]string{ // path: details.reason
		"":                 "empty",
		long + "a":         "too_long",
		deep + "/a":        "too_deep",
		"/a":               "leading_slash",
		"/":                "leading_slash",
		"a/":               "trailing_slash",
		"a//b":             "empty_segment",
		"a/B":              "character",
		"a b":              "character",
		"a.b":              "character",
		"a%2fb":            "character",
		"a\x00b":           "character",
		"a\\b":             "character",
		"é":                "character",
		"a/b\n":            "character",
		"app/*":            "character",
		"pki:role":         "character",
		"ａ":                "character",
		"a/{namespace}/db": "character",
	}
	for path, reason := range tests {
		if _, err := ParsePath(path); !fault.Is(err, fault.CodeInvalidPath) || fault.From(err).Details["reason"] != reason {
			t.Errorf("%.40q: %v, details %v, want reason %s", path, err, fault.From(err), reason)
		}
	}
}

// TestMistake03DotSegmentsAreRefused: dot segments got past policy (CVE-2026-3605); paths are never cleaned.
func TestMistake03DotSegmentsAreRefused(t *testing.T) {
	for _, path := range []string{".", "..", "a/../b", "a/./b", "../a", "a/..", "%2e%2e/b", "a/%2e%2e/b", "a/..%2fb"} {
		if p, err := ParsePath(path); !fault.Is(err, fault.CodeInvalidPath) {
			t.Errorf("%q was accepted as %q", path, p)
		}
	}
}

func TestReservedLastSegmentCannotBeWritten(t *testing.T) {
	for _, path := range []string{"metadata", "versions", "app/metadata", "app/versions"} {
		if _, err := ParsePath(path); err != nil {
			t.Errorf("%q cannot be read: %v", path, err)
		}
		_, err := ParseWritablePath(path)
		if !fault.Is(err, fault.CodeInvalidPath) || fault.From(err).Details["reason"] != "reserved_segment" {
			t.Errorf("%q: %v, want reserved_segment", path, err)
		}
	}
	if _, err := ParseWritablePath("a//metadata"); fault.From(err).Details["reason"] != "empty_segment" {
		t.Errorf("malformed and reserved: %v", err)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"a", "app/db", "a//b", "/a", "a/", "A", "a/../b", "metadata", strings.Repeat("a/", 11), "\x00", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			if !fault.Is(err, fault.CodeInvalidPath) || fault.From(err).Details["reason"] == nil {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		segments := strings.Split(s, "/")
		if p.String() != s || len(segments) > maxPathDepth || len(s) > maxPathLength {
			t.Fatalf("%q was accepted as %q", s, p)
		}
		for _, segment := range segments {
			if segment == "" || strings.Trim(segment, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
				t.Fatalf("%q has segment %q", s, segment)
			}
		}
	})
}
