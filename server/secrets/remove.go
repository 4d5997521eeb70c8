package secrets

import (
	"context"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// Delete deletes the secret at p: softly, so that it can be restored for the time of retention, or
// permanently, which a soft-deleted secret can be too (contract section 3.3, OC-5).
func (s *Service) Delete(ctx context.Context, who guard.Caller, p Path, permanent bool) (vaultapi.DeleteResult, error) {
	a := access(ActionDelete, ScopeDelete, policy.Delete, p)
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.DeleteResult, error) {
		h, err := lockHead(s.db, c.Tx, c.Who.Tenant, p.text)
		if err != nil {
			return vaultapi.DeleteResult{}, err
		}
		if h == nil || h.deleted != nil && !permanent {
			return vaultapi.DeleteResult{}, notFound(p.text)
		}
		if permanent {
			return s.removeForGood(c, *h)
		}
		return s.softDelete(c, *h)
	})
}

func (s *Service) softDelete(c *guard.Call, h head) (vaultapi.DeleteResult, error) {
	deleted, purge := c.Now().UnixMicro(), c.Now().Add(s.retention).UnixMicro()
	h.deleted, h.purge = &deleted, &purge
	result, err := s.result(c, h, false)
	if err != nil {
		return result, err
	}
	if err := updateHead(c.Tx, c.Who.Tenant, h); err != nil {
		return result, err
	}
	if err := s.live(c, h, false); err != nil {
		return result, err
	}
	if err := s.schedulePurge(c, h); err != nil {
		return result, err
	}
	return result, s.announceDeletion(c, result)
}

// schedulePurge has h removed when its retention ends; its expiry is not announced while it is deleted.
func (s *Service) schedulePurge(c *guard.Call, h head) error {
	if h.notice != nil {
		if err := s.jobs.Cancel(c.Tx, jobExpiry, c.Who.Tenant, h.path); err != nil {
			return err
		}
	}
	return s.jobs.Schedule(c.Tx, jobPurge, c.Who.Tenant, h.path, time.UnixMicro(*h.purge))
}

// unschedulePurge keeps h; of the notices that passed while it was deleted the newest is announced now.
func (s *Service) unschedulePurge(c *guard.Call, h head) error {
	if err := s.jobs.Cancel(c.Tx, jobPurge, c.Who.Tenant, h.path); err != nil {
		return err
	}
	return s.scheduleNotice(c, h, false)
}

// live tells the domain of rotation whether a secret under a policy is there.
func (s *Service) live(c *guard.Call, h head, live bool) error {
	if h.rotation == nil {
		return nil
	}
	return s.rotations.Live(c, h.path, live)
}

// erase removes a secret with all that belongs to it, and what was to be done with it.
func (s *Service) erase(c *guard.Call, h head) error {
	if h.rotation != nil {
		if _, err := s.rotations.Attach(c, h.path, ""); err != nil {
			return err
		}
	}
	for _, kind := range []string{jobPurge, jobExpiry} {
		if err := s.jobs.Cancel(c.Tx, kind, c.Who.Tenant, h.path); err != nil {
			return err
		}
	}
	return removeRows(c.Tx, c.Who.Tenant, h.path)
}

func (s *Service) removeForGood(c *guard.Call, h head) (vaultapi.DeleteResult, error) {
	result, err := s.result(c, h, true)
	if err != nil {
		return result, err
	}
	if err := s.erase(c, h); err != nil {
		return result, err
	}
	return result, s.announceDeletion(c, result)
}

func (s *Service) result(c *guard.Call, h head, permanent bool) (vaultapi.DeleteResult, error) {
	r := vaultapi.DeleteResult{Path: h.path, Deleted: true, Permanent: permanent, DeletedAt: vaultapi.At(c.Now())}
	if !permanent {
		r.RecoverableUntil = vaultapi.MaybeAt(h.purge)
	}
	const query = `SELECT COUNT(*) FROM secret_versions WHERE tenant = $1 AND path = $2`
	if err := c.Tx.QueryRow(query, c.Who.Tenant, h.path).Scan(&r.VersionCount); err != nil {
		return r, fmt.Errorf("versions of %s: %w", h.path, err)
	}
	return r, nil
}

func (s *Service) announceDeletion(c *guard.Call, r vaultapi.DeleteResult) error {
	s.forget(c.Tx, c.Who.Tenant, r.Path)
	c.Note("permanent", r.Permanent)
	return c.Emit(EventDeleted, r.Path, deletedData{
		VersionCount: r.VersionCount, DeletedBy: c.Who.ID, Permanent: r.Permanent, RecoverableUntil: r.RecoverableUntil,
	})
}

// Restore undoes a soft delete within the time of retention. Restoring a secret that is not deleted changes
// nothing and is no error, so that the call may be repeated. Scope and permission are those of deleting, or
// those of writing (contract section 3.3).
func (s *Service) Restore(ctx context.Context, who guard.Caller, p Path) (vaultapi.SecretInfo, error) {
	a := s.restoreAccess(ctx, who, p)
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretInfo, error) {
		h, err := lockHead(s.db, c.Tx, c.Who.Tenant, p.text)
		if err != nil {
			return vaultapi.SecretInfo{}, err
		}
		if h.gone(c.Now()) {
			return vaultapi.SecretInfo{}, notFound(p.text)
		}
		wasDeleted := h.deleted != nil
		h.deleted, h.purge = nil, nil
		info, err := s.rewritten(c, *h)
		if err != nil || !wasDeleted {
			return info, err
		}
		if err := s.live(c, *h, true); err != nil {
			return info, err
		}
		if err := s.unschedulePurge(c, *h); err != nil {
			return info, err
		}
		return info, c.Emit(EventRestored, p.text, restoredData{Version: h.version, RestoredBy: c.Who.ID})
	})
}

// restoreAccess chooses what the caller is judged by: the right to delete, unless only that to write holds.
func (s *Service) restoreAccess(ctx context.Context, who guard.Caller, p Path) guard.Access {
	byDelete := access(ActionRestore, ScopeDelete, policy.Delete, p)
	if _, err := s.guard.Check(ctx, who, byDelete, 0); err != nil {
		byWrite := access(ActionRestore, ScopeWrite, policy.Write, p)
		if _, err := s.guard.Check(ctx, who, byWrite, 0); err == nil {
			return byWrite
		}
	}
	return byDelete
}
