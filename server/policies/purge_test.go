package policies_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/policies"
)

// purge runs the job once.
func (v *vault) purge(t *testing.T) {
	t.Helper()
	must(t, v.Jobs()[0].Run(t.Context(), jobs.Job{}))
}

// A binding that ended is removed a day later, with an entry and an event; no other is.
func TestEndedBindingsArePurged(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		ctx, p := t.Context(), v.create(t, "p", readRule("a"))
		for identity, end := range map[string]string{"sa:ended": "2026-03-02T13:00:00Z", "sa:later": "2026-03-02T13:00:01Z", "sa:never": ""} {
			_, err := v.Bind(ctx, root(), p.ID, vaultapi.BindingWrite{IdentityID: identity, ExpiresAt: end})
			must(t, err)
		}
		held := func() (all []string) {
			t.Helper()
			list, err := v.Bindings(ctx, root(), p.ID)
			must(t, err)
			for _, b := range list.Bindings {
				all = append(all, b.IdentityID)
			}
			slices.Sort(all)
			return all
		}
		v.clock.move(time.Hour + policies.KeepEnded - time.Microsecond)
		v.purge(t)
		if diff := cmp.Diff([]string{"sa:ended", "sa:later", "sa:never"}, held()); diff != "" {
			t.Errorf("too early: %s", diff)
		}
		v.clock.move(time.Microsecond)
		entries, events, revision := len(v.trail.actions()), len(v.trail.announced()), v.revision(t)
		v.purge(t)
		v.purge(t)
		if diff := cmp.Diff([]string{"policy_unbind"}, v.trail.actions()[entries:]); diff != "" {
			t.Error(diff)
		}
		if e := v.trail.entries[entries]; e.IdentityID != "system:policies" || !e.Success || e.Target != p.ID {
			t.Errorf("recorded %+v", e)
		}
		if diff := cmp.Diff([]string{"policy.binding.deleted"}, v.trail.announced()[events:]); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"sa:later", "sa:never"}, held()); diff != "" {
			t.Error(diff)
		}
		if v.revision(t) != revision+1 {
			t.Errorf("revision %d, was %d", v.revision(t), revision)
		}
	})
}

// Two replicas that purge at once remove each binding once; who comes second leaves no trace.
func TestReplicasPurgeBindingsOnce(t *testing.T) {
	each(t, func(t *testing.T, v *vault) {
		other := newVault(t, v.db)
		p := v.create(t, "p", readRule("a"))
		const n = 20
		for i := range n {
			_, err := v.Bind(t.Context(), root(), p.ID, vaultapi.BindingWrite{IdentityID: "sa:x" + string(rune('a'+i)), ExpiresAt: "2026-03-02T13:00:00Z"})
			must(t, err)
		}
		for _, one := range []*vault{v, other} {
			one.clock.move(48 * time.Hour)
		}
		before := len(v.trail.actions())
		done := make(chan error, 2)
		for _, one := range []*vault{v, other} {
			go func() { done <- one.PurgeEnded(t.Context()) }()
		}
		must(t, <-done)
		must(t, <-done)
		removed := append(v.trail.actions()[before:], other.trail.actions()...)
		if len(removed) < n { // what a transaction staged that ran again counts twice here
			t.Errorf("%d entries for %d bindings", len(removed), n)
		}
		for _, e := range slices.Concat(v.trail.entries, other.trail.entries) {
			if !e.Success {
				t.Errorf("recorded %+v", e)
			}
		}
		list, err := v.Bindings(t.Context(), root(), p.ID)
		must(t, err)
		if len(list.Bindings) != 0 {
			t.Errorf("%d stay", len(list.Bindings))
		}
	})
}
