package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/scailabs/scaivault/internal/generate"
	permission "github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
)

// Statuses of a rotation that was asked for (contract OC-12).
const (
	StatusCompleted = "completed"
	StatusPending   = "pending"
)

const (
	reasonManual = "manual"
	maxReason    = 256
	mostPaths    = 1000 // of one call
)

// RotateSecret rotates a secret now: with a generated value where its rotation policy or its own secret policy says
// how, else it announces that somebody has to write one. Scope secrets:rotate, permission rotate. Errors:
// secret_not_found, validation_error.
func (s *Service) RotateSecret(ctx context.Context, who guard.Caller, path string, in vaultapi.SecretRotation) (vaultapi.SecretRotated, error) {
	a := guard.Access{Action: ActionRotate, Scope: ScopeRotate, Permission: permission.Rotate, Path: path}
	item, err := s.rotate(ctx, who, a, asking{reason: in.Reason})
	if err != nil {
		return vaultapi.SecretRotated{}, err
	}
	out := vaultapi.SecretRotated{
		Path: path, Status: StatusPending, OldVersion: item.OldVersion, NewVersion: item.NewVersion,
		GracePeriodEnds: item.GracePeriodEnds, Reason: item.Reason,
	}
	if item.Status == statusSuccess {
		out.Status = StatusCompleted
	} else {
		out.DueAt = item.DueAt
	}
	return out, nil
}

// asking is what a caller says of a rotation. policyID is the policy that the path must be under; "": any or none.
type asking struct{ reason, policyID, policyName string }

// rotate does one rotation that a caller asks for, now.
func (s *Service) rotate(ctx context.Context, who guard.Caller, a guard.Access, ask asking) (vaultapi.RotationHistoryItem, error) {
	h, recipe, err := s.rotatable(ctx, who, a, ask)
	if err != nil {
		_, err = guard.Do(ctx, s.guard, who, a, func(*guard.Call) (struct{}, error) { return struct{}{}, unread(err) })
		return vaultapi.RotationHistoryItem{}, err
	}
	if ask.reason == "" {
		ask.reason = reasonManual
	}
	switch {
	case h != nil && h.timing.generates:
		return s.rotateAssigned(ctx, who, a, h, ask.reason)
	case h == nil && recipe != "":
		return s.rotateByRecipe(ctx, who, a, recipe, ask.reason)
	}
	return s.askForWrite(ctx, who, a, ask.reason)
}

// rotatable finds what a caller who may rotate a path asks for: its assignment, if it has one, and else its own recipe.
func (s *Service) rotatable(ctx context.Context, who guard.Caller, a guard.Access, ask asking) (*held, string, error) {
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil {
		return nil, "", err
	}
	if len(ask.reason) > maxReason || !printable(ask.reason) {
		return nil, "", fault.Validation(map[string]string{"reason": fmt.Sprintf("at most %d printable characters", maxReason)})
	}
	recipe, err := s.heads.Recipe(ctx, who.Tenant, a.Path)
	if err != nil {
		return nil, "", err
	}
	h, err := s.find(ctx, who.Tenant, a.Path)
	if err == nil && ask.policyID != "" && (h == nil || h.policyID != ask.policyID) {
		err = notAssigned(a.Path, ask.policyName)
	}
	return h, recipe, err
}

