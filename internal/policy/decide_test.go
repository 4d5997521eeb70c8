package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func userBinding(expires time.Time) []Binding {
	return []Binding{{ID: "bind_1", IdentityType: TypeUser, IdentityID: "user:alice", ExpiresAt: expires}}
}

func readRule(pattern string, c *Conditions) Rule {
	return Rule{Pattern: pattern, Permissions: []Permission{Read}, Conditions: c}
}

func TestExplain(t *testing.T) {
	tenEight := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	night, err := NewTimeWindow(nil, "22:00", "06:00", "")
	if err != nil {
		t.Fatal(err)
	}
	active := func(rules ...Rule) Policy {
		return Policy{ID: "pol_1", Active: true, Rules: rules, Bindings: userBinding(time.Time{})}
	}
	ended := Policy{ID: "pol_1", Active: true, Rules: []Rule{readRule("a/*", nil)}, Bindings: userBinding(monday)}
	inactive := Policy{ID: "pol_1", Rules: []Rule{readRule("a/*", nil)}, Bindings: userBinding(time.Time{})}
	evaluated := []string{"pol_1"}
	near := func(rule int, pattern, why string) *Near {
		return &Near{PolicyID: "pol_1", Rule: rule, Pattern: pattern, Why: why}
	}
	for _, tc := range []struct {
		name   string
		policy Policy
		change func(*Request)
		want   Decision
	}{
		{
			name: "allowed by the second rule", policy: active(readRule("b/*", nil), readRule("a/*", nil)),
			want: Decision{Allowed: true, PolicyID: "pol_1", Rule: 1, Evaluated: evaluated},
		},
		{
			name: "address", policy: active(readRule("a/*", &Conditions{IPRanges: tenEight})),
			want: Decision{
				Rule: -1, Reason: CodeIPNotAllowed, FailedCondition: "ip_ranges", Evaluated: evaluated,
				Nearest: near(0, "a/*", WhyCondition),
			},
		},
		{
			name: "mapped address", policy: active(readRule("a/*", &Conditions{IPRanges: tenEight})),
			change: func(q *Request) { q.Subject.IP = netip.MustParseAddr("::ffff:10.9.9.9") },
			want:   Decision{Allowed: true, PolicyID: "pol_1", Evaluated: evaluated},
		},
		{
			name: "second factor", policy: active(readRule("a/*", &Conditions{RequireMFA: true})),
			want: Decision{
				Rule: -1, Reason: CodeMFARequired, FailedCondition: "require_mfa", Evaluated: evaluated,
				Nearest: near(0, "a/*", WhyCondition),
			},
		},
		{
			name: "time and second factor", policy: active(readRule("a/*", &Conditions{RequireMFA: true, TimeWindow: night})),
			want: Decision{
				Rule: -1, Reason: CodeTimeWindow, FailedCondition: "time_window", Evaluated: evaluated,
				Nearest: near(0, "a/*", WhyCondition),
			},
		},
		{
			name: "one of two rules", policy: active(readRule("a/*", &Conditions{RequireMFA: true}), readRule("**", nil)),
			want: Decision{Allowed: true, PolicyID: "pol_1", Rule: 1, Evaluated: evaluated},
		},
		{
			name: "permission", policy: active(readRule("a/*", nil)), change: func(q *Request) { q.Permission = Write },
			want: Decision{Rule: -1, Reason: CodeAccessDenied, Evaluated: evaluated, Nearest: near(0, "a/*", WhyPermission)},
		},
		{
			name: "path", policy: active(readRule("z/*", nil), readRule("a/c", nil)),
			want: Decision{Rule: -1, Reason: CodeAccessDenied, Evaluated: evaluated, Nearest: near(1, "a/c", WhyPath)},
		},
		{
			name: "nothing near", policy: active(readRule("z/*", nil)),
			want: Decision{Rule: -1, Reason: CodeAccessDenied, Evaluated: evaluated},
		},
		{
			name: "binding has ended", policy: ended,
			want: Decision{Rule: -1, Reason: CodeAccessDenied, Nearest: near(0, "a/*", WhyExpired)},
		},
		{
			name: "policy is inactive", policy: inactive,
			want: Decision{Rule: -1, Reason: CodeAccessDenied, Nearest: near(0, "a/*", WhyInactive)},
		},
		{
			name: "no binding", policy: active(readRule("**", nil)), change: func(q *Request) { q.Subject.ID = "user:bob" },
			want: Decision{Rule: -1, Reason: CodeAccessDenied},
		},
		{
			name: "class", policy: active(readRule("**", nil)), change: func(q *Request) { q.Class = ClassPartner },
			want: Decision{Rule: -1, Reason: CodeAccessDenied, Evaluated: evaluated},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := Request{Subject: alice(), Permission: Read, Path: "a/b"}
			if tc.change != nil {
				tc.change(&q)
			}
			if diff := cmp.Diff(tc.want, compile(t, tc.policy).Explain(q)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBindingsEndAndGroups(t *testing.T) {
	set := compile(t, Policy{
		ID: "pol_1", Active: true, Rules: []Rule{readRule("a", nil)},
		Bindings: []Binding{
			{IdentityType: TypeUser, IdentityID: "user:alice", ExpiresAt: monday.Add(-time.Hour)},
			{IdentityType: TypeUser, IdentityID: "user:alice", ExpiresAt: monday.Add(time.Hour)},
			{IdentityType: TypeGroup, IdentityID: "group:ops"},
		},
	})
	read := func(sub Subject) bool { return set.Decide(Request{Subject: sub, Permission: Read, Path: "a"}).Allowed }
	later := alice()
	later.Now = monday.Add(time.Hour)
	if !read(alice()) || read(later) {
		t.Error("a binding ends before or after its time")
	}
	timeless := alice()
	timeless.Now = time.Time{}
	if read(timeless) {
		t.Error("a binding that ends holds at an unknown time")
	}
	later.Groups = []string{"group:dev", "group:ops"}
	if !read(later) || set.Explain(Request{Subject: later, Permission: Read, Path: "a"}).Evaluated == nil {
		t.Error("the group's binding does not hold")
	}
}

func TestTimeWindow(t *testing.T) {
	for _, tc := range []struct {
		name             string
		days             []string
		start, end, zone string
		at               string
		want             bool
	}{
		{"inside", []string{"mon"}, "08:00", "18:00", "", "2026-03-02T08:00:00Z", true},
		{"end is exclusive", []string{"mon"}, "08:00", "18:00", "", "2026-03-02T18:00:00Z", false},
		{"other day", []string{"mon"}, "08:00", "18:00", "", "2026-03-03T09:00:00Z", false},
		{"zone", []string{"mon"}, "08:00", "18:00", "Europe/Amsterdam", "2026-03-02T07:00:00Z", true},
		{"summer time", []string{"mon"}, "08:00", "18:00", "Europe/Amsterdam", "2026-07-06T16:00:00Z", false},
		{"zone moves the day", []string{"tue"}, "00:00", "24:00", "Asia/Tokyo", "2026-03-02T15:00:00Z", true},
		{"over midnight, evening", []string{"fri"}, "22:00", "06:00", "", "2026-03-06T23:00:00Z", true},
		{"over midnight, morning after", []string{"fri"}, "22:00", "06:00", "", "2026-03-07T05:59:00Z", true},
		{"over midnight, morning of the day", []string{"fri"}, "22:00", "06:00", "", "2026-03-06T05:00:00Z", false},
		{"over midnight, week's end", []string{"sat"}, "22:00", "06:00", "", "2026-03-08T01:00:00Z", true},
		{"every day", nil, "00:00", "24:00", "", "2026-03-08T23:59:59Z", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, err := NewTimeWindow(tc.days, tc.start, tc.end, tc.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, tc.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := w.Contains(at); got != tc.want {
				t.Errorf("Contains(%s) = %v", tc.at, got)
			}
			if w.Contains(time.Time{}) {
				t.Error("the unknown time is in the window")
			}
		})
	}
}

func TestTimeWindowErrors(t *testing.T) {
	for _, tc := range []struct {
		days             []string
		start, end, zone string
		want             string
	}{
		{[]string{"monday"}, "08:00", "18:00", "", "days:"},
		{nil, "8:00", "18:00", "", "start:"},
		{nil, "24:00", "18:00", "", "start:"},
		{nil, "08:60", "18:00", "", "start:"},
		{nil, "08:00", "24:01", "", "end:"},
		{nil, "08:00", "+8:00", "", "end:"},
		{nil, "08:00", "08:00", "", "end:"},
		{nil, "08:00", "18:00", "Local", "timezone:"},
		{nil, "08:00", "18:00", "../../etc/passwd", "timezone:"},
		{nil, "08:00", "18:00", "Mars/Olympus", "timezone:"},
	} {
		_, err := NewTimeWindow(tc.days, tc.start, tc.end, tc.zone)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

func TestParseIPRange(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.2.3/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "2001:db8::/32": "2001:db8::/32", "::1": "::1/128",
	} {
		if got, err := ParseIPRange(in); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "10.0.0.0/33", "10.0.0", "::ffff:10.0.0.0/104", "fe80::1%eth0", "example.com"} {
		if got, err := ParseIPRange(in); err == nil {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, tc := range []struct {
		rule        Rule
		code, field string
	}{
		{Rule{Pattern: "/a", Permissions: []Permission{Read}}, CodeInvalidGlob, "path_pattern"},
		{Rule{Pattern: "a"}, CodeInvalidPolicy, "permissions"},
		{Rule{Pattern: "a", Permissions: []Permission{Read, "own"}}, CodeInvalidPolicy, "permissions[1]"},
		{Rule{Pattern: "a", Permissions: []Permission{Issue}}, CodeInvalidPolicy, "permissions[0]"},
		{Rule{Pattern: "pki:a", Permissions: []Permission{Issue, Admin, Rotate}}, CodeInvalidPolicy, "permissions[2]"},
		{Rule{Pattern: "dynamic:a/b", Permissions: []Permission{Read}}, CodeInvalidPolicy, "permissions[0]"},
		{Rule{Pattern: "partner:a", Permissions: []Permission{Generate}}, CodeInvalidPolicy, "permissions[0]"},
	} {
		_, err := Compile([]Policy{{ID: "pol_1", Rules: []Rule{readRule("ok", nil), tc.rule}}})
		var re *RuleError
		if !errors.As(err, &re) {
			t.Errorf("%+v: %v", tc.rule, err)
			continue
		}
		want := &RuleError{Code: tc.code, PolicyID: "pol_1", Rule: 1, Field: tc.field, Err: re.Err}
		if *re != *want || !strings.HasPrefix(err.Error(), "policy pol_1: rules[1]."+tc.field+": ") {
			t.Errorf("%+v: %+v, %q", tc.rule, re, err)
		}
	}
	if _, err := Compile([]Policy{{ID: "pol_1"}, {ID: "pol_1"}}); err == nil {
		t.Error("an id may occur twice")
	}
}

func TestAdminIncludesItsClassOnly(t *testing.T) {
	for class, want := range map[Class][]Permission{
		ClassSecrets: {Read, Write, Delete, List, Rotate, Admin}, ClassPartner: {Read, Write, Delete, List, Rotate, Admin},
		ClassPKI: {Admin, Issue}, ClassDynamic: {Admin, Generate},
	} {
		pattern := "a"
		if class != ClassSecrets {
			pattern = string(class) + ":a"
		}
		set := compile(t, Policy{
			ID: "pol_1", Active: true, Bindings: userBinding(time.Time{}),
			Rules: []Rule{{Pattern: pattern, Permissions: []Permission{Admin}}},
		})
		for _, c := range []Class{ClassSecrets, ClassPKI, ClassDynamic, ClassPartner} {
			var got []Permission
			for _, p := range every {
				if set.Decide(Request{Subject: alice(), Permission: p, Class: c, Path: "a"}).Allowed {
					got = append(got, p)
				}
			}
			expected := want
			if c != class {
				expected = nil
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("admin of %q on %q: %s", class, c, diff)
			}
		}
	}
}

func TestWhoCan(t *testing.T) {
	user := Binding{ID: "bind_u", IdentityType: TypeUser, IdentityID: "user:alice"}
	ended := Binding{ID: "bind_e", IdentityType: TypeUser, IdentityID: "user:bob", ExpiresAt: monday}
	billing := Binding{ID: "bind_b", IdentityType: TypeServiceAccount, IdentityID: "sa:billing:app"}
	remote := Binding{ID: "bind_r", IdentityType: TypeServiceAccount, IdentityID: "sa:eu1:billing:app"}
	shop := Binding{ID: "bind_s", IdentityType: TypeServiceAccount, IdentityID: "sa:shop:app"}
	alias := Binding{ID: "bind_a", IdentityType: TypeServiceAccount, IdentityID: "sa:billing-prod"}
	set := compile(t,
		Policy{ID: "pol_1", Active: true, Bindings: []Binding{user, ended}, Rules: []Rule{
			readRule("other", nil), readRule("env/**", &Conditions{}), readRule("**", &Conditions{RequireMFA: true}),
			{Pattern: "**", Permissions: []Permission{Write}},
		}},
		Policy{ID: "pol_2", Active: true, Bindings: []Binding{billing, remote, shop, alias}, Rules: []Rule{readRule("env/x-{namespace}/*", nil)}},
		Policy{ID: "pol_3", Bindings: []Binding{user}, Rules: []Rule{readRule("**", nil)}},
	)
	want := []Grant{
		{PolicyID: "pol_1", Rule: 1, Binding: user},
		{PolicyID: "pol_1", Rule: 2, Binding: user, Conditional: true},
		{PolicyID: "pol_2", Binding: billing, Conditional: true},
		{PolicyID: "pol_2", Binding: remote, Conditional: true},
		{PolicyID: "pol_2", Binding: alias, Conditional: true},
	}
	if diff := cmp.Diff(want, set.WhoCan(Read, ClassSecrets, "env/x-billing/db", monday)); diff != "" {
		t.Error(diff)
	}
	if got := set.WhoCan(Read, ClassSecrets, "env/", monday); got != nil {
		t.Errorf("a malformed path is granted: %+v", got)
	}
}
