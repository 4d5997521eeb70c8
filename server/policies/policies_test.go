package policies_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/policies"
)

func TestLifeOfAPolicy(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		made, err := v.Create(ctx, root(), vaultapi.PolicyWrite{
			Name: "sa-billing-stripe-read", Rules: []vaultapi.Rule{readRule("environments/production/billing/stripe")},
		})
		must(t, err)
		want := vaultapi.Policy{
			ID: made.ID, Name: "sa-billing-stripe-read", Scope: "tenant", IsActive: true, RuleCount: 1,
			Rules: []vaultapi.Rule{readRule("environments/production/billing/stripe")}, Bindings: []vaultapi.Binding{},
			CreatedAt: vaultapi.At(start), UpdatedAt: vaultapi.At(start),
		}
		same(t, want, made)
		if len(made.ID) < 24 || !strings.HasPrefix(made.ID, "pol_") {
			t.Errorf("id %q", made.ID)
		}
		bound := v.bind(t, made.ID, "sa:billing-prod")
		if !strings.HasPrefix(bound.ID, "bind_") || bound.IdentityType != "service_account" || bound.ExpiresAt != nil {
			t.Errorf("binding %+v", bound)
		}
		want.Bindings, want.BindingCount = []vaultapi.Binding{bound}, 1
		for _, ref := range []string{made.ID, made.Name} {
			got, err := v.Get(ctx, root(), ref)
			must(t, err)
			same(t, want, got)
		}
		if !v.reads(t, "sa:billing-prod", "environments/production/billing/stripe") || v.reads(t, "sa:other", "environments/production/billing/stripe") {
			t.Error("the policy does not hold, or holds for everybody")
		}
		v.clock.move(time.Hour)
		replaced, err := v.Replace(ctx, root(), made.ID, vaultapi.PolicyWrite{Name: "stripe", Description: "d", Rules: []vaultapi.Rule{readRule("a"), readRule("b")}})
		must(t, err)
		want.Name, want.Description, want.Rules, want.RuleCount = "stripe", "d", []vaultapi.Rule{readRule("a"), readRule("b")}, 2
		want.UpdatedAt = vaultapi.At(start.Add(time.Hour))
		same(t, want, replaced)
		if v.reads(t, "sa:billing-prod", "environments/production/billing/stripe") || !v.reads(t, "sa:billing-prod", "b") {
			t.Error("the old rules hold still, or the new ones not yet")
		}
		patched, err := v.Patch(ctx, root(), "stripe", vaultapi.PolicyPatch{IsActive: ptr(false)})
		must(t, err)
		want.IsActive = false
		same(t, want, patched)
		if v.reads(t, "sa:billing-prod", "b") {
			t.Error("an inactive policy holds")
		}
		used := code(t, v.Delete(ctx, root(), made.ID, policies.DeleteOptions{}), fault.CodePolicyInUse)
		if used.Kind != fault.KindConflict || used.Details["binding_count"] != 1 {
			t.Errorf("%+v", used)
		}
		must(t, v.Delete(ctx, root(), made.ID, policies.DeleteOptions{Force: true}))
		_, err = v.Get(ctx, root(), made.ID)
		code(t, err, fault.CodePolicyNotFound)
		code(t, v.Delete(ctx, root(), made.ID, policies.DeleteOptions{}), fault.CodePolicyNotFound)
		same(t, []string{
			"policy.created", "policy.binding.created", "policy.updated", "policy.updated", "policy.binding.deleted", "policy.deleted",
		}, v.trail.announced())
		same(t, []string{
			"policy_create", "policy_bind", "policy_read", "policy_read", "read", "read", "policy_update", "read", "read",
			"policy_update", "read", "policy_delete", "policy_delete", "policy_read", "policy_delete",
		}, v.trail.actions())
	})
}

