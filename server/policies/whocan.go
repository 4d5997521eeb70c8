package policies

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// question is what who-can asks; several permissions mean any of them.
type question struct {
	class       policy.Class
	path        string
	permissions []policy.Permission
}

type grantQuery struct {
	Filter
	question
}

// granting lists the policies that grant a permission on a path now, each with the bindings through
// which it does (contract section 25, "who can").
func (s *Service) granting(ctx context.Context, who guard.Caller, q grantQuery, page span) (vaultapi.PolicyList, error) {
	holders, err := s.holders(ctx, who, q.question)
	if err != nil {
		return vaultapi.PolicyList{}, err
	}
	ids := slices.Sorted(maps.Keys(holders))
	start, found := slices.BinarySearch(ids, page.after)
	if found {
		start++
	}
	wire, last := []vaultapi.Policy{}, ""
	for _, id := range ids[start:] {
		p, fits, err := s.granted(ctx, who, q.Filter, id)
		if err != nil {
			return vaultapi.PolicyList{}, err
		}
		if !fits {
			continue
		}
		if len(wire) == page.limit {
			return s.list(who, q.Filter, wire, last), nil
		}
		keep := holders[id]
		p.Bindings = slices.DeleteFunc(p.Bindings, func(b vaultapi.Binding) bool { return !keep[b.ID] })
		wire, last = append(wire, p), id
	}
	return s.list(who, q.Filter, wire, ""), nil
}

// granted reads a policy and says whether the other filters let it pass. One that is gone by now
// does not.
func (s *Service) granted(ctx context.Context, who guard.Caller, f Filter, id string) (vaultapi.Policy, bool, error) {
	r, err := s.found(ctx, who, id)
	if fault.Is(err, fault.CodePolicyNotFound) {
		return vaultapi.Policy{}, false, nil
	}
	if err != nil {
		return vaultapi.Policy{}, false, err
	}
	owned := f.Owner == "" || r.Owner == f.Owner || strings.HasPrefix(r.Owner, f.Owner+"/")
	if !owned || f.Scope != "" && r.Scope != f.Scope {
		return vaultapi.Policy{}, false, nil
	}
	p, err := withBindings(s.rows(ctx), who.Tenant, r)
	return p, err == nil, err
}

// holders maps the ids of the policies that grant to the ids of their bindings in force.
func (s *Service) holders(ctx context.Context, who guard.Caller, q question) (map[string]map[string]bool, error) {
	set, err := s.cache.Fresh(ctx, who.Tenant)
	if err != nil {
		return nil, err
	}
	holders := map[string]map[string]bool{}
	for _, p := range q.permissions {
		for _, g := range set.WhoCan(p, q.class, q.path, s.guard.Now()) {
			if holders[g.PolicyID] == nil {
				holders[g.PolicyID] = map[string]bool{}
			}
			holders[g.PolicyID][g.Binding.ID] = true
		}
	}
	return holders, nil
}

func (f Filter) asked() (question, error) {
	if f.Path == "" {
		return question{}, invalidQuery("path", "permission asks who holds it on a path: name the path too")
	}
	class, path, err := policy.ParsePath(f.Path)
	if err != nil {
		return question{}, invalidPath(err)
	}
	q := question{class: class, path: path, permissions: class.Permissions()}
	if f.Permission != "" {
		p, err := permissionOf(class, f.Permission)
		q.permissions = []policy.Permission{p}
		return q, err
	}
	return q, nil
}

func permissionOf(class policy.Class, text string) (policy.Permission, error) {
	p := policy.Permission(text)
	if !class.Fits(p) {
		return "", invalidQuery("permission", "permission must be one of %v on this class of path", class.Permissions())
	}
	return p, nil
}

func invalidPath(err error) error {
	return fault.Invalid(fault.CodeInvalidPath, "%v", err).With("field", "path")
}
