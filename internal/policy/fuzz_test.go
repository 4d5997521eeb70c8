package policy

import (
	"errors"
	"strings"
	"testing"
)

func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("allow a/b to user:a through pol_0"))
	f.Fuzz(func(t *testing.T, data []byte) { newScenario(data).check(t) })
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range [][3]string{
		{"app/db", "app/db", ""},
		{"**/ssl/*", "ssl/cert", ""},
		{"pki:svc-?", "svc-a", ""},
		{"environments/*/{namespace}/**", "environments/production/billing", "billing"},
		{"secrets/*.key", "secrets/a.key", ""},
		{"a/**/**/*a*b", "a/b/aab", ""},
		{"/a", "/a", ""},
		{"a/../b", "a/b", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, text, path, ns string) {
		if strings.Count(text, "*") > 8 || len(path) > 80 {
			return // the naive matcher is exponential
		}
		p, err := ParsePattern(text)
		if (err == nil) != naiveValid(text) {
			t.Fatalf("ParsePattern(%q) = %v, naive says valid: %v", text, err, naiveValid(text))
		}
		if err != nil {
			checkPatternError(t, text, err)
			return
		}
		if p.String() != text || p.Class() != naiveClass(text) {
			t.Fatalf("ParsePattern(%q) = %q of class %q", text, p, p.Class())
		}
		if got, want := p.Match(path, ns), naiveMatch(text, path, ns); got != want {
			t.Fatalf("%q.Match(%q, %q) = %v, naive %v", text, path, ns, got, want)
		}
		if p.Match(path, ns) && !inRanges(merge(p.ranges(literalNamespace(ns))), path) {
			t.Fatalf("%q covers %q, its ranges %q do not", text, path, p.ranges(literalNamespace(ns)))
		}
	})
}

func checkPatternError(t *testing.T, text string, err error) {
	t.Helper()
	var pe *PatternError
	if !errors.As(err, &pe) {
		t.Fatalf("ParsePattern(%q): %T is no *PatternError", text, err)
	}
	if pe.Code != CodeInvalidGlob || pe.Rule == "" || pe.Position < 0 || pe.Position > len(text) {
		t.Fatalf("ParsePattern(%q) = %+v", text, pe)
	}
}