func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryChangeRaisesTheRevision(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		var p vaultapi.Policy
		var b vaultapi.Binding
		for i, step := range []func() error{
			func() (err error) { p = v.create(t, "p", readRule("a")); return nil },
			func() (err error) { b = v.bind(t, "p", "user:a@acme.example"); return nil },
			func() (err error) {
				_, err = v.Patch(ctx, root(), p.ID, vaultapi.PolicyPatch{Description: ptr("x")})
				return err
			},
			func() (err error) { return v.Unbind(ctx, root(), p.ID, b.ID, "") },
			func() (err error) { return v.Delete(ctx, root(), p.ID, policies.DeleteOptions{}) },
		} {
			before := v.revision(t)
			must(t, step())
			if got := v.revision(t); got != before+1 {
				t.Errorf("step %d: revision %d after %d", i, got, before)
			}
		}
		v.create(t, "q", readRule("a"))
		before, events := v.revision(t), len(v.trail.announced())
		_, err := v.Replace(ctx, root(), "q", vaultapi.PolicyWrite{Name: "q", Rules: []vaultapi.Rule{readRule("a")}})
		must(t, err)
		if v.revision(t) != before || len(v.trail.announced()) != events {
			t.Error("an equal body counts as a change")
		}
	})
}

func TestInvalidPolicies(t *testing.T) {
	rule := func(change func(*vaultapi.Rule)) []vaultapi.Rule {
		r := readRule("a")
		change(&r)
		return []vaultapi.Rule{readRule("ok"), r}
	}
	conditions := func(c vaultapi.Conditions) []vaultapi.Rule {
		return rule(func(r *vaultapi.Rule) { r.Conditions = &c })
	}
	cases := []struct {
		name, code, field string
		rules             []vaultapi.Rule
	}{
		{"no rules", fault.CodeInvalidPolicy, "rules", nil},
		{"too many rules", fault.CodeInvalidPolicy, "rules", make([]vaultapi.Rule, policies.MaxRules+1)},
		{"pattern", fault.CodeInvalidGlob, "rules[1].path_pattern", rule(func(r *vaultapi.Rule) { r.PathPattern = "a//b" })},
		{"permission", fault.CodeInvalidPolicy, "rules[1].permissions[0]", rule(func(r *vaultapi.Rule) { r.Permissions = []string{"own"} })},
		{"class", fault.CodeInvalidPolicy, "rules[1].permissions[0]", rule(func(r *vaultapi.Rule) { r.PathPattern = "pki:a" })},
		{"no permission", fault.CodeInvalidPolicy, "rules[1].permissions", rule(func(r *vaultapi.Rule) { r.Permissions = []string{} })},
		{"many permissions", fault.CodeInvalidPolicy, "rules[1].permissions", rule(func(r *vaultapi.Rule) { r.Permissions = make([]string, 17) })},
		{"ranges", fault.CodeInvalidPolicy, "rules[1].conditions.ip_ranges[1]", conditions(vaultapi.Conditions{IPRanges: []string{"10.0.0.0/8", "x"}})},
		{"empty ranges", fault.CodeInvalidPolicy, "rules[1].conditions.ip_ranges", conditions(vaultapi.Conditions{IPRanges: []string{}})},
		{"window", fault.CodeInvalidPolicy, "rules[1].conditions.time_window", conditions(vaultapi.Conditions{TimeWindow: &vaultapi.TimeWindow{Start: "9"}})},
	}
	each(t, func(t *testing.T, v *vault) {
		v.create(t, "known", readRule("a"))
		for _, tc := range cases {
			_, err := v.Create(t.Context(), root(), vaultapi.PolicyWrite{Name: "p", Rules: tc.rules})
			if f := code(t, err, tc.code); f.Details["field"] != tc.field || f.Kind != fault.KindInvalid {
				t.Errorf("%s: %+v", tc.name, f)
			}
			_, err = v.Patch(t.Context(), root(), "known", vaultapi.PolicyPatch{Rules: &tc.rules})
			code(t, err, tc.code)
			_, err = v.Replace(t.Context(), root(), "known", vaultapi.PolicyWrite{Name: "known", Rules: tc.rules})
			code(t, err, tc.code)
		}
		for field, w := range map[string]vaultapi.PolicyWrite{
			"name": {Name: "a b"}, "description": {Name: "p", Description: strings.Repeat("x", 1025)},
			"scope": {Name: "p", Scope: "partner"}, "owner": {Name: "p", Owner: "k8s:home/VaultPolicy"},
		} {
			w.Rules = []vaultapi.Rule{readRule("a")}
			_, err := v.Create(t.Context(), root(), w)
			f := code(t, err, fault.CodeValidation)
			if fields, _ := f.Details["fields"].(map[string]string); fields[field] == "" {
				t.Errorf("%s: %+v", field, f)
			}
		}
		list, err := v.List(t.Context(), root(), policies.Filter{IncludeInactive: true})
		must(t, err)
		same(t, []string{"known"}, names(list))
	})
}

