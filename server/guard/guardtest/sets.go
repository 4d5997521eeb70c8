// Package guardtest gives the tests of domains what their guard stands on, policies and a trail, without the domains that
// keep them.
package guardtest

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/guard"
)

// Sets are the same policies for every tenant, compiled; the zero Sets holds none, so Grant before it is asked.
type Sets struct{ current atomic.Pointer[policy.Set] }

// NewSets allows nothing.
func NewSets(tb testing.TB) *Sets {
	tb.Helper()
	s := &Sets{}
	s.Grant(tb)
	return s
}

// Grant replaces the policies.
func (s *Sets) Grant(tb testing.TB, policies ...policy.Policy) {
	tb.Helper()
	set, err := policy.Compile(policies)
	if err != nil {
		tb.Fatal(err)
	}
	s.current.Store(set)
}

// Set implements guard.Sets.
func (s *Sets) Set(context.Context, string, int64) (*policy.Set, int64, error) {
	return s.current.Load(), 1, nil
}

// Rule is a policy that grants who permissions on one pattern.
func Rule(who guard.Caller, pattern string, permissions ...policy.Permission) policy.Policy {
	return policy.Policy{
		ID: "pol_" + pattern + who.ID, Name: pattern + who.ID, Active: true,
		Rules:    []policy.Rule{{Pattern: pattern, Permissions: permissions}},
		Bindings: []policy.Binding{{ID: "b", IdentityType: who.Type, IdentityID: who.ID}},
	}
}
