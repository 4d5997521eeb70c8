package policies_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/policies"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

type storeTx = store.Tx

func insertMany(tx *store.Tx, n int) error {
	for i := range n {
		_, err := tx.Exec(`INSERT INTO policies (tenant, id, name, description, scope, is_active, rules, created_at, updated_at)
			VALUES ('tnt_a', $1, $1, '', 'tenant', 1, '[{"path_pattern":"a","permissions":["read"]}]', 0, 0)`, fmt.Sprintf("pol_%d", i))
		if err != nil {
			return err
		}
	}
	return nil
}

// TestReplicasSeeEachOthersChanges has two processes on one PostgreSQL: what one takes away, the
// other stops granting with the very next call.
func TestReplicasSeeEachOthersChanges(t *testing.T) {
	options := storetest.Options(t, store.Postgres)
	first := storetest.Open(t, options)
	addTenants(t, first)
	one, two := newVault(t, first), newVault(t, storetest.Open(t, options))
	p := one.create(t, "p", readRule("a"))
	if two.reads(t, "sa:x", "a") {
		t.Fatal("nobody is bound yet")
	}
	for range 3 {
		b := one.bind(t, p.ID, "sa:x")
		if !two.reads(t, "sa:x", "a") {
			t.Error("the other replica does not see the binding")
		}
		must(t, two.Unbind(t.Context(), root(), p.ID, b.ID, ""))
		if one.reads(t, "sa:x", "a") {
			t.Error("the first replica still grants")
		}
	}
	one.bind(t, p.ID, "sa:x")
	if !two.reads(t, "sa:x", "a") {
		t.Error("the binding is not seen")
	}
	must(t, one.Delete(t.Context(), root(), p.ID, policies.DeleteOptions{Force: true}))
	test, err := two.Test(t.Context(), root(), vaultapi.PolicyTest{IdentityID: "sa:x", Path: "a", Permission: "read"})
	must(t, err)
	if two.reads(t, "sa:x", "a") || test.Allowed {
		t.Error("the other replica grants by a policy that is gone")
	}
}

// TestSetIsInPlaceBeforeTheWriterIsAnswered also compares the set that changes brought forward with
// one that is loaded from nothing.
func TestSetIsInPlaceBeforeTheWriterIsAnswered(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		v.create(t, "p", readRule("a"))
		if v.reads(t, "sa:x", "a") {
			t.Fatal("nobody is bound yet")
		}
		for i := range 20 {
			b := v.bind(t, "p", "sa:x")
			if !v.reads(t, "sa:x", "a") {
				t.Fatal("the binding does not hold after its answer")
			}
			rules := []vaultapi.Rule{readRule("a"), readRule(fmt.Sprintf("b/%d", i))}
			_, err := v.Patch(t.Context(), root(), "p", vaultapi.PolicyPatch{Rules: &rules})
			must(t, err)
			if !v.reads(t, "sa:x", fmt.Sprintf("b/%d", i)) || v.reads(t, "sa:x", fmt.Sprintf("b/%d", i-1)) {
				t.Fatal("the new rules do not hold after their answer")
			}
			checkAgainstFresh(t, v)
			must(t, v.Unbind(t.Context(), root(), "p", b.ID, ""))
			if v.reads(t, "sa:x", "a") {
				t.Fatal("the binding holds after it was taken away")
			}
		}
	})
}

func checkAgainstFresh(t *testing.T, v *vault) {
	t.Helper()
	kept, revision, err := v.cache.Set(t.Context(), "tnt_a", v.revision(t))
	must(t, err)
	loaded, newest, err := policies.NewCache(v.db).Set(t.Context(), "tnt_a", 0)
	must(t, err)
	q := policy.Request{
		Subject:    policy.Subject{Type: policy.TypeServiceAccount, ID: "sa:x", Now: start},
		Permission: policy.Read, Path: "a",
	}
	same(t, newest, revision)
	same(t, loaded.Explain(q), kept.Explain(q))
	same(t, loaded.Ranges(q.Subject, policy.Read, ""), kept.Ranges(q.Subject, policy.Read, ""))
}

func TestFailedChangeChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		v.create(t, "p", readRule("a"))
		v.bind(t, "p", "sa:x")
		before := v.revision(t)
		v.trail.refuse = errors.New("no events now")
		rules := []vaultapi.Rule{readRule("b")}
		_, err := v.Patch(t.Context(), root(), "p", vaultapi.PolicyPatch{Rules: &rules})
		code(t, err, fault.CodeInternal)
		code(t, v.Delete(t.Context(), root(), "p", policies.DeleteOptions{Force: true}), fault.CodeInternal)
		if v.revision(t) != before || !v.reads(t, "sa:x", "a") || v.reads(t, "sa:x", "b") {
			t.Error("a change that failed left something")
		}
	})
}

// TestConcurrentBindings binds and unbinds from many sides: each answer is true when it is given.
func TestConcurrentBindings(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		v.create(t, "p", readRule("a"))
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				id := fmt.Sprintf("sa:x%d", i)
				for range 10 {
					b, err := v.Bind(t.Context(), root(), "p", vaultapi.BindingWrite{IdentityID: id})
					if err != nil || !v.reads(t, id, "a") {
						t.Errorf("%s is bound and may not read: %v", id, err)
						return
					}
					if err := v.Unbind(t.Context(), root(), "p", b.ID, ""); err != nil || v.reads(t, id, "a") {
						t.Errorf("%s is not bound and may read: %v", id, err)
						return
					}
				}
			})
		}
		all.Wait()
		if got := v.revision(t); got != 1+1+8*10*2 {
			t.Errorf("revision %d", got)
		}
	})
}

func TestUnknownTenant(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		who := root()
		who.Tenant = "tnt_none"
		_, err := v.Create(t.Context(), who, vaultapi.PolicyWrite{Name: "p", Rules: []vaultapi.Rule{readRule("a")}})
		code(t, err, fault.CodeTenantNotFound)
		if _, _, err := v.cache.Set(t.Context(), "tnt_none", 0); err == nil {
			t.Error("a tenant that is not there has policies")
		}
		if _, _, err := v.cache.Set(t.Context(), "tnt_a", 99); err == nil {
			t.Error("a revision that is not there is served")
		}
	})
}
