package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWithAndWithout(t *testing.T) {
	first := Policy{ID: "pol_1", Active: true, Rules: []Rule{readRule("a", nil)}, Bindings: userBinding(time.Time{})}
	set := compile(t, first)
	allowed := func(s *Set, path string) bool {
		return s.Decide(Request{Subject: alice(), Permission: Read, Path: path}).Allowed
	}
	wider := first
	wider.Rules = []Rule{readRule("b", nil)}
	second, err := set.With(wider)
	if err != nil {
		t.Fatal(err)
	}
	if !allowed(set, "a") || allowed(set, "b") || allowed(second, "a") || !allowed(second, "b") {
		t.Error("a replaced policy still holds, or the old set changed")
	}
	if got, ok := second.Policy("pol_1"); !ok || got.Rules[0].Pattern != "b" {
		t.Errorf("Policy = %+v, %v", got, ok)
	}
	third := second.Without("pol_1")
	if allowed(third, "b") || len(third.subjects) != 0 {
		t.Error("a removed policy still holds")
	}
	if _, ok := third.Policy("pol_1"); ok {
		t.Error("a removed policy is still there")
	}
	if _, err := set.With(Policy{ID: "pol_2", Rules: []Rule{readRule("/", nil)}}); err == nil {
		t.Error("With takes a bad pattern")
	}
}

func TestParsePath(t *testing.T) {
	for in, want := range map[string][2]string{
		"a/b": {"", "a/b"}, "pki:svc-a.b": {"pki", "svc-a.b"}, "dynamic:pg/readonly": {"dynamic", "pg/readonly"}, "partner:a": {"partner", "a"},
	} {
		class, path, err := ParsePath(in)
		if diff := cmp.Diff(want, [2]string{string(class), path}); err != nil || diff != "" {
			t.Errorf("%s: %v %s", in, err, diff)
		}
	}
	for _, in := range []string{"", "/a", "a/", "a//b", "A", "a.b", "partner:a.b", ":a", "x:a", "a:b", "pki:a:b", "pki:..", "a/*", "a b"} {
		if _, _, err := ParsePath(in); err == nil {
			t.Errorf("%q is taken for a path", in)
		}
	}
}

func TestClassPermissions(t *testing.T) {
	got := fmt.Sprint(ClassSecrets.Permissions(), ClassPartner.Permissions(), ClassPKI.Permissions(), ClassDynamic.Permissions(), Class("x").Permissions())
	want := "[read write delete list rotate admin] [read write delete list rotate admin] [issue admin] [generate admin] []"
	if got != want {
		t.Errorf("got %s", got)
	}
}
