package authn

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// delegate is no super_admin; it holds trust:manage and what else is given.
func delegate(tenant string, scopes ...string) guard.Caller {
	return guard.Caller{Tenant: tenant, Type: guard.TypeUser, ID: "user:bob", Scopes: append([]string{ScopeTrust}, scopes...)}
}

// The life of a rule over the API, each step in the trail.
func TestTrustRules(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFixture(t, db), t.Context()
		made, err := f.CreateTrustRule(ctx, admin(), vaultapi.TrustRuleWrite{Name: "billing", Namespace: "billing", Scopes: []string{"secrets:read", "secrets:read"}})
		if err != nil {
			t.Fatal(err)
		}
		want := vaultapi.TrustRule{
			ID: made.ID, Name: "billing", Cluster: HomeCluster, Namespace: "billing", Identity: TemplateHome,
			Scopes: []string{"secrets:read"}, Life: "10m", LifeSeconds: 600, CreatedAt: vaultapi.At(f.clock.now()),
		}
		if d := cmp.Diff(want, made); d != "" || !strings.HasPrefix(made.ID, trustPrefix) {
			t.Errorf("made: %s", d)
		}
		if e := f.trail.last(t); e.Action != ActionTrustCreate || !e.Success || e.Target != made.ID {
			t.Errorf("entry: %+v", e)
		}
		for _, ref := range []string{made.ID, "billing"} {
			got, err := f.TrustRule(ctx, admin(), ref)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("read by %s: %v %s", ref, err, d)
			}
		}
		edge, half := "edge", "30m"
		got, err := f.PatchTrustRule(ctx, admin(), "billing", vaultapi.TrustRulePatch{Cluster: &edge, Life: &half})
		want.Cluster, want.Identity, want.Life, want.LifeSeconds = edge, TemplateCluster, half, 1800
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("patched: %v %s", err, d)
		}
		got, err = f.ReplaceTrustRule(ctx, admin(), made.ID, vaultapi.TrustRuleWrite{Name: "other"})
		want.Name, want.Cluster, want.Namespace, want.Identity, want.Scopes, want.Life, want.LifeSeconds = "other", HomeCluster, "", TemplateHome, workloadScopes(), "10m", 600
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("replaced: %v %s", err, d)
		}
		if got, err = f.TrustRule(ctx, admin(), "other"); !cmp.Equal(want, got) || err != nil {
			t.Errorf("stored: %+v, %v", got, err)
		}
		f.cluster.vouchFor("shop", "app")
		if _, err := f.exchange(t, f.jwt(t, nil)); err != nil {
			t.Error(err)
		}
		if err := f.DeleteTrustRule(ctx, admin(), "other"); err != nil {
			t.Error(err)
		}
		_, err = f.exchange(t, f.jwt(t, nil))
		wantCode(t, err, fault.CodeAccessDenied)
	})
}

func TestTrustRulesRefuse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFixture(t, db), t.Context()
		f.seed(t, Seed{Home: true})
		f.trust(t, TrustRule{Name: "billing", Namespace: "billing", ServiceAccount: "app", Identity: "sa:billing-prod"})
		create := func(who guard.Caller, w vaultapi.TrustRuleWrite) error {
			_, err := f.CreateTrustRule(ctx, who, w)
			return err
		}
		elsewhere := guard.System("administrator", otherTenant)
		wantCode(t, create(admin(), vaultapi.TrustRuleWrite{Name: "billing", Cluster: "edge"}), fault.CodeTrustRuleExists)
		wantCode(t, create(admin(), vaultapi.TrustRuleWrite{Name: "x", Namespace: "evil", ServiceAccount: "app", Identity: "sa:billing-prod"}), fault.CodeTrustRuleExists)
		wantCode(t, create(admin(), vaultapi.TrustRuleWrite{Name: "x", Cluster: "edge", Namespace: "billing", ServiceAccount: "app", Identity: "sa:billing-prod"}), fault.CodeTrustRuleExists)
		wantCode(t, create(elsewhere, vaultapi.TrustRuleWrite{Name: "mine"}), fault.CodeTrustRuleExists) // these workloads are another tenant's
		wantCode(t, create(admin(), vaultapi.TrustRuleWrite{Name: "x", Life: "soon"}), fault.CodeInvalidDuration)
		wantCode(t, create(admin(), vaultapi.TrustRuleWrite{Name: "x", Scopes: []string{}}), fault.CodeValidation)
		_, err := f.PatchTrustRule(ctx, admin(), "billing", vaultapi.TrustRulePatch{Scopes: &[]string{}})
		wantCode(t, err, fault.CodeValidation)
		wantCode(t, create(guard.Caller{Tenant: guard.DefaultTenant, Scopes: []string{"policies:write"}}, vaultapi.TrustRuleWrite{Name: "x"}), fault.CodeInsufficientScope)
		// A rule of another tenant does not exist, nor does its place in a list.
		_, err = f.TrustRule(ctx, elsewhere, "billing")
		wantCode(t, err, fault.CodeTrustRuleNotFound)
		_, err = f.ReplaceTrustRule(ctx, elsewhere, "billing", vaultapi.TrustRuleWrite{Name: "billing"})
		wantCode(t, err, fault.CodeTrustRuleNotFound)
		wantCode(t, f.DeleteTrustRule(ctx, elsewhere, "billing"), fault.CodeTrustRuleNotFound)
		_, err = f.TrustRules(ctx, elsewhere, TrustFilter{Cursor: "trust_x"})
		wantCode(t, err, fault.CodeInvalidCursor)
		// What start-up flags keep is changed by them; an administrator may put his own in its place.
		_, err = f.ReplaceTrustRule(ctx, admin(), ruleHome, vaultapi.TrustRuleWrite{Name: ruleHome})
		wantCode(t, err, fault.CodeManagedResource)
		if err := f.DeleteTrustRule(ctx, admin(), ruleHome); err != nil {
			t.Error(err)
		}
		f.trust(t, TrustRule{Name: ruleHome, Scopes: []string{"secrets:read"}})
		f.seed(t, Seed{Home: true})
		if got, err := f.TrustRule(ctx, admin(), ruleHome); err != nil || got.Owner != "" || len(got.Scopes) != 1 {
			t.Errorf("after a start: %+v, %v", got, err)
		}
	})
}

