package policy

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// The mistakes of others, each with a test that would have caught it (docs/security/mistakes.md).
// Those about policy names, identity endpoints and page limits are tested in server/policies.

var every = []Permission{Read, Write, Delete, List, Rotate, Admin, Issue, Generate}

// grantAll compiles one policy that gives user:alice every permission on every secret.
func grantAll(t *testing.T) *Set {
	t.Helper()
	return compile(t, Policy{
		ID: "pol_all", Active: true,
		Rules:    grantAllRules(),
		Bindings: []Binding{{IdentityType: TypeUser, IdentityID: "user:alice"}},
	})
}

func grantAllRules() []Rule { return []Rule{{Pattern: "**", Permissions: []Permission{Admin}}} }

func compile(t testing.TB, policies ...Policy) *Set {
	t.Helper()
	set, err := Compile(policies)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func alice() Subject { return Subject{Type: TypeUser, ID: "user:alice", Now: monday} }

func TestMistake01TrailingSlashPerVerb(t *testing.T) {
	set := grantAll(t)
	for _, p := range every {
		for _, path := range []string{"a/", "a/b/", "/", "/a", "a//b", ""} {
			if d := set.Decide(Request{Subject: alice(), Permission: p, Path: path}); d.Allowed {
				t.Errorf("%s on %q is allowed", p, path)
			}
		}
	}
	if !set.Decide(Request{Subject: alice(), Permission: List, Path: "a/b"}).Allowed {
		t.Error("list on a/b is denied")
	}
}

func TestMistake02OneRuleOfCase(t *testing.T) {
	set := grantAll(t)
	for _, path := range []string{"secret/EXAMPLE", "Secret/example", "a/\u212A"} {
		if set.Decide(Request{Subject: alice(), Permission: Read, Path: path}).Allowed {
			t.Errorf("%q is allowed", path)
		}
	}
	if _, err := ParsePattern("secret/Example"); err == nil {
		t.Error("a pattern in upper case is accepted")
	}
}

func TestMistake03RelativeSegmentsAreRefused(t *testing.T) {
	set := grantAll(t)
	for _, path := range []string{"a/../b", "a/./b", "..", ".", "a/..", "a/%2e%2e/b", "a/b\x00", "a%2Fb", `a\b`} {
		if set.Decide(Request{Subject: alice(), Permission: Delete, Path: path}).Allowed {
			t.Errorf("%q is allowed", path)
		}
		if _, err := ParsePattern(path); err == nil {
			t.Errorf("pattern %q is accepted", path)
		}
	}
}

// TestMistake04OneEvaluator compares with the naive evaluator on drawn scenarios; FuzzDecide goes on
// from there.
func TestMistake04OneEvaluator(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	allowed, conditions := 0, 0
	for range 30_000 {
		data := make([]byte, 120)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		s := newScenario(data)
		s.check(t)
		switch d := naiveDecide(s.naive, s.request); {
		case d.Allowed:
			allowed++
		case d.FailedCondition != "":
			conditions++
		}
	}
	if allowed < 200 || conditions < 100 {
		t.Errorf("only %d scenarios allow and %d fail by a condition: the test says little", allowed, conditions)
	}
}

func TestMistake05KeysAreNotJoined(t *testing.T) {
	set := compile(t, Policy{
		ID: "../../pol", Name: "../root", Active: true,
		Rules:    []Rule{{Pattern: "**", Permissions: []Permission{Read}}},
		Bindings: []Binding{{IdentityType: TypeGroup, IdentityID: "a"}, {IdentityType: "user", IdentityID: "group\x00a"}},
	})
	for _, sub := range []Subject{
		{Type: "groupa", ID: ""}, {Type: "", ID: "groupa"}, {Type: "group\x00a", ID: ""},
		{Type: TypeUser, ID: "a"}, {Type: TypeUser, ID: "group/a"},
	} {
		if set.Decide(Request{Subject: sub, Permission: Read, Path: "a"}).Allowed {
			t.Errorf("%+v is taken for group a", sub)
		}
	}
}

func TestMistake06SubstitutionsAreLiteral(t *testing.T) {
	set := compile(t, Policy{
		ID: "pol_ns", Active: true,
		Rules: []Rule{
			{Pattern: "env/{namespace}/db", Permissions: []Permission{Read}},
			{Pattern: "team-{namespace}*/db", Permissions: []Permission{Read}},
		},
		Bindings: []Binding{{IdentityType: TypeServiceAccount, IdentityID: "sa:a:b"}},
	})
	paths := []string{"env/a/db", "env/b/db", "env/a/b/db", "env/db", "team-a/db", "team-b/db", "team-/db", "team-.../db"}
	for _, ns := range []string{"*", "**", "?", "a*", "a/b", "../b", "{namespace}", "a,b", "a+", "", "-", "a.", "A", "a\n", "a_b"} {
		sub := Subject{Type: TypeServiceAccount, ID: "sa:a:b", Namespace: ns, Now: monday}
		for _, path := range paths {
			if set.Decide(Request{Subject: sub, Permission: Read, Path: path}).Allowed {
				t.Errorf("namespace %q reaches %q", ns, path)
			}
		}
		if got := set.Ranges(sub, Read, ClassSecrets); len(got) != 0 {
			t.Errorf("namespace %q has ranges %q", ns, got)
		}
	}
}

func TestMistake07NoNamespaceIsSpecial(t *testing.T) {
	set := compile(t, Policy{
		ID: "pol_ns", Active: true,
		Rules:    []Rule{{Pattern: "{namespace}/**", Permissions: []Permission{Read}}},
		Bindings: []Binding{{IdentityType: TypeServiceAccount, IdentityID: "sa:x"}},
	})
	for _, ns := range []string{"root", "default", "kube-system", "admin"} {
		sub := Subject{Type: TypeServiceAccount, ID: "sa:x", Namespace: ns, Now: monday}
		if !set.Decide(Request{Subject: sub, Permission: Read, Path: ns + "/a"}).Allowed {
			t.Errorf("namespace %s does not reach its own paths", ns)
		}
		if set.Decide(Request{Subject: sub, Permission: Read, Path: "billing/a"}).Allowed {
			t.Errorf("namespace %s reaches billing/a", ns)
		}
	}
}

func TestMistake08IdentitiesCompareByteForByte(t *testing.T) {
	set := compile(t, Policy{
		ID: "pol_ops", Active: true,
		Rules:    []Rule{{Pattern: "**", Permissions: []Permission{Read}}},
		Bindings: []Binding{{IdentityType: TypeUser, IdentityID: "user:root"}, {IdentityType: TypeGroup, IdentityID: "group:ops"}},
	})
	for _, sub := range []Subject{
		{Type: TypeUser, ID: "user:Root"}, {Type: TypeUser, ID: "user:root "}, {Type: "User", ID: "user:root"},
		{Type: TypeUser, ID: "x", Groups: []string{"group:Ops", "GROUP:OPS", "group:ops ", "ops"}},
	} {
		if set.Decide(Request{Subject: sub, Permission: Read, Path: "a"}).Allowed {
			t.Errorf("%+v is taken for another identity", sub)
		}
	}
}

func TestMistake11EmptyListsGrantNothing(t *testing.T) {
	var re *RuleError
	if err := Check([]Rule{{Pattern: "a", Permissions: []Permission{}}}); !errors.As(err, &re) || re.Code != CodeInvalidPolicy {
		t.Errorf("a rule without permissions: %v", err)
	}
	set := compile(t, Policy{
		ID: "pol_none", Active: true,
		Rules:    []Rule{{Pattern: "a", Permissions: []Permission{Read}, Conditions: &Conditions{IPRanges: []netip.Prefix{}}}},
		Bindings: []Binding{{IdentityType: TypeUser, IdentityID: "user:alice"}},
	}, Policy{ID: "pol_norules", Active: true, Bindings: []Binding{{IdentityType: TypeUser, IdentityID: "user:alice"}}})
	sub := alice()
	sub.IP = netip.MustParseAddr("10.0.0.1")
	if d := set.Decide(Request{Subject: sub, Permission: Read, Path: "a"}); d.Allowed || d.Reason != CodeIPNotAllowed {
		t.Errorf("empty ip_ranges: %+v", d)
	}
	if _, err := NewTimeWindow([]string{}, "08:00", "18:00", ""); err == nil {
		t.Error("a window without days is accepted")
	}
}

// A parser that went over its input again and again once stood still on a small file (CVE-2024-12401). Patterns are
// what tenants write and every request matches: the worst of them cost a moment, where going back to every star
// would take longer than anybody waits.
func TestMistake48WorstPatternsAreCheap(t *testing.T) {
	long, deepest := strings.Repeat("a", MaxLength), strings.Repeat("a/", MaxDepth-1)+"a"
	for _, c := range []struct{ pattern, path string }{
		{strings.Repeat("a*", MaxLength/2-1) + "b", long},
		{strings.Repeat("*a", MaxLength/2-1) + "b", long},
		{strings.Repeat("*?", MaxLength/2-1) + "*b", long},
		{strings.Repeat("**/*a*a*a*a*a*b/", MaxDepth-1) + "b", deepest},
		{strings.Repeat("**/a/", MaxDepth-1) + "b", deepest},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 100 {
			if p.Match(c.path, "") {
				t.Fatalf("%.40s covers %.40s", c.pattern, c.path)
			}
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%.40s: 100 looks took %s", c.pattern, took)
		}
	}
}
