package rotation

import (
	"context"
	"fmt"
	"math"
	"time"

	permission "github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// Both read no more of the index than they answer with: what is not due costs nothing.
const (
	dueColumns = `SELECT ` + assignmentColumns + `, p.name, p.owner FROM rotation_assignments a
 JOIN rotation_policies p ON p.tenant = a.tenant AND p.id = a.policy_id AND p.deleted_at IS NULL WHERE a.tenant = $1 AND a.listed = 1`
	dueAfter    = ` AND (a.due_at, a.path) > ($2, $3) AND a.due_at <= $4 ORDER BY a.due_at, a.path LIMIT $5`
	dueQuery    = dueColumns + dueAfter
	dueOfPolicy = dueColumns + ` AND a.policy_id = $6` + dueAfter
)

// DueQuery selects what is to be rotated.
type DueQuery struct {
	Within         time.Duration
	IncludeOverdue bool
	PolicyID       string // or its name; "": all
	Limit          int
	Cursor         string
}

// leastRead is how many rows are read at once for a caller who may see few of them.
const leastRead = 100

// Due lists the secrets whose rotation is due within a time, or should have been, the longest overdue first. Scope
// admin or rotation:manage sees all of the tenant, secrets:rotate the paths on which the caller holds rotate or list.
// Errors: rotation_policy_not_found, invalid_cursor.
func (s *Service) Due(ctx context.Context, who guard.Caller, q DueQuery) (vaultapi.RotationDueList, error) {
	a := guard.Access{Action: ActionDue, Scope: ScopeRotate, AltScopes: []string{ScopeAdmin, ScopeManage}}
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.RotationDueList, error) {
		list, err := s.duePage(ctx, c, q)
		return list, unread(err)
	})
}

func (s *Service) duePage(ctx context.Context, c *guard.Call, q DueQuery) (vaultapi.RotationDueList, error) {
	list := vaultapi.RotationDueList{Secrets: []vaultapi.RotationDue{}}
	query := fmt.Sprintf("due %s %v %s", q.Within, q.IncludeOverdue, q.PolicyID)
	last, err := s.cursors.Read(c.Who.Tenant, query, q.Cursor)
	if err != nil {
		return list, err
	}
	begin := place{}
	if !q.IncludeOverdue {
		begin.at = c.Now().UnixMicro()
	}
	if begin, err = readPlace(last, begin); err != nil {
		return list, err
	}
	shown, more, err := s.dueFrom(ctx, c, q, begin)
	if err != nil {
		return list, err
	}
	for i := range shown {
		list.Secrets = append(list.Secrets, shown[i].wire(c.Now()))
	}
	list.Data, list.HasMore = list.Secrets, more
	if more {
		end := shown[len(shown)-1] // what the caller may not see is in no cursor
		next := s.cursors.Write(c.Who.Tenant, query, place{end.due, end.path}.text())
		list.Cursor = &next
	}
	return list, nil
}

// dueFrom gives up to the limit of what the caller may be told of, and whether there is more.
func (s *Service) dueFrom(ctx context.Context, c *guard.Call, q DueQuery, from place) (shown []dueRow, more bool, err error) {
	visible, err := s.visible(ctx, c.Who)
	if err != nil {
		return nil, false, err
	}
	limit := q.Limit
	for q.Limit = max(limit+1, leastRead); ; {
		page, err := s.dueRows(ctx, c, q, from)
		if err != nil {
			return nil, false, err
		}
		for _, d := range page {
			from = place{d.due, d.path}
			if !visible(d.path) {
				continue
			}
			if len(shown) == limit {
				return shown, true, nil
			}
			shown = append(shown, d)
		}
		if len(page) < q.Limit {
			return shown, false, nil
		}
	}
}

// visible says which paths a caller may be told of.
func (s *Service) visible(ctx context.Context, who guard.Caller) (func(string) bool, error) {
	if who.HasScope(ScopeAdmin) || who.HasScope(ScopeManage) {
		return func(string) bool { return true }, nil
	}
	rotates, _, err := s.guard.Allowed(ctx, who, permission.Rotate, "")
	if err != nil {
		return nil, err
	}
	lists, _, err := s.guard.Allowed(ctx, who, permission.List, "")
	return func(path string) bool { return rotates(path) || lists(path) }, err
}

// dueRow is an assignment in the list of what is due.
type dueRow struct {
	assignment
	policyName, owner string
}

func (s *Service) dueRows(ctx context.Context, c *guard.Call, q DueQuery, from place) ([]dueRow, error) {
	until := int64(math.MaxInt64)
	if q.Within < time.Duration(math.MaxInt64)-time.Duration(c.Now().UnixNano()) {
		until = c.Now().Add(q.Within).UnixMicro()
	}
	query, args := dueQuery, []any{c.Who.Tenant, from.at, from.key, until, q.Limit}
	if q.PolicyID != "" {
		p, err := s.book.policyOf(s.row(ctx), c.Who.Tenant, q.PolicyID)
		if err != nil {
			return nil, err
		}
		query, args = dueOfPolicy, append(args, p.id)
	}
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("due rotations: %w", err)
	}
	page, err := collect(rows, func(row scanner) (d dueRow, err error) {
		err = row.Scan(append(d.dest(), &d.policyName, &d.owner)...)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("due rotations: %w", err)
	}
	return page, nil
}

// wire: overdue means that the due time has passed and there is no new version (contract OC-14).
func (d *dueRow) wire(now time.Time) vaultapi.RotationDue {
	next := d.next
	if d.retry != nil {
		next = d.due
	}
	until := time.UnixMicro(d.due).Sub(now)
	return vaultapi.RotationDue{
		Path: d.path, RotationPolicyID: d.policyID, RotationPolicyName: d.policyName, Owner: d.owner,
		LastRotatedAt: vaultapi.MaybeAt(d.last), NextRotationAt: vaultapi.AtMicros(next),
		IsOverdue: until <= 0, HoursUntilDue: int64(until / time.Hour), State: d.state, Failures: d.failures, LastError: d.failure(),
	}
}
