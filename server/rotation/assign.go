package rotation

import (
	"context"
	"fmt"

	permission "github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Attach puts the secret at a path under a policy. Scope admin; or rotation:manage, and permission rotate on the path,
// with write where the policy generates; or secrets:rotate with the same permissions, onto a policy that was made for
// a RotationSchedule in the caller's own namespace. Onto an owned policy nobody else may attach. Errors:
// rotation_policy_not_found, secret_not_found, secret_assigned, managed_resource, access_denied.
func (s *Service) Attach(ctx context.Context, who guard.Caller, ref, path string) (vaultapi.RotationAssignment, error) {
	a := s.attaching(ActionAttach, who, path)
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.RotationAssignment, error) {
		p, err := s.attachable(c, ref, path)
		if err != nil {
			return vaultapi.RotationAssignment{}, err
		}
		made, err := s.heads.Assign(c, path, p.id)
		if err != nil {
			return vaultapi.RotationAssignment{}, err
		}
		h, err := s.book.begin(c, p, path, made)
		if err != nil {
			return vaultapi.RotationAssignment{}, err
		}
		return h.wire(), nil
	})
}

// attaching is access to a path's place under a policy. Who has scope admin needs no permission on the path.
func (s *Service) attaching(action string, who guard.Caller, path string) guard.Access {
	a := guard.Access{Action: action, Scope: ScopeAdmin, AltScopes: []string{ScopeManage, ScopeRotate}, Path: path}
	if !who.HasScope(ScopeAdmin) {
		a.Permission = permission.Rotate
	}
	return a
}

// attachable finds the policy, if the caller may attach a path to it.
func (s *Service) attachable(c *guard.Call, ref, path string) (policy, error) {
	p, err := s.book.policyOf(c.Tx.QueryRow, c.Who.Tenant, ref)
	if err != nil {
		return policy{}, err
	}
	if err := mayPlace(c.Who, p); err != nil {
		return policy{}, err
	}
	if !c.Who.HasScope(ScopeAdmin) && p.settings.AutoGenerate {
		a := guard.Access{Permission: permission.Write, Path: path}
		if _, err := s.guard.Check(c.Tx.Context(), c.Who, a, 0); err != nil {
			return policy{}, err
		}
	}
	return p, nil
}

// mayPlace tells whether a caller may put secrets under a policy, or take them away, whatever the secrets.
func mayPlace(who guard.Caller, p policy) error {
	switch {
	case p.owner != "" && ownNamespace(who, p.owner):
		return nil
	case p.owner != "":
		return p.owned().MayEdit(who, "")
	case who.Type == guard.TypeSystem || who.HasScope(ScopeAdmin) || who.HasScope(ScopeManage):
		return nil
	}
	return fault.Forbidden(fault.CodeInsufficientScope, "rotation policy %s was not made for a RotationSchedule in your namespace: this needs scope %s", p.name, ScopeAdmin).
		With("required_scope", ScopeAdmin)
}

// Detach takes a secret from a policy; its old versions keep their grace. Scope admin or rotation:manage where nobody
// owns the policy; else secrets:rotate of the schedule's own namespace, or owned:release of the owner's cluster. No
// permission on the path is needed: who has lost it must still be able to let go. Errors: rotation_policy_not_found,
// assignment_not_found, managed_resource.
func (s *Service) Detach(ctx context.Context, who guard.Caller, ref, path string) error {
	a := guard.Access{Action: ActionDetach, Scope: ScopeAdmin, AltScopes: []string{ScopeManage, ScopeRotate, ScopeRelease}, Path: path}
	_, err := guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (struct{}, error) {
		p, err := s.book.policyOf(c.Tx.QueryRow, who.Tenant, ref)
		if err != nil {
			return struct{}{}, err
		}
		if err := mayLetGo(who, p); err != nil {
			return struct{}{}, err
		}
		h, err := s.book.hold(c, path)
		if err != nil {
			return struct{}{}, err
		}
		if h == nil || h.policyID != p.id {
			return struct{}{}, notAssigned(path, p.name)
		}
		c.Note("rotation_policy_id", p.id)
		if _, err := s.heads.Assign(c, path, ""); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.book.end(c, path)
	})
	return err
}

func mayLetGo(who guard.Caller, p policy) error {
	if p.owner != "" && who.HasScope(ScopeRelease) && p.owned().MayEdit(who, p.owner) == nil {
		return nil
	}
	return mayPlace(who, p)
}

// AssignmentQuery is a page of a policy's secrets.
type AssignmentQuery struct {
	Limit  int
	Cursor string
}

// Assignments lists the secrets of a policy by path. Scope admin or rotation:manage. Errors: rotation_policy_not_found,
// invalid_cursor.
func (s *Service) Assignments(ctx context.Context, who guard.Caller, ref string, q AssignmentQuery) (vaultapi.RotationAssignmentList, error) {
	return guard.Do(ctx, s.guard, who, managing(ActionAssignmentList, ref), func(*guard.Call) (vaultapi.RotationAssignmentList, error) {
		p, err := s.book.policyOf(s.row(ctx), who.Tenant, ref)
		if err != nil {
			return vaultapi.RotationAssignmentList{}, unread(err)
		}
		list, err := s.assignmentPage(ctx, who.Tenant, p, q)
		return list, unread(err)
	})
}

func (s *Service) assignmentPage(ctx context.Context, tenant string, p policy, q AssignmentQuery) (vaultapi.RotationAssignmentList, error) {
	var list vaultapi.RotationAssignmentList
	query := "assignments " + p.id
	after, err := s.cursors.Read(tenant, query, q.Cursor)
	if err != nil {
		return list, err
	}
	rows, err := s.db.Query(ctx, pageAssignments, tenant, p.id, after, q.Limit+1)
	if err != nil {
		return list, fmt.Errorf("assignments: %w", err)
	}
	found, err := collect(rows, func(row scanner) (a assignment, err error) {
		err = row.Scan(a.dest()...)
		return a, err
	})
	if err != nil {
		return list, fmt.Errorf("assignments: %w", err)
	}
	items := []vaultapi.RotationAssignment{}
	for i := range found[:min(len(found), q.Limit)] {
		items = append(items, (&held{assignment: &found[i], policy: p}).wire())
	}
	list.Secrets, list.Data, list.HasMore = items, items, len(found) > q.Limit
	if list.HasMore {
		next := s.cursors.Write(tenant, query, items[len(items)-1].Path)
		list.Cursor = &next
	}
	return list, nil
}

// wire is an assignment as it is answered.
func (h *held) wire() vaultapi.RotationAssignment {
	w := vaultapi.RotationAssignment{
		Path: h.path, SecretPath: h.path, PolicyID: h.policyID, Owner: h.policy.owner, AttachedBy: h.attachedBy, State: h.state,
		LastRotatedAt: vaultapi.MaybeAt(h.last), Failures: h.failures, LastError: h.failure(),
		PreviousVersion: h.previous, CurrentVersion: h.current, GraceEnds: vaultapi.MaybeAt(h.graceEnds), CreatedAt: vaultapi.AtMicros(h.created),
	}
	if h.listed == 1 {
		w.NextRotationAt = vaultapi.MaybeAt(&h.next)
	}
	return w
}
