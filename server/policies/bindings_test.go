package policies_test

import (
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/policies"
)

func TestBindingsEnd(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx, p := t.Context(), v.create(t, "p", readRule("a"))
		w := vaultapi.BindingWrite{IdentityID: "sa:x", ExpiresAt: "2026-03-02T13:00:00Z"}
		first, err := v.Bind(ctx, root(), p.ID, w)
		must(t, err)
		if first.ExpiresAt == nil || !first.ExpiresAt.Equal(start.Add(time.Hour)) {
			t.Errorf("%+v", first)
		}
		again, err := v.Bind(ctx, root(), p.ID, w)
		must(t, err)
		same(t, first, again)
		_, err = v.Bind(ctx, root(), p.ID, vaultapi.BindingWrite{IdentityID: "sa:x"})
		if f := code(t, err, fault.CodeBindingExists); f.Details["binding_id"] != first.ID {
			t.Errorf("%+v", f)
		}
		v.clock.move(time.Hour - time.Microsecond)
		if !v.reads(t, "sa:x", "a") {
			t.Error("the binding ends early")
		}
		v.clock.move(time.Microsecond)
		if v.reads(t, "sa:x", "a") {
			t.Error("the binding outlives its end")
		}
		renewed := v.bind(t, p.ID, "sa:x")
		if renewed.ID == first.ID || !v.reads(t, "sa:x", "a") {
			t.Error("a binding that has ended is not replaced")
		}
		list, err := v.Bindings(ctx, root(), "p")
		must(t, err)
		same(t, vaultapi.BindingList{Bindings: []vaultapi.Binding{renewed}, Data: []vaultapi.Binding{renewed}}, list)
		must(t, v.Unbind(ctx, root(), p.ID, renewed.ID, ""))
		if v.reads(t, "sa:x", "a") {
			t.Error("a binding that is gone holds")
		}
		code(t, v.Unbind(ctx, root(), p.ID, renewed.ID, ""), fault.CodeBindingNotFound)
		code(t, v.Unbind(ctx, root(), p.ID, "../x", ""), fault.CodeBindingNotFound)
	})
}

func TestIdentities(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx, p := t.Context(), v.create(t, "p", readRule("a"))
		for id, want := range map[string]string{
			"user:a+b@acme.example": "user", "sa:billing-prod": "service_account", "sa:eu1:ns:app": "service_account", "group:ops": "group",
		} {
			if b := v.bind(t, p.ID, id); b.IdentityType != want {
				t.Errorf("%s is a %s", id, b.IdentityType)
			}
		}
		for field, writes := range map[string][]vaultapi.BindingWrite{
			"identity_id": {
				{}, {IdentityID: "billing"}, {IdentityID: "sa:"}, {IdentityID: "system:rotation"}, {IdentityID: "dynamic:pg"},
				{IdentityID: "SA:x"}, {IdentityID: "sa:a b"}, {IdentityID: "sa:a\x00"}, {IdentityID: "sa:ä"}, {IdentityID: "sa:*"},
				{IdentityID: "user:" + strings.Repeat("a", 256)},
			},
			"identity_type": {{IdentityID: "sa:x", IdentityType: "user"}, {IdentityID: "user:x", IdentityType: "system"}},
			"expires_at": {
				{IdentityID: "sa:x", ExpiresAt: "tomorrow"}, {IdentityID: "sa:x", ExpiresAt: "2026-03-02T12:00:00Z"},
				{IdentityID: "sa:x", ExpiresAt: "2020-01-01"},
			},
		} {
			for _, w := range writes {
				_, err := v.Bind(ctx, root(), p.ID, w)
				f := code(t, err, fault.CodeValidation)
				if fields, _ := f.Details["fields"].(map[string]string); fields[field] == "" {
					t.Errorf("%+v: %+v", w, f)
				}
			}
		}
	})
}

func TestTenantsAreApart(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx, p := t.Context(), v.create(t, "p", readRule("a"))
		b := v.bind(t, p.ID, "sa:x")
		stranger := root()
		stranger.Tenant = "tnt_b"
		own, err := v.Create(ctx, stranger, vaultapi.PolicyWrite{Name: "own", Rules: []vaultapi.Rule{readRule("b")}})
		must(t, err)
		for _, ref := range []string{p.ID, p.Name} {
			for name, err := range map[string]error{
				"get":      second(v.Get(ctx, stranger, ref)),
				"replace":  second(v.Replace(ctx, stranger, ref, vaultapi.PolicyWrite{Name: "n", Rules: []vaultapi.Rule{readRule("a")}})),
				"patch":    second(v.Patch(ctx, stranger, ref, vaultapi.PolicyPatch{Name: ptr("n")})),
				"delete":   v.Delete(ctx, stranger, ref, policies.DeleteOptions{Force: true}),
				"bindings": second(v.Bindings(ctx, stranger, ref)),
				"bind":     second(v.Bind(ctx, stranger, ref, vaultapi.BindingWrite{IdentityID: "sa:y"})),
				"unbind":   v.Unbind(ctx, stranger, ref, b.ID, ""),
			} {
				if !fault.Is(err, fault.CodePolicyNotFound) {
					t.Errorf("%s of %s: %v", name, ref, err)
				}
			}
		}
		code(t, v.Unbind(ctx, stranger, own.ID, b.ID, ""), fault.CodeBindingNotFound)
		list, err := v.List(ctx, stranger, policies.Filter{IncludeInactive: true})
		must(t, err)
		same(t, []string{"own"}, names(list))
		holders, err := v.List(ctx, stranger, policies.Filter{Path: "a", Permission: "read"})
		must(t, err)
		test, err := v.Test(ctx, stranger, vaultapi.PolicyTest{IdentityID: "sa:x", Path: "a", Permission: "read"})
		must(t, err)
		if len(holders.Policies) != 0 || test.Allowed || len(test.EvaluatedPolicies) != 0 {
			t.Errorf("another tenant's policies show: %v, %+v", names(holders), test)
		}
		if !v.reads(t, "sa:x", "a") {
			t.Error("the policy does not hold in its own tenant")
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestUnbindKeepsToThePolicy(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		v.create(t, "p", readRule("a"))
		v.create(t, "q", readRule("a"))
		b := v.bind(t, "p", "sa:x")
		code(t, v.Unbind(t.Context(), root(), "q", b.ID, ""), fault.CodeBindingNotFound)
	})
}

