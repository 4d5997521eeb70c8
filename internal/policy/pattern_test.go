package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, namespace string
		yes, no            []string
	}{
		{pattern: "app/db", yes: []string{"app/db"}, no: []string{"app/db/password", "app", "app/dbx"}},
		{pattern: "app/db/*", yes: []string{"app/db/a"}, no: []string{"app/db", "app/db/a/b"}},
		{pattern: "app/**", yes: []string{"app", "app/db", "app/db/a/b"}, no: []string{"other/app/db", "app-x", "application"}},
		{pattern: "**/ssl/*", yes: []string{"app/ssl/cert", "a/b/ssl/cert"}, no: []string{"ssl/cert", "app/ssl", "app/ssl/a/b"}},
		{pattern: "**", yes: []string{"a", "a/b/c/d/e/f/g/h/i/j"}, no: []string{"", "a/b/c/d/e/f/g/h/i/j/k"}},
		{pattern: "**/**", yes: []string{"a", "a/b"}},
		{pattern: "a/**/z", yes: []string{"a/z", "a/b/z", "a/z/z", "a/b/c/z"}, no: []string{"a", "z", "a/z/b"}},
		{pattern: "a/**/b/**/c", yes: []string{"a/b/c", "a/x/b/b/y/c"}, no: []string{"a/c/b"}},
		{pattern: "secrets/*.key", yes: []string{"secrets/tls.key", "secrets/.key"}, no: []string{"secrets/a/b.key", "secrets/key"}},
		{pattern: "a?c", yes: []string{"abc"}, no: []string{"ac", "a/c", "abbc"}},
		{pattern: "*a*b", yes: []string{"ab", "xaxb", "abab"}, no: []string{"ba", "a", "abx"}},
		{pattern: "**/x", yes: []string{"a/x", "x/x"}, no: []string{"x"}},
		{
			pattern: "env/{namespace}/**", namespace: "billing",
			yes: []string{"env/billing", "env/billing/db"}, no: []string{"env/other/db", "env/billing-x/db"},
		},
		{pattern: "team-{namespace}-?", namespace: "a", yes: []string{"team-a-1"}, no: []string{"team-b-1", "team-a-"}},
		{pattern: "{namespace}", no: []string{"a", "{namespace}"}},
		{pattern: "pki:svc-*", yes: []string{"svc-mtls"}, no: []string{"pki:svc-mtls"}},
	} {
		p, err := ParsePattern(tc.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range tc.yes {
			if !p.Match(path, tc.namespace) {
				t.Errorf("%s does not cover %q", tc.pattern, path)
			}
		}
		for _, path := range tc.no {
			if p.Match(path, tc.namespace) {
				t.Errorf("%s covers %q", tc.pattern, path)
			}
		}
	}
	if (Pattern{}).Match("a", "") {
		t.Error("the zero pattern covers a path")
	}
}

func TestParsePatternErrors(t *testing.T) {
	long := strings.Repeat("a", MaxLength+1)
	deepest := strings.Repeat("a/", MaxDepth) + "a"
	for _, tc := range []struct {
		pattern  string
		position int
		rule     string
	}{
		{"", 0, "empty"},
		{"pki:", 4, "empty"},
		{"/a", 0, "begin with /"},
		{"pki:/a", 4, "begin with /"},
		{"a/", 1, "end with /"},
		{"a//b", 2, "segment must not be empty"},
		{"a/../b", 2, "not allowed"},
		{"a/b**", 3, "** must stand alone"},
		{"a/***", 2, "** must stand alone"},
		{"a/Bc", 2, "upper case"},
		{"a b", 1, `' '`},
		{"a/{tenant}", 2, "{namespace}"},
		{"a/}", 2, `'}'`},
		{"x:a", 0, "class"},
		{"pki:a:b", 5, `':'`},
		{"a/[b]", 2, `'['`},
		{long, MaxLength, "at most 512"},
		{deepest, 2 * MaxDepth, "at most 10 segments"},
		{strings.Repeat("**/", 20) + "a", 60, "at most 10 segments"},
	} {
		t.Run(fmt.Sprintf("%.20s", tc.pattern), func(t *testing.T) {
			_, err := ParsePattern(tc.pattern)
			var pe *PatternError
			if !errors.As(err, &pe) {
				t.Fatalf("got %v", err)
			}
			if pe.Position != tc.position || !strings.Contains(pe.Rule, tc.rule) || pe.Code != CodeInvalidGlob {
				t.Errorf("got %+v", pe)
			}
			if !strings.Contains(err.Error(), fmt.Sprintf("position %d: ", tc.position)) {
				t.Errorf("message %q does not name the position", err)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	for _, tc := range []struct {
		patterns  []string
		namespace string
		want      []Range
	}{
		{nil, "", nil},
		{[]string{"app/db"}, "", []Range{{"app/db", "app/db\x00"}}},
		{[]string{"app/**"}, "", []Range{{"app", "app\x00"}, {"app/", "app0"}}},
		{[]string{"app/*"}, "", []Range{{"app/", "app0"}}},
		{[]string{"app/db*/x"}, "", []Range{{"app/db", "app/dc"}}},
		{[]string{"app/**/x"}, "", []Range{{"app/", "app0"}}},
		{[]string{"**"}, "", []Range{{}}},
		{[]string{"a", "*", "z/**"}, "", []Range{{}}},
		{[]string{"b/*", "a/*", "b/c"}, "", []Range{{"a/", "a0"}, {"b/", "b0"}}},
		{[]string{"a/b*", "a/*"}, "", []Range{{"a/", "a0"}}},
		{[]string{"a?", "a"}, "", []Range{{"a", "b"}}},
		{[]string{"env/{namespace}/*"}, "ns", []Range{{"env/ns/", "env/ns0"}}},
		{[]string{"x-{namespace}"}, "ns", []Range{{"x-ns", "x-ns\x00"}}},
		{[]string{"x-{namespace}/a", "{namespace}"}, "", nil},
		{[]string{"pki:a"}, "", nil},
	} {
		p := Policy{ID: "pol", Active: true, Bindings: []Binding{{IdentityType: TypeUser, IdentityID: "user:alice"}}}
		for _, pattern := range tc.patterns {
			p.Rules = append(p.Rules, Rule{Pattern: pattern, Permissions: []Permission{Admin}})
		}
		sub := alice()
		sub.Namespace = tc.namespace
		if diff := cmp.Diff(tc.want, compile(t, p).Ranges(sub, List, ClassSecrets)); diff != "" {
			t.Errorf("%v: %s", tc.patterns, diff)
		}
	}
}
