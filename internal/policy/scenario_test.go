package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// scenario draws policies and a request from bytes, with so few words that rules often match.
type scenario struct {
	data     []byte
	policies []Policy
	naive    []naivePolicy
	request  Request
}

var classes = []Class{"", "", "", "", "", "", "", "", "", ClassPKI, ClassDynamic, ClassPartner}

// monday is 12:00 on a Monday.
var monday = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

func (s *scenario) next(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := int(s.data[0])
	s.data = s.data[1:]
	return b % n
}

func pick[T any](s *scenario, from ...T) T { return from[s.next(len(from))] }

func newScenario(data []byte) *scenario {
	s := &scenario{data: data}
	s.request = s.drawRequest()
	for i := range 1 + s.next(3) {
		s.drawPolicy(fmt.Sprintf("pol_%d", i))
	}
	return s
}

func (s *scenario) drawRequest() Request {
	return Request{
		Permission: s.permission(),
		Class:      pick(s, classes...),
		Path:       s.path(),
		Subject: Subject{
			Type: TypeUser, ID: pick(s, "user:a", "user:b"),
			Groups:    pick(s, nil, []string{"group:g"}, []string{"group:h", "group:g"}),
			Namespace: pick(s, "a", "b", "", "*", "a/b", "ab", "-a"),
			IP:        pick(s, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.168.0.1"), netip.Addr{}),
			MFA:       pick(s, true, false),
			Now:       s.now(),
		},
	}
}

func (s *scenario) now() time.Time {
	if s.next(16) == 1 {
		return time.Time{}
	}
	return monday.Add(time.Duration(s.next(7*24*4)) * 15 * time.Minute)
}

func (s *scenario) permission() Permission {
	return pick(s, Read, Read, Read, Read, List, List, Write, Delete, Rotate, Admin, Issue, Generate, "own")
}

func (s *scenario) path() string {
	words := make([]string, 1+s.next(4))
	for i := range words {
		words[i] = pick(s, "a", "b", "a", "b", "ab", "ab", "ba", "aab", "x-a", "a.key")
	}
	path := strings.Join(words, "/")
	if s.next(16) == 1 {
		return path + pick(s, "/", "//a", "/..", "/A", "%2f")
	}
	return path
}

func (s *scenario) pattern(class Class) string {
	words := make([]string, 1+s.next(4))
	for i := range words {
		words[i] = pick(s, "a", "b", "ab", "*", "*", "**", "**", "?", "a*", "*b", "??", "*a*", "{namespace}", "x-{namespace}", "{namespace}*", "*.key")
	}
	glob := strings.Join(words, "/")
	if class != ClassSecrets {
		return string(class) + ":" + glob
	}
	return glob
}

func (s *scenario) drawPolicy(id string) {
	p := Policy{ID: id, Active: s.next(5) != 1}
	n := naivePolicy{id: id, active: p.Active}
	for range s.next(4) {
		b := Binding{
			IdentityType: pick(s, TypeUser, TypeUser, TypeGroup), IdentityID: pick(s, "user:a", "user:a", "user:b", "group:g"),
			ExpiresAt: pick(s, time.Time{}, monday, monday.Add(72*time.Hour)),
		}
		p.Bindings = append(p.Bindings, b)
	}
	n.bindings = p.Bindings
	for range 1 + s.next(4) {
		r, nr := s.drawRule()
		p.Rules, n.rules = append(p.Rules, r), append(n.rules, nr)
	}
	s.policies, s.naive = append(s.policies, p), append(s.naive, n)
}

func (s *scenario) drawRule() (Rule, naiveRule) {
	class := pick(s, classes...)
	permissions := []Permission{pick(s, Read, Write, List, Admin, Admin)}
	switch class {
	case ClassPKI:
		permissions = []Permission{pick(s, Issue, Admin)}
	case ClassDynamic:
		permissions = []Permission{pick(s, Generate, Admin)}
	}
	n := naiveRule{pattern: s.pattern(class), permissions: permissions}
	c := &Conditions{}
	if s.next(4) == 1 {
		c.IPRanges = pick(s, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, []netip.Prefix{})
		n.ranges = c.IPRanges
	}
	if s.next(4) == 1 {
		c.RequireMFA, n.mfa = true, true
	}
	if s.next(4) == 1 {
		c.TimeWindow, n.window = s.window()
	}
	return Rule{Pattern: n.pattern, Permissions: permissions, Conditions: c}, n
}

func (s *scenario) window() (*TimeWindow, *naiveWindow) {
	day := s.next(7)
	start, length := s.next(24), 1+s.next(23)
	end := (start + length) % 24
	w, err := NewTimeWindow([]string{strings.ToLower(time.Weekday(day).String()[:3])}, fmt.Sprintf("%02d:00", start), fmt.Sprintf("%02d:00", end), "")
	if err != nil {
		panic(err)
	}
	return w, &naiveWindow{
		days:  []time.Weekday{time.Weekday(day)},
		start: time.Duration(start) * time.Hour, end: time.Duration(end) * time.Hour,
	}
}

// check compares the evaluator with the naive one, and all other questions with the decision.
func (s *scenario) check(t *testing.T) {
	t.Helper()
	set := s.compile(t)
	q := s.request
	got, want := set.Decide(q), naiveDecide(s.naive, q)
	if got.Allowed != want.Allowed || got.Reason != want.Reason || got.FailedCondition != want.FailedCondition {
		t.Fatalf("Decide = %+v, naive = %+v\nrequest %+v\npolicies %+v", got, want, q, s.policies)
	}
	if got.Allowed {
		s.checkAllowed(t, set, got)
	}
	explained := set.Explain(q)
	if explained.Allowed != got.Allowed || explained.Reason != got.Reason || explained.PolicyID != got.PolicyID || explained.Rule != got.Rule {
		t.Fatalf("Explain = %+v, Decide = %+v", explained, got)
	}
	if !got.Allowed && got.Reason != CodeAccessDenied && explained.Nearest.Why != WhyCondition {
		t.Fatalf("Explain names %+v, though only a condition failed", explained.Nearest)
	}
}

// compile comes to the set in one step or by way of sets that hold the policies only in part and
// have decided already.
func (s *scenario) compile(t *testing.T) *Set {
	t.Helper()
	if s.next(2) == 0 {
		return compile(t, s.policies...)
	}
	set := compile(t, Policy{ID: "pol_9", Active: true, Rules: grantAllRules(), Bindings: userBinding(time.Time{})})
	for i, p := range s.policies {
		early := p
		early.Rules, early.Bindings = grantAllRules(), append(userBinding(monday), p.Bindings...)
		for _, step := range []Policy{early, p} {
			var err error
			if set, err = set.With(step); err != nil {
				t.Fatal(err)
			}
			set.Explain(s.request)
			set.Ranges(s.request.Subject, s.request.Permission, s.request.Class)
		}
		if i == 0 {
			set = set.Without("pol_9").Without("pol_8")
		}
	}
	return set
}

func (s *scenario) checkAllowed(t *testing.T, set *Set, got Decision) {
	t.Helper()
	q := s.request
	for _, p := range s.naive {
		if p.id != got.PolicyID {
			continue
		}
		alone := p
		alone.rules = p.rules[got.Rule : got.Rule+1]
		if !naiveDecide([]naivePolicy{alone}, q).Allowed {
			t.Fatalf("Decide names %s rule %d, which does not allow %+v", got.PolicyID, got.Rule, q)
		}
	}
	if !inRanges(set.Ranges(q.Subject, q.Permission, q.Class), q.Path) {
		t.Fatalf("%q is allowed and in none of %q", q.Path, set.Ranges(q.Subject, q.Permission, q.Class))
	}
	for _, g := range set.WhoCan(q.Permission, q.Class, q.Path, q.Subject.Now) {
		if g.PolicyID == got.PolicyID && g.Rule == got.Rule {
			return
		}
	}
	t.Fatalf("WhoCan does not list %s rule %d for %+v", got.PolicyID, got.Rule, q)
}

// inRanges also reports false when the ranges are not sorted and disjoint.
func inRanges(ranges []Range, path string) bool {
	inside := false
	for i, r := range ranges {
		if i > 0 && (ranges[i-1].To == "" || ranges[i-1].To >= r.From) {
			return false
		}
		inside = inside || r.From <= path && (r.To == "" || path < r.To)
	}
	return inside
}