const ownerHome = "k8s:home/VaultPolicy//billing/0b2c7e3e-1c1f-4a41-9d0c-2b9c1d6f7a10"

// operator is a workload of the cluster home.
func operator() guard.Caller {
	return guard.Caller{
		Tenant: "tnt_a", Type: guard.TypeServiceAccount, ID: "sa:scaivault:operator", Cluster: "home",
		Scopes: []string{policies.ScopeRead, policies.ScopeWrite},
	}
}

func TestOwnedPolicies(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		w := vaultapi.PolicyWrite{Name: "billing", Rules: []vaultapi.Rule{readRule("a")}, Owner: ownerHome}
		foreign := operator()
		foreign.Cluster = "eu1"
		_, err := v.Create(ctx, foreign, w)
		code(t, err, fault.CodeForbidden)
		p, err := v.Create(ctx, operator(), w)
		must(t, err)
		same(t, ownerHome, p.Owner)
		b, err := v.Bind(ctx, operator(), p.ID, vaultapi.BindingWrite{IdentityID: "sa:billing:app", Owner: ownerHome})
		must(t, err)
		same(t, ownerHome, b.Owner)
		changes := func(who guard.Caller, owner string) map[string]error {
			w.Owner, w.Description = owner, "changed"
			return map[string]error{
				"replace": second(v.Replace(ctx, who, p.ID, w)),
				"patch":   second(v.Patch(ctx, who, p.ID, vaultapi.PolicyPatch{Description: ptr("x"), Owner: owner})),
				"bind":    second(v.Bind(ctx, who, p.ID, vaultapi.BindingWrite{IdentityID: "sa:y", Owner: owner})),
				"unbind":  v.Unbind(ctx, who, p.ID, b.ID, owner),
				"delete":  v.Delete(ctx, who, p.ID, policies.DeleteOptions{Force: true, Owner: owner}),
			}
		}
		another := strings.Replace(ownerHome, "billing", "shop", 1)
		for _, stated := range []string{"", another} {
			for name, err := range changes(operator(), stated) {
				if f := fault.From(err); !fault.Is(err, fault.CodeManagedResource) || f.Kind != fault.KindConflict || f.Details["owner"] != ownerHome {
					t.Errorf("%s as %q: %v", name, stated, err)
				}
			}
		}
		for _, who := range []guard.Caller{foreign, editor()} {
			for name, err := range changes(who, ownerHome) {
				if !fault.Is(err, fault.CodeForbidden) {
					t.Errorf("%s by %s: %v", name, who.ID, err)
				}
			}
		}
		_, err = v.Create(ctx, operator(), vaultapi.PolicyWrite{Name: "billing", Rules: w.Rules, Owner: another})
		if f := code(t, err, fault.CodePolicyExists); f.Details["owner"] != ownerHome {
			t.Errorf("%+v", f)
		}
		v.create(t, "plain", readRule("a"))
		_, err = v.Patch(ctx, operator(), "plain", vaultapi.PolicyPatch{Description: ptr("x"), Owner: ownerHome})
		code(t, err, fault.CodeManagedResource)
		for _, ch := range []error{
			second(v.Patch(ctx, operator(), p.ID, vaultapi.PolicyPatch{Description: ptr("x"), Owner: ownerHome})),
			v.Unbind(ctx, operator(), p.ID, b.ID, ownerHome),
			v.Delete(ctx, root(), p.ID, policies.DeleteOptions{Owner: ownerHome}),
		} {
			must(t, ch)
		}
	})
}

func TestReleaseScope(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx := t.Context()
		p, err := v.Create(ctx, operator(), vaultapi.PolicyWrite{Name: "billing", Rules: []vaultapi.Rule{readRule("a")}, Owner: ownerHome})
		must(t, err)
		b, err := v.Bind(ctx, operator(), p.ID, vaultapi.BindingWrite{IdentityID: "sa:y", Owner: ownerHome})
		must(t, err)
		plain := v.create(t, "plain", readRule("a"))
		plainBinding := v.bind(t, plain.ID, "sa:x")
		releaser := operator()
		releaser.Scopes = []string{policies.ScopeRelease}
		code(t, v.Delete(ctx, releaser, plain.ID, policies.DeleteOptions{Force: true}), fault.CodeInsufficientScope)
		code(t, v.Unbind(ctx, releaser, plain.ID, plainBinding.ID, ""), fault.CodeInsufficientScope)
		_, err = v.Patch(ctx, releaser, p.ID, vaultapi.PolicyPatch{Owner: ownerHome})
		code(t, err, fault.CodeInsufficientScope)
		must(t, v.Unbind(ctx, releaser, p.ID, b.ID, ownerHome))
		must(t, v.Delete(ctx, releaser, p.ID, policies.DeleteOptions{Owner: ownerHome}))
	})
}
