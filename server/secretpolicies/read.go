package secretpolicies

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Limits of a page (contract OC-1).
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Get returns a policy with all of its recipe. Scope admin. Error: secret_policy_not_found.
func (s *Service) Get(ctx context.Context, who guard.Caller, ref string) (vaultapi.SecretPolicy, error) {
	return guard.Do(ctx, s.guard, who, access(ActionRead, ref), func(*guard.Call) (vaultapi.SecretPolicy, error) {
		r, err := s.found(ctx, who.Tenant, ref)
		if err != nil {
			return vaultapi.SecretPolicy{}, unread(err)
		}
		fields, err := s.open(ctx, who.Tenant, r)
		return r.wire(fields), err
	})
}

// found finds a policy outside of a transaction.
func (s *Service) found(ctx context.Context, tenant, ref string) (record, error) {
	return find(func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }, tenant, ref, "")
}

// Filter selects policies.
type Filter struct {
	Active *bool // nil: all
	Limit  int   // 0: DefaultLimit
	Cursor string
}

func (f Filter) limit() (int, error) {
	switch {
	case f.Limit == 0:
		return DefaultLimit, nil
	case f.Limit < 0 || f.Limit > MaxLimit:
		return 0, fault.Invalid(fault.CodeInvalidRequest, "limit must be 1 to %d", MaxLimit).With("field", "limit")
	}
	return f.Limit, nil
}

// active is 1 or 0, or -1 for both.
func (f Filter) active() int64 {
	if f.Active == nil {
		return -1
	}
	return number(*f.Active)
}

// query is what a cursor is bound to.
func (f Filter) query() string { return fmt.Sprintf("secret policies %d", f.active()) }

// List returns one page of the tenant's policies, by name and without static values. Scope admin. Errors:
// invalid_request, invalid_cursor.
func (s *Service) List(ctx context.Context, who guard.Caller, f Filter) (vaultapi.SecretPolicyList, error) {
	return guard.Do(ctx, s.guard, who, access(ActionList, ""), func(*guard.Call) (vaultapi.SecretPolicyList, error) {
		limit, err := f.limit()
		if err != nil {
			return vaultapi.SecretPolicyList{}, err
		}
		after, err := s.cursors.Read(who.Tenant, f.query(), f.Cursor)
		if err != nil {
			return vaultapi.SecretPolicyList{}, err
		}
		rows, err := s.db.Query(ctx, listQuery, who.Tenant, after, f.active(), limit+1)
		if err != nil {
			return vaultapi.SecretPolicyList{}, unread(fmt.Errorf("list secret policies: %w", err))
		}
		found, err := collect(rows)
		return s.page(who.Tenant, f, found, limit), unread(err)
	})
}

// page makes the answer of what was found, which is one more than fit where there are more.
func (s *Service) page(tenant string, f Filter, found []record, limit int) vaultapi.SecretPolicyList {
	wire := []vaultapi.SecretPolicy{}
	for _, r := range found[:min(len(found), limit)] {
		wire = append(wire, r.wire(r.Shown))
	}
	l := vaultapi.SecretPolicyList{SecretPolicies: wire, Data: wire, HasMore: len(found) > limit}
	if l.HasMore {
		next := s.cursors.Write(tenant, f.query(), wire[limit-1].Name)
		l.Cursor = &next
	}
	return l
}
