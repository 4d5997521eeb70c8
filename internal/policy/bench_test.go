package policy

import (
	"fmt"
	"testing"
	"time"
)

// manyRules spreads rules over policies of 50, all bound to user:alice.
func manyRules(b *testing.B, n int, pattern string) *Set {
	b.Helper()
	var policies []Policy
	for i := range n {
		if i%50 == 0 {
			policies = append(policies, Policy{ID: fmt.Sprintf("pol_%d", i), Active: true, Bindings: userBinding(time.Time{})})
		}
		last := &policies[len(policies)-1]
		last.Rules = append(last.Rules, readRule(fmt.Sprintf(pattern, i), nil))
	}
	return compile(b, policies...)
}

func BenchmarkDecide(b *testing.B) {
	for _, shape := range []string{"environments/production/service-%05d/**", "*/service-%05d/*"} {
		for _, n := range []int{10, 1000, 10_000} {
			set := manyRules(b, n, shape)
			for name, path := range map[string]string{
				"allow": fmt.Sprintf("environments/production/service-%05d/database", n/2),
				"deny":  "environments/production/service-x/database",
			} {
				if shape[0] == '*' {
					path = path[len("environments/"):]
				}
				q := Request{Subject: alice(), Permission: Read, Path: path}
				set.Decide(q) // builds the index
				b.Run(fmt.Sprintf("%s/%s/%d", shape[:1], name, n), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if set.Decide(q).Allowed != (name == "allow") {
							b.Fatal("wrong decision")
						}
					}
				})
			}
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	set := make([]Policy, 200)
	for i := range set {
		set[i] = Policy{ID: fmt.Sprintf("pol_%d", i), Active: true, Bindings: userBinding(time.Time{})}
		for j := range 50 {
			set[i].Rules = append(set[i].Rules, readRule(fmt.Sprintf("environments/production/service-%05d/**", i*50+j), nil))
		}
	}
	q := Request{Subject: alice(), Permission: Read, Path: "environments/production/service-00001/a"}
	for name, ask := range map[string]bool{"compile": false, "compile and index": true} {
		b.Run(name+"/10000", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := compile(b, set...)
				if ask && !s.Decide(q).Allowed {
					b.Fatal("denied")
				}
			}
		})
	}
}

// BenchmarkWith binds one more identity among 10 000 rules and 5 000 identities.
func BenchmarkWith(b *testing.B) {
	set := manyRules(b, 10_000, "environments/production/service-%05d/**")
	crowd := Policy{ID: "pol_crowd", Active: true, Rules: []Rule{readRule("a/**", nil)}}
	for i := range 5000 {
		crowd.Bindings = append(crowd.Bindings, Binding{IdentityType: TypeServiceAccount, IdentityID: fmt.Sprintf("sa:ns-%d:app", i)})
	}
	set, err := set.With(crowd)
	if err != nil {
		b.Fatal(err)
	}
	one := Policy{ID: "pol_one", Active: true, Rules: []Rule{readRule("b/**", nil)}, Bindings: userBinding(time.Time{})}
	for b.Loop() {
		if _, err := set.With(one); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRanges(b *testing.B) {
	set := manyRules(b, 10_000, "environments/production/service-%05d/**")
	for b.Loop() {
		set.Ranges(alice(), Read, ClassSecrets)
	}
}

// TestDecideAllocatesNothing keeps the hot path free of garbage.
func TestDecideAllocatesNothing(t *testing.T) {
	set := grantAll(t)
	sub := alice()
	sub.Namespace, sub.Groups = "billing", []string{"group:a", "group:b"}
	q := Request{Subject: sub, Permission: Read, Path: "environments/production/billing/database"}
	if n := testing.AllocsPerRun(100, func() { set.Decide(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