// Nobody but a super_admin gives what he lacks, takes what is another tenant's, or decides about himself.
func TestTrustIsNoWayUp(t *testing.T) {
	team := TrustRule{ID: "trust_team", Name: "team", Namespace: "team", Scopes: []string{"secrets:read"}}
	all := TrustRule{Tenant: guard.DefaultTenant, ID: "trust_all", Name: "all", Scopes: []string{"secrets:read", "secrets:write"}}.withDefaults()
	foreign := TrustRule{Tenant: otherTenant, ID: "trust_foreign", Name: "foreign", Cluster: "edge", Namespace: "shop"}.withDefaults()
	reader := delegate(guard.DefaultTenant, "secrets:read")
	root := guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:ann", Roles: []string{guard.RoleSuperAdmin}}
	pod := guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:team:app", Cluster: HomeCluster, Namespace: "team", Scopes: Scopes()}
	tests := map[string]struct {
		who    guard.Caller
		change func(*TrustRule)
		code   string
	}{
		"what he holds":                   {reader, func(*TrustRule) {}, ""},
		"a scope that he lacks":           {reader, func(r *TrustRule) { r.Scopes = []string{"secrets:read", "secrets:write"} }, fault.CodeInsufficientScope},
		"the defaults, which he lacks":    {reader, func(r *TrustRule) { r.Scopes = nil }, fault.CodeInsufficientScope},
		"scope admin":                     {reader, func(r *TrustRule) { r.Scopes = []string{scopeAdmin} }, fault.CodeInsufficientScope},
		"super_admin, whatever he holds":  {root, func(r *TrustRule) { r.Scopes = nil }, ""},
		"an alias without policies:write": {reader, func(r *TrustRule) { r.ServiceAccount, r.Identity = "app", "sa:x" }, fault.CodeInsufficientScope},
		"an alias with it": {delegate(guard.DefaultTenant, "secrets:read", scopeBind),
			func(r *TrustRule) { r.ServiceAccount, r.Identity = "app", "sa:x" }, ""},
		"another tenant's workloads":  {reader, func(r *TrustRule) { r.Cluster, r.Namespace = "edge", "shop" }, fault.CodeTrustRuleExists},
		"some of them":                {reader, func(r *TrustRule) { r.Cluster, r.Namespace, r.ServiceAccount = "edge", "shop", "app" }, fault.CodeTrustRuleExists},
		"them among others":           {reader, func(r *TrustRule) { r.Cluster, r.Namespace = "edge", "" }, fault.CodeTrustRuleExists},
		"some of them by super_admin": {root, func(r *TrustRule) { r.Cluster, r.Namespace, r.ServiceAccount = "edge", "shop", "app" }, ""},
		"a pod its own namespace":     {pod, func(*TrustRule) {}, fault.CodeForbidden},
		"a pod every namespace":       {pod, func(r *TrustRule) { r.Namespace = "" }, fault.CodeForbidden},
		"a pod another namespace":     {pod, func(r *TrustRule) { r.Namespace = "other" }, ""},
		"a pod its namespace's name":  {pod, func(r *TrustRule) { r.Cluster = "far" }, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := team
			r.Tenant = tc.who.Tenant
			tc.change(&r)
			wantCode(t, mayGive(tc.who, []TrustRule{all, foreign}, r.withDefaults()), tc.code)
		})
	}
}