func TestNamesAreUniquePerTenant(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		first := v.create(t, "one", readRule("a"))
		v.create(t, "two", readRule("a"))
		_, err := v.Create(t.Context(), root(), vaultapi.PolicyWrite{Name: "one", Rules: []vaultapi.Rule{readRule("a")}})
		if f := code(t, err, fault.CodePolicyExists); f.Kind != fault.KindConflict || f.Details["policy_id"] != first.ID {
			t.Errorf("%+v", f)
		}
		_, err = v.Patch(t.Context(), root(), "two", vaultapi.PolicyPatch{Name: ptr("one")})
		code(t, err, fault.CodePolicyExists)
		other := root()
		other.Tenant = "tnt_b"
		_, err = v.Create(t.Context(), other, vaultapi.PolicyWrite{Name: "one", Rules: []vaultapi.Rule{readRule("a")}})
		must(t, err)
	})
}

func TestListFiltersAndPages(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		owner := "k8s:home/VaultPolicy//p/uid-1"
		for i := range 7 {
			w := vaultapi.PolicyWrite{Name: fmt.Sprintf("p%d", i), Rules: []vaultapi.Rule{readRule("a")}, IsActive: ptr(i != 3)}
			if i == 5 {
				w.Owner = owner
			}
			_, err := v.Create(ctx, root(), w)
			must(t, err)
		}
		v.bind(t, "p1", "sa:x")
		var got []string
		f := policies.Filter{Limit: 2}
		for {
			page, err := v.List(ctx, root(), f)
			must(t, err)
			if len(page.Policies) > 2 || page.HasMore != (page.Cursor != nil) || len(page.Data) != len(page.Policies) {
				t.Fatalf("page %+v", page)
			}
			got = append(got, names(page)...)
			if !page.HasMore {
				break
			}
			f.Cursor = *page.Cursor
		}
		same(t, []string{"p0", "p1", "p2", "p4", "p5", "p6"}, got)
		for want, f := range map[string]policies.Filter{
			"p0 p1 p2 p3 p4 p5 p6": {IncludeInactive: true, Scope: "tenant"},
			"":                     {Scope: "partner"},
			"p5":                   {Owner: "k8s:home"},
			" p5":                  {Owner: owner},
		} {
			page, err := v.List(ctx, root(), f)
			must(t, err)
			same(t, strings.TrimSpace(want), strings.Join(names(page), " "))
		}
		for _, owner := range []string{"k8s:hom", "k8s:home/", "k8s:home/VaultPolicy//p/uid", "%"} {
			page, err := v.List(ctx, root(), policies.Filter{Owner: owner})
			must(t, err)
			if len(page.Policies) != 0 {
				t.Errorf("owner %q finds %v", owner, names(page))
			}
		}
		page, err := v.List(ctx, root(), policies.Filter{})
		must(t, err)
		if page.Policies[1].BindingCount != 1 || page.Policies[1].RuleCount != 1 || page.Policies[1].Rules[0].PathPattern != "a" || page.Policies[1].Bindings != nil {
			t.Errorf("item %+v", page.Policies[1])
		}
	})
}

func TestCursorsAreBoundToTenantAndQuery(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		v.create(t, "p0", readRule("a"))
		v.create(t, "p1", readRule("a"))
		page, err := v.List(ctx, root(), policies.Filter{Limit: 1})
		must(t, err)
		cursor := *page.Cursor
		other := root()
		other.Tenant = "tnt_b"
		_, err = v.List(ctx, other, policies.Filter{Limit: 1, Cursor: cursor})
		code(t, err, fault.CodeInvalidCursor)
		for _, f := range []policies.Filter{
			{Cursor: cursor, IncludeInactive: true}, {Cursor: cursor + "A"}, {Cursor: "x"}, {Cursor: "!"}, {Cursor: cursor, Path: "a"},
		} {
			_, err = v.List(ctx, root(), f)
			code(t, err, fault.CodeInvalidCursor)
		}
	})
}