func printable(s string) bool {
	return !slices.ContainsFunc([]rune(s), func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

// rotateAssigned generates by the policy. Its job is planned anew, so that a rotation that is being done by it at the
// same time is lost and not done twice.
func (s *Service) rotateAssigned(ctx context.Context, who guard.Caller, a guard.Access, h *held, reason string) (vaultapi.RotationHistoryItem, error) {
	var result done
	r := rotating{who: who, path: a.Path, reason: reason, policyID: h.policyID, result: &result}
	err := s.regenerate(ctx, r, h.policy.settings, func(c *guard.Call, h *held) error { return s.book.keep(c, h) })
	if err != nil {
		return vaultapi.RotationHistoryItem{}, lostIsConflict(err, a.Path)
	}
	return result.item(who, a.Path, h.policyID, s.guard.Now()), nil
}

// lostIsConflict: the policy was changed, or the path detached, while the value was made.
func lostIsConflict(err error, path string) error {
	if !errors.Is(err, jobs.ErrLost) {
		return err
	}
	return fault.Conflict(fault.CodeVersionConflict, "%s was put under another rotation policy meanwhile: try again", path).With("path", path)
}

func (d done) item(who guard.Caller, path, policyID string, at time.Time) vaultapi.RotationHistoryItem {
	ends := vaultapi.At(d.graceEnds)
	return vaultapi.RotationHistoryItem{
		ID: d.id, Path: path, PolicyID: policyID, Status: statusSuccess, Reason: d.reason, IdentityID: who.ID,
		OldVersion: d.old, NewVersion: d.now, GracePeriodEnds: &ends, Timestamp: vaultapi.At(at),
	}
}

// rotateByRecipe generates by the secret's own secret policy, where it is under no rotation policy.
func (s *Service) rotateByRecipe(ctx context.Context, who guard.Caller, a guard.Access, recipe, reason string) (vaultapi.RotationHistoryItem, error) {
	d := done{reason: reason, generated: true}
	fill := func(names []string) (generate.Result, error) {
		return s.made(ctx, who.Tenant, settings{SecretPolicyID: recipe}, names)
	}
	err := s.writer.Regenerate(ctx, who, a, fill, func(c *guard.Call, old, next int64) (time.Time, error) {
		d.old, d.now, d.graceEnds = old, next, c.Now()
		if reason != reasonCompromise {
			d.graceEnds = c.Now().Add(schedule.DefaultGrace)
		}
		return d.graceEnds, c.Emit(EventRotated, a.Path, rotatedData{
			OldVersion: old, NewVersion: next, GracePeriodEnds: vaultapi.At(d.graceEnds), AutoGenerated: true,
		})
	})
	if err != nil {
		return vaultapi.RotationHistoryItem{}, err
	}
	return d.item(who, a.Path, "", s.guard.Now()), nil
}

// askForWrite announces that somebody has to write. On a path under a policy the next write is then the rotation.
func (s *Service) askForWrite(ctx context.Context, who guard.Caller, a guard.Access, reason string) (vaultapi.RotationHistoryItem, error) {
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.RotationHistoryItem, error) {
		c.Note("reason", reason)
		at := vaultapi.At(c.Now())
		item := vaultapi.RotationHistoryItem{Path: a.Path, Status: statusPending, Reason: reason, IdentityID: who.ID, DueAt: &at, Timestamp: at}
		h, err := s.book.hold(c, a.Path)
		if err != nil {
			return item, err
		}
		if h == nil {
			return item, c.Emit(EventDue, a.Path, dueData{DueAt: at, DueNow: true, Reason: reason})
		}
		if h.reason != reasonCompromise { // nobody takes that back by asking again
			h.reason = reason
		}
		if h.due > c.Now().UnixMicro() {
			h.next, h.due = c.Now().UnixMicro(), c.Now().UnixMicro()
		}
		if err := s.book.due(c, h); err != nil {
			return item, err
		}
		item.ID, item.PolicyID = h.pending, h.policyID
		return item, s.book.keep(c, h)
	})
}

// RotatePolicy rotates secrets of a policy now, each judged and recorded for itself: the named ones, or all that the
// caller may see, if the policy has at most 1000. Scope secrets:rotate, permission rotate on each path; what befell a path is in its item.
// Errors: rotation_policy_not_found, validation_error.
func (s *Service) RotatePolicy(ctx context.Context, who guard.Caller, ref string, in vaultapi.PolicyRotation) ([]vaultapi.RotationHistoryItem, error) {
	a := guard.Access{Action: ActionRotate, Scope: ScopeRotate}
	if isName(ref) {
		a.Target = ref
	}
	p, paths, err := s.asked(ctx, who, a, ref, in)
	if err != nil {
		_, err = guard.Do(ctx, s.guard, who, a, func(*guard.Call) (struct{}, error) { return struct{}{}, unread(err) })
		return nil, err
	}
	items := make([]vaultapi.RotationHistoryItem, 0, len(paths))
	for _, path := range paths {
		one := guard.Access{Action: ActionRotate, Scope: ScopeRotate, Permission: permission.Rotate, Path: path}
		item, err := s.rotate(ctx, who, one, asking{in.Reason, p.id, p.name})
		if fault.Is(err, fault.CodeUnavailable) {
			return nil, err
		}
		if err != nil {
			f := fault.From(err)
			item = vaultapi.RotationHistoryItem{
				Path: path, PolicyID: p.id, Status: statusFailed, Reason: in.Reason, IdentityID: who.ID, Timestamp: vaultapi.At(s.guard.Now()),
				Error: &vaultapi.BatchError{Code: f.Code, Message: f.Message},
			}
		}
		items = append(items, item)
	}
	return items, nil
}

func (s *Service) asked(ctx context.Context, who guard.Caller, a guard.Access, ref string, in vaultapi.PolicyRotation) (policy, []string, error) {
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil {
		return policy{}, nil, err
	}
	p, err := s.book.policyOf(s.row(ctx), who.Tenant, ref)
	if err != nil {
		return policy{}, nil, err
	}
	paths := in.SecretPaths
	if paths == nil {
		page, err := s.assignmentPage(ctx, who.Tenant, p, AssignmentQuery{Limit: mostPaths})
		if err != nil {
			return policy{}, nil, err
		}
		if page.HasMore {
			return policy{}, nil, fault.Validation(map[string]string{
				"secret_paths": fmt.Sprintf("the policy has more than %d secrets: name those to rotate", mostPaths),
			})
		}
		visible, err := s.visible(ctx, who)
		if err != nil {
			return policy{}, nil, err
		}
		for _, one := range page.Secrets {
			if visible(one.Path) {
				paths = append(paths, one.Path)
			}
		}
	}
	if len(paths) > mostPaths {
		return policy{}, nil, fault.Validation(map[string]string{"secret_paths": fmt.Sprintf("at most %d", mostPaths)})
	}
	return p, paths, nil
}