// Taking a narrow rule away leaves its workloads to a wider one: that, too, is giving.
func TestLiftingANarrowRuleGives(t *testing.T) {
	wide := TrustRule{Tenant: guard.DefaultTenant, Name: "wide", Scopes: []string{"secrets:write"}}.withDefaults()
	narrow := TrustRule{Tenant: guard.DefaultTenant, Name: "narrow", Namespace: "team", Scopes: []string{"secrets:list"}}.withDefaults()
	kept := TrustRule{Tenant: guard.DefaultTenant, Name: "kept", Namespace: "ops", Owner: ownerBootstrap}.withDefaults()
	far := TrustRule{Tenant: guard.DefaultTenant, Name: "far", Cluster: "far", Namespace: "team"}.withDefaults()
	reader := delegate(guard.DefaultTenant, "secrets:read")
	for name, tc := range map[string]struct {
		who  guard.Caller
		rule TrustRule
		code string
	}{
		"it would widen":              {reader, narrow, fault.CodeInsufficientScope},
		"to what he holds":            {delegate(guard.DefaultTenant, "secrets:write"), narrow, ""},
		"nothing wider speaks of it":  {reader, far, ""},
		"a wide one leaves nobody":    {reader, wide, ""},
		"kept by flags":               {reader, kept, fault.CodeForbidden},
		"kept by flags, super_admin":  {guard.System("administrator", guard.DefaultTenant), kept, ""},
		"a pod's own chains":          {guard.Caller{Cluster: HomeCluster, Namespace: "team", Scopes: Scopes()}, narrow, fault.CodeForbidden},
		"a pod's chains on neighbour": {guard.Caller{Cluster: HomeCluster, Namespace: "shop", Scopes: Scopes()}, narrow, ""},
	} {
		wantCodeOf(t, name, mayLift(tc.who, []TrustRule{wide, kept}, tc.rule), tc.code)
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) { // and so is moving it elsewhere
		f, ctx := newFixture(t, db), t.Context()
		f.trust(t, TrustRule{Name: "wide", Scopes: []string{"secrets:write"}})
		f.trust(t, TrustRule{Name: "narrow", Namespace: "team", Scopes: []string{"secrets:read"}})
		nowhere, less := "nowhere", "5m"
		_, err := f.PatchTrustRule(ctx, reader, "narrow", vaultapi.TrustRulePatch{Namespace: &nowhere})
		wantCode(t, err, fault.CodeInsufficientScope)
		wantCode(t, f.DeleteTrustRule(ctx, reader, "narrow"), fault.CodeInsufficientScope)
		if _, err = f.PatchTrustRule(ctx, reader, "narrow", vaultapi.TrustRulePatch{Life: &less}); err != nil {
			t.Error(err)
		}
		_, err = f.PatchTrustRule(ctx, reader, "wide", vaultapi.TrustRulePatch{Life: &less})
		wantCode(t, err, fault.CodeInsufficientScope) // it gives what he lacks
	})
}

func wantCodeOf(t *testing.T, what string, err error, code string) {
	t.Helper()
	if got := fault.Code(err); got != code {
		t.Errorf("%s: code is %q, want %q (error: %v)", what, got, code, err)
	}
}

// A page ends where it says and the next one begins there.
func TestTrustRulePages(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	for i := range 5 {
		f.trust(t, TrustRule{Name: fmt.Sprintf("r%d", i), Cluster: []string{HomeCluster, "edge"}[i%2], Namespace: fmt.Sprintf("n%d", i), Life: time.Minute})
	}
	read := func(filter TrustFilter) string {
		var names []string
		for {
			l, err := f.TrustRules(t.Context(), admin(), filter)
			if err != nil || l.HasMore != (l.Cursor != nil) || len(l.Data) != len(l.TrustRules) {
				t.Fatalf("%+v: %v", l, err)
			}
			for _, r := range l.TrustRules {
				names = append(names, r.Name)
			}
			names = append(names, "|")
			if l.Cursor == nil {
				return strings.Join(names, "")
			}
			filter.Cursor = *l.Cursor
		}
	}
	for want, filter := range map[string]TrustFilter{
		"r0r1r2r3r4|":   {},
		"r0r1|r2r3|r4|": {Limit: 2},
		"r0r2|r4|":      {Limit: 2, Cluster: HomeCluster},
		"r1r3|":         {Cluster: "edge", Limit: 2},
		"|":             {Cluster: "none"},
	} {
		if got := read(filter); got != want {
			t.Errorf("%+v: %s, want %s", filter, got, want)
		}
	}
	_, err := f.TrustRules(t.Context(), admin(), TrustFilter{Limit: 1001})
	wantCode(t, err, fault.CodeInvalidRequest)
}