func TestWhoCan(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		both := v.create(t, "both", vaultapi.Rule{PathPattern: "env/**", Permissions: []string{"read", "list"}})
		listOnly := v.create(t, "list", vaultapi.Rule{PathPattern: "env/{namespace}/*", Permissions: []string{"list"}})
		v.create(t, "unbound", readRule("**"))
		v.create(t, "roles", vaultapi.Rule{PathPattern: "pki:svc-*", Permissions: []string{"issue"}})
		alice, billing := v.bind(t, both.ID, "user:alice@acme.example"), v.bind(t, listOnly.ID, "sa:billing:app")
		v.bind(t, listOnly.ID, "sa:shop:app")
		v.bind(t, "roles", "sa:ca")
		ended, err := v.Bind(ctx, root(), both.ID, vaultapi.BindingWrite{IdentityID: "user:bob@acme.example", ExpiresAt: "2026-03-02T13:00:00Z"})
		must(t, err)
		v.clock.move(2 * time.Hour)
		who := func(f policies.Filter) map[string][]string {
			t.Helper()
			list, err := v.List(ctx, root(), f)
			must(t, err)
			got := map[string][]string{}
			for _, p := range list.Policies {
				for _, b := range p.Bindings {
					if b.ID == ended.ID {
						t.Error("a binding that has ended is listed")
					}
					got[p.Name] = append(got[p.Name], b.IdentityID)
				}
			}
			return got
		}
		same(t, map[string][]string{"both": {alice.IdentityID}}, who(policies.Filter{Path: "env/billing/db", Permission: "read"}))
		same(t, map[string][]string{"both": {alice.IdentityID}, "list": {billing.IdentityID}}, who(policies.Filter{Path: "env/billing/db", Permission: "list"}))
		same(t, map[string][]string{"both": {alice.IdentityID}, "list": {billing.IdentityID}}, who(policies.Filter{Path: "env/billing/db"}))
		same(t, map[string][]string{"roles": {"sa:ca"}}, who(policies.Filter{Path: "pki:svc-mtls", Permission: "issue"}))
		same(t, map[string][]string{}, who(policies.Filter{Path: "env/billing/db", Owner: "k8s:home"}))
		page, err := v.List(ctx, root(), policies.Filter{Path: "env/billing/db", Limit: 1})
		must(t, err)
		next, err := v.List(ctx, root(), policies.Filter{Path: "env/billing/db", Limit: 1, Cursor: *page.Cursor})
		must(t, err)
		if len(page.Policies) != 1 || len(next.Policies) != 1 || next.HasMore || page.Policies[0].ID == next.Policies[0].ID {
			t.Errorf("pages %v, %v", names(page), names(next))
		}
		for want, f := range map[string]policies.Filter{
			fault.CodeInvalidPath: {Path: "/x", Permission: "read"}, fault.CodeInvalidRequest: {Permission: "read"},
			fault.CodeInvalidRequest + " ": {Path: "a", Permission: "issue"},
		} {
			_, err := v.List(ctx, root(), f)
			code(t, err, strings.TrimSpace(want))
		}
	})
}

