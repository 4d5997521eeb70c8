package rotation

import (
	"context"
	"time"

	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Grace moves the time at which the previous version of a rotated secret stops being readable: within now and the
// rotation plus the policy's grace, whichever of grace_period and grace_hold is longer. Rights as of Attach. Errors:
// validation_error, invalid_duration, assignment_not_found, version_not_found where the version is not in its grace.
func (s *Service) Grace(ctx context.Context, who guard.Caller, ref, path string, w vaultapi.RotationGrace) (vaultapi.RotationAssignment, error) {
	return guard.Change(ctx, s.guard, who, s.attaching(ActionGrace, who, path), func(c *guard.Call) (vaultapi.RotationAssignment, error) {
		var zero vaultapi.RotationAssignment
		p, err := s.attachable(c, ref, path)
		if err != nil {
			return zero, err
		}
		ends, err := graceEnd(w, c.Now())
		if err != nil {
			return zero, err
		}
		h, err := s.book.hold(c, path)
		if err != nil {
			return zero, err
		}
		if h == nil || h.policyID != p.id {
			return zero, notAssigned(path, p.name)
		}
		if err := h.moveGrace(w.Version, ends, c.Now()); err != nil {
			return zero, err
		}
		c.Note("version", w.Version)
		c.Note("ends_at", ends.UTC().Format(time.RFC3339))
		if err := s.heads.Retire(c, path, w.Version, time.UnixMicro(*h.graceEnds)); err != nil {
			return zero, err
		}
		return h.wire(), save(c.Tx, who.Tenant, h.assignment)
	})
}

// graceEnd reads when a grace is to end.
func graceEnd(w vaultapi.RotationGrace, now time.Time) (time.Time, error) {
	switch {
	case (w.EndsAt == "") == (w.EndsIn == ""):
		return now, fault.Validation(map[string]string{"ends_at": "and ends_in: give exactly one of them"})
	case w.EndsIn == "0s":
		return now, nil
	case w.EndsIn != "":
		d, err := schedule.ParseDuration(w.EndsIn)
		if err != nil {
			return now, fault.Invalid(fault.CodeInvalidDuration, "ends_in is not a duration such as 12h, or 0s").With("field", "ends_in")
		}
		return now.Add(d), nil
	}
	at, err := vaultapi.ParseTime(w.EndsAt)
	if err != nil {
		return now, fault.Validation(map[string]string{"ends_at": "must be an RFC 3339 time such as 2026-01-31T12:00:00Z"})
	}
	return at, nil
}

// moveGrace changes the end of a version's grace, within its bounds. A time in the past is now.
func (h *held) moveGrace(version int64, ends, now time.Time) error {
	if version == 0 || version != h.previous || h.last == nil {
		return fault.NotFound(fault.CodeVersionNotFound, "version %d of %s is not the one that the last rotation replaced", version, h.path).
			With("path", h.path).With("version", version).With("previous_version", h.previous)
	}
	latest := time.UnixMicro(*h.last).Add(h.timing.Hold)
	if ends.After(latest) {
		return fault.Validation(map[string]string{"ends_at": "must not be after " + latest.UTC().Format(time.RFC3339) + ", the rotation plus the policy's grace"})
	}
	if ends.Before(now) {
		ends = now
	}
	at := ends.UnixMicro()
	h.graceEnds = &at
	return nil
}
