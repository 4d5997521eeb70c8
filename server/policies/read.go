package policies

import (
	"context"
	"fmt"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// Limits of a page (contract OC-1).
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Get returns a policy with its bindings. Scope policies:read. Error: policy_not_found.
func (s *Service) Get(ctx context.Context, who guard.Caller, ref string) (vaultapi.Policy, error) {
	return guard.Do(ctx, s.guard, who, access(ActionRead, ScopeRead, ref), func(*guard.Call) (vaultapi.Policy, error) {
		r, err := s.found(ctx, who, ref)
		if err != nil {
			return vaultapi.Policy{}, unread(err)
		}
		p, err := withBindings(s.rows(ctx), who.Tenant, r)
		return p, unread(err)
	})
}

func withBindings(query queryRows, tenant string, r record) (vaultapi.Policy, error) {
	all, err := listBindings(query, tenant, r.ID)
	if err != nil {
		return vaultapi.Policy{}, err
	}
	p := r.wire()
	p.Bindings, p.BindingCount = wireBindings(all), len(all)
	return p, nil
}

func wireBindings(all []held) []vaultapi.Binding {
	wire := make([]vaultapi.Binding, len(all))
	for i, h := range all {
		wire[i] = h.wire()
	}
	return wire
}

// Filter selects policies.
type Filter struct {
	Scope           string // tenant | partner; empty: all
	Owner           string // all of an owner or its leading parts, such as k8s:home
	IncludeInactive bool
	Path            string // [class:]path: only policies that grant on it, each with the bindings through which it does
	Permission      string // with Path: only those that grant this; empty: any
	Limit           int    // 0: DefaultLimit
	Cursor          string
}

func (f Filter) limit() (int, error) {
	switch {
	case f.Limit == 0:
		return DefaultLimit, nil
	case f.Limit < 0 || f.Limit > MaxLimit:
		return 0, invalidQuery("limit", "limit must be 1 to %d", MaxLimit)
	}
	return f.Limit, nil
}

// query is what a cursor is bound to.
func (f Filter) query() string {
	return fmt.Sprintf("%q %q %t %q %q", f.Scope, f.Owner, f.IncludeInactive, f.Path, f.Permission)
}

// List returns one page of the tenant's policies: by name or, with Path, by id. Scope policies:read.
// Errors: invalid_request, invalid_path, invalid_cursor.
func (s *Service) List(ctx context.Context, who guard.Caller, f Filter) (vaultapi.PolicyList, error) {
	return guard.Do(ctx, s.guard, who, access(ActionList, ScopeRead, ""), func(c *guard.Call) (vaultapi.PolicyList, error) {
		limit, err := f.limit()
		if err != nil {
			return vaultapi.PolicyList{}, err
		}
		after, err := s.cursors.Read(who.Tenant, f.query(), f.Cursor)
		if err != nil {
			return vaultapi.PolicyList{}, err
		}
		page := span{after: after, limit: limit}
		list, err := s.page(ctx, c, f, page)
		return list, unread(err)
	})
}

// span is one page: what comes behind after, at most limit.
type span struct {
	after string
	limit int
}

func (s *Service) page(ctx context.Context, c *guard.Call, f Filter, page span) (vaultapi.PolicyList, error) {
	if f.Path == "" && f.Permission == "" {
		return s.named(ctx, c.Who, f, page)
	}
	asked, err := f.asked()
	if err != nil {
		return vaultapi.PolicyList{}, err
	}
	c.Note("asked_path", f.Path)
	return s.granting(ctx, c.Who, grantQuery{Filter: f, question: asked}, page)
}

func (s *Service) named(ctx context.Context, who guard.Caller, f Filter, page span) (vaultapi.PolicyList, error) {
	rows, err := s.db.Query(ctx, listPoliciesQuery, who.Tenant, page.after, f.Scope, f.Owner, number(f.IncludeInactive), page.limit+1)
	if err != nil {
		return vaultapi.PolicyList{}, fmt.Errorf("list policies: %w", err)
	}
	found, err := collect(rows, scanPolicy)
	if err != nil {
		return vaultapi.PolicyList{}, fmt.Errorf("list policies: %w", err)
	}
	more := len(found) > page.limit
	wire := []vaultapi.Policy{}
	for _, r := range found[:min(len(found), page.limit)] {
		wire = append(wire, r.wire())
	}
	last := ""
	if more {
		last = wire[len(wire)-1].Name
	}
	return s.list(who, f, wire, last), nil
}

// list makes the answer; last is where the next page begins, empty on the last page.
func (s *Service) list(who guard.Caller, f Filter, wire []vaultapi.Policy, last string) vaultapi.PolicyList {
	l := vaultapi.PolicyList{Policies: wire, Data: wire, HasMore: last != ""}
	if last != "" {
		cursor := s.cursors.Write(who.Tenant, f.query(), last)
		l.Cursor = &cursor
	}
	return l
}