func TestExplanation(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		p := v.create(t, "p", readRule("other"), vaultapi.Rule{
			PathPattern: "env/{namespace}/*", Permissions: []string{"read"},
			Conditions: &vaultapi.Conditions{
				IPRanges: []string{"10.0.0.0/8"}, RequireMFA: true,
				TimeWindow: &vaultapi.TimeWindow{Days: []string{"mon"}, Start: "08:00", End: "18:00"},
			},
		})
		v.bind(t, p.ID, "sa:billing:app")
		v.bind(t, p.ID, "group:editors")
		entries := len(v.trail.actions())
		at := func(change func(*vaultapi.PolicyTest)) vaultapi.PolicyTestResult {
			t.Helper()
			q := vaultapi.PolicyTest{
				IdentityID: "sa:billing:app", Path: "env/billing/db", Permission: "read",
				Context: &vaultapi.PolicyTestContext{SourceIP: "10.1.2.3", MFAVerified: true},
			}
			change(&q)
			got, err := v.Test(ctx, editor(), q)
			must(t, err)
			return got
		}
		near := func(rule int, pattern, why string) *vaultapi.NearestRule {
			return &vaultapi.NearestRule{PolicyID: p.ID, Rule: rule, PathPattern: pattern, Why: why}
		}
		denied := func(code, condition string) vaultapi.PolicyTestResult {
			return vaultapi.PolicyTestResult{
				Reason: code, FailedCondition: condition, EvaluatedPolicies: []string{p.ID},
				Nearest: near(1, "env/{namespace}/*", "condition_failed"),
			}
		}
		allowed := vaultapi.PolicyTestResult{Allowed: true, MatchedPolicyID: p.ID, MatchedRule: ptr(1), EvaluatedPolicies: []string{p.ID}}
		same(t, allowed, at(func(*vaultapi.PolicyTest) {}))
		same(t, denied(fault.CodeIPNotAllowed, "ip_ranges"), at(func(q *vaultapi.PolicyTest) { q.Context = nil }))
		same(t, denied(fault.CodeMFARequired, "require_mfa"), at(func(q *vaultapi.PolicyTest) { q.Context.MFAVerified = false }))
		same(t, denied(fault.CodeTimeWindow, "time_window"), at(func(q *vaultapi.PolicyTest) { q.Context.Timestamp = "2026-03-03T12:00:00Z" }))
		same(t, vaultapi.PolicyTestResult{
			Reason: fault.CodeAccessDenied, EvaluatedPolicies: []string{p.ID}, Nearest: near(1, "env/{namespace}/*", "permission_missing"),
		}, at(func(q *vaultapi.PolicyTest) { q.Permission = "write" }))
		same(t, vaultapi.PolicyTestResult{Reason: fault.CodeAccessDenied, EvaluatedPolicies: []string{}}, at(func(q *vaultapi.PolicyTest) { q.IdentityID = "nobody" }))
		group := at(func(q *vaultapi.PolicyTest) {
			q.IdentityID, q.Context.Namespace = editor().ID, "billing"
		})
		same(t, allowed, group)
		if len(v.trail.actions()) != entries {
			t.Error("a dry run leaves an audit entry")
		}
		for want, q := range map[string]vaultapi.PolicyTest{
			fault.CodeInvalidPath:            {IdentityID: "sa:a", Path: "a//b", Permission: "read"},
			fault.CodeInvalidRequest:         {IdentityID: "sa:a", Path: "a", Permission: "own"},
			fault.CodeInvalidRequest + " ":   {Path: "a", Permission: "read"},
			fault.CodeInvalidRequest + "  ":  {IdentityID: "sa:a", Path: "a", Permission: "read", Context: &vaultapi.PolicyTestContext{SourceIP: "x"}},
			fault.CodeInvalidRequest + "   ": {IdentityID: "sa:a", Path: "a", Permission: "read", Context: &vaultapi.PolicyTestContext{Timestamp: "x"}},
		} {
			_, err := v.Test(ctx, editor(), q)
			code(t, err, strings.TrimSpace(want))
		}
		blind := editor()
		blind.Scopes = nil
		_, err := v.Test(ctx, blind, vaultapi.PolicyTest{IdentityID: "sa:a", Path: "a", Permission: "read"})
		code(t, err, fault.CodeInsufficientScope)
	})
}

func TestScopes(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx, p := t.Context(), v.create(t, "p", readRule("a"))
		b := v.bind(t, p.ID, "sa:x")
		readOnly, nothing := editor(), editor()
		readOnly.Scopes, nothing.Scopes = []string{policies.ScopeRead}, []string{"secrets:read", "admin"}
		w := vaultapi.PolicyWrite{Name: "q", Rules: []vaultapi.Rule{readRule("a")}}
		for name, call := range map[string]func(who guard.Caller) error{
			"create":  func(who guard.Caller) error { _, err := v.Create(ctx, who, w); return err },
			"replace": func(who guard.Caller) error { _, err := v.Replace(ctx, who, p.ID, w); return err },
			"patch":   func(who guard.Caller) error { _, err := v.Patch(ctx, who, p.ID, vaultapi.PolicyPatch{}); return err },
			"delete":  func(who guard.Caller) error { return v.Delete(ctx, who, p.ID, policies.DeleteOptions{Force: true}) },
			"bind": func(who guard.Caller) error {
				_, err := v.Bind(ctx, who, p.ID, vaultapi.BindingWrite{IdentityID: "sa:y"})
				return err
			},
			"unbind": func(who guard.Caller) error { return v.Unbind(ctx, who, p.ID, b.ID, "") },
		} {
			if f := code(t, call(readOnly), fault.CodeInsufficientScope); f.Details["required_scope"] != policies.ScopeWrite {
				t.Errorf("%s: %+v", name, f)
			}
		}
		for _, call := range []func() error{
			func() error { _, err := v.Get(ctx, nothing, p.ID); return err },
			func() error { _, err := v.List(ctx, nothing, policies.Filter{}); return err },
			func() error { _, err := v.Bindings(ctx, nothing, p.ID); return err },
		} {
			code(t, call(), fault.CodeInsufficientScope)
		}
	})
}
