package authn

import (
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestSeedTrust(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		seed := Seed{Home: true, Operator: "scaivault/scaivault-operator"}
		f.seed(t, seed)
		first := f.revision(t)
		f.seed(t, seed) // a restart writes nothing
		if got := f.revision(t); got != first || first != 2 {
			t.Errorf("policy revision is %d after the first start, %d after the second", first, got)
		}
		f.cluster.vouchFor("scaivault", "scaivault-operator")
		out, err := f.exchange(t, f.jwt(t, nil))
		if err != nil || out.IdentityID != "sa:scaivault:scaivault-operator" || out.Scope != strings.Join(operatorScopes(), " ") {
			t.Errorf("operator: %+v, %v", out, err)
		}
		if strings.Contains(out.Scope, "secrets:read") || strings.Contains(out.Scope, "admin") {
			t.Errorf("the operator may read values: %s", out.Scope)
		}
		if got := f.bound(t); got != "sa:scaivault:scaivault-operator" {
			t.Errorf("bound to %q", got)
		}
		f.cluster.vouchFor("billing", "app")
		if out, err := f.exchange(t, f.jwt(t, nil)); err != nil || out.IdentityID != "sa:billing:app" {
			t.Errorf("workload: %+v, %v", out, err)
		}
	})
}

func TestSeedFollowsTheFlags(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.seed(t, Seed{Home: true, Operator: "old/operator"})
		f.seed(t, Seed{Home: true, Operator: "new/operator"})
		if got := f.bound(t); got != "sa:new:operator" {
			t.Errorf("bound to %q", got)
		}
		if got := f.revision(t); got != 3 {
			t.Errorf("policy revision is %d", got)
		}
		f.seed(t, Seed{})
		rules, err := f.TrustRules(t.Context(), admin(), TrustFilter{})
		if err != nil || len(rules.TrustRules) != 0 || f.bound(t) != "" {
			t.Errorf("without flags: rules %v, bound to %q, %v", rules, f.bound(t), err)
		}
		if err := f.SeedTrust(t.Context(), Seed{Operator: "no-slash"}); err == nil {
			t.Error("took an account without namespace")
		}
	})
}

// What an administrator made under the same name is his.
func TestSeedLeavesAnAdministratorsRule(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	f.trust(t, TrustRule{Name: ruleHome, Life: time.Hour})
	f.seed(t, Seed{Home: true})
	f.seed(t, Seed{})
	rules, err := f.TrustRules(t.Context(), admin(), TrustFilter{})
	if err != nil || len(rules.TrustRules) != 1 || rules.TrustRules[0].Life != "1h" {
		t.Errorf("rules: %+v, %v", rules, err)
	}
}

func (f *fixture) seed(t *testing.T, seed Seed) {
	t.Helper()
	if err := f.SeedTrust(t.Context(), seed); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) revision(t *testing.T) (n int64) {
	t.Helper()
	if err := f.db.QueryRow(t.Context(), `SELECT policy_revision FROM tenants WHERE id = $1`, guard.DefaultTenant).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// bound is whom the operator's policy is bound to.
func (f *fixture) bound(t *testing.T) (who string) {
	t.Helper()
	err := f.db.QueryRow(t.Context(), `SELECT COALESCE(MIN(b.identity_id), '') FROM bindings b
		JOIN policies p ON p.tenant = b.tenant AND p.id = b.policy_id WHERE p.name = $1`, policyOperator).Scan(&who)
	if err != nil {
		t.Fatal(err)
	}
	return who
}
