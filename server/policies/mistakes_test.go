package policies_test

import (
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/policies"
)

// The mistakes of others that have a surface here (docs/security/mistakes.md).

func TestMistake05PolicyNames(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		hostile := []string{
			"", ".", "..", "../root", "a/b", `a\b`, "a%2fb", "a b", "a\x00", "a\n", "ä", "a:b", strings.Repeat("a", 129),
			"pol_abcdefghijklmnopqrstuvwxyz", // could be the id of another policy
		}
		v.create(t, "known", readRule("a"))
		for _, name := range hostile {
			_, err := v.Create(t.Context(), root(), vaultapi.PolicyWrite{Name: name, Rules: []vaultapi.Rule{readRule("a")}})
			code(t, err, fault.CodeValidation)
			_, err = v.Patch(t.Context(), root(), "known", vaultapi.PolicyPatch{Name: &name})
			code(t, err, fault.CodeValidation)
			_, err = v.Get(t.Context(), root(), name)
			code(t, err, fault.CodePolicyNotFound)
		}
		for _, name := range []string{"A.b_c-1", "...", strings.Repeat("a", 128), "pol_short"} {
			v.create(t, name, readRule("a"))
		}
	})
}

func TestMistake08NamesCompareByteForByte(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		v.create(t, "root", readRule("a"))
		v.create(t, "Root", readRule("b"))
		_, err := v.Get(t.Context(), root(), "ROOT")
		code(t, err, fault.CodePolicyNotFound)
		got, err := v.Get(t.Context(), root(), "Root")
		must(t, err)
		same(t, "b", got.Rules[0].PathPattern)
	})
}

func TestMistake09NobodyElevatesHimself(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		mine, groups := v.create(t, "mine", readRule("a")), v.create(t, "groups", readRule("a"))
		v.bind(t, mine.ID, editor().ID)
		v.bind(t, groups.ID, "group:editors")
		wide := []vaultapi.Rule{{PathPattern: "**", Permissions: []string{"admin"}}}
		for _, p := range []vaultapi.Policy{mine, groups} {
			_, err := v.Patch(ctx, editor(), p.ID, vaultapi.PolicyPatch{Rules: &wide})
			code(t, err, fault.CodeForbidden)
			_, err = v.Replace(ctx, editor(), p.ID, vaultapi.PolicyWrite{Name: p.Name, Rules: wide})
			code(t, err, fault.CodeForbidden)
			_, err = v.Patch(ctx, editor(), p.ID, vaultapi.PolicyPatch{Description: ptr("harmless"), IsActive: ptr(false)})
			must(t, err)
			_, err = v.Patch(ctx, editor(), p.ID, vaultapi.PolicyPatch{IsActive: ptr(true)})
			code(t, err, fault.CodeForbidden)
		}
		other, err := v.Create(ctx, editor(), vaultapi.PolicyWrite{Name: "other", Rules: wide})
		must(t, err)
		for _, id := range []string{editor().ID, "group:editors"} {
			_, err := v.Bind(ctx, editor(), other.ID, vaultapi.BindingWrite{IdentityID: id})
			code(t, err, fault.CodeForbidden)
		}
		_, err = v.Bind(ctx, editor(), other.ID, vaultapi.BindingWrite{IdentityID: "group:others"})
		must(t, err)
		v.bind(t, other.ID, root().ID) // a super administrator may
		admin := editor()
		admin.Roles = []string{"tenant_admin", "partner_admin"}
		_, err = v.Bind(ctx, admin, other.ID, vaultapi.BindingWrite{IdentityID: admin.ID})
		code(t, err, fault.CodeForbidden)
	})
}

func TestMistake10PageLimits(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		err := v.db.Update(t.Context(), func(tx *storeTx) error { return insertMany(tx, policies.DefaultLimit+1) })
		must(t, err)
		page, err := v.List(t.Context(), root(), policies.Filter{Limit: 0})
		must(t, err)
		if len(page.Policies) != policies.DefaultLimit || !page.HasMore {
			t.Errorf("limit 0 gives %d policies", len(page.Policies))
		}
		for _, limit := range []int{-1, policies.MaxLimit + 1} {
			for _, f := range []policies.Filter{{Limit: limit}, {Limit: limit, Path: "a"}} {
				_, err := v.List(t.Context(), root(), f)
				if got := code(t, err, fault.CodeInvalidRequest); got.Details["field"] != "limit" {
					t.Errorf("%+v", got)
				}
			}
		}
	})
}

func TestMistake11EmptyLists(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		for _, rules := range [][]vaultapi.Rule{
			nil, {}, {{PathPattern: "a", Permissions: []string{}}},
			{{PathPattern: "a", Permissions: []string{"read"}, Conditions: &vaultapi.Conditions{IPRanges: []string{}}}},
			{{PathPattern: "a", Permissions: []string{"read"}, Conditions: &vaultapi.Conditions{TimeWindow: &vaultapi.TimeWindow{
				Days: []string{}, Start: "08:00", End: "18:00",
			}}}},
		} {
			_, err := v.Create(t.Context(), root(), vaultapi.PolicyWrite{Name: "p", Rules: rules})
			code(t, err, fault.CodeInvalidPolicy)
		}
		nobody := guard.Caller{Tenant: "tnt_a"}
		_, err := v.List(t.Context(), nobody, policies.Filter{})
		code(t, err, fault.CodeInsufficientScope)
	})
}
