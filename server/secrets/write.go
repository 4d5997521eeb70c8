package secrets

import (
	"context"
	"errors"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

// Write appends a version to the secret at p, or makes the secret: then the answer's Version is 1
// (contract section 3.4, OC-5). The value is sealed before the transaction.
func (s *Service) Write(ctx context.Context, who guard.Caller, p Path, in vaultapi.WriteRequest) (vaultapi.SecretInfo, error) {
	a := access(ActionWrite, ScopeWrite, policy.Write, p)
	if in.GenerateFrom != "" {
		return s.writeGenerated(ctx, who, a, in)
	}
	d, err := s.sealed(ctx, who, a, in)
	if err != nil {
		return refused[vaultapi.SecretInfo](ctx, s.guard, who, a, err)
	}
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretInfo, error) {
		return s.write(c, p.text, d, s.told)
	})
}

// sealed checks a write, without work for those who may not write, and seals its value.
func (s *Service) sealed(ctx context.Context, who guard.Caller, a guard.Access, in vaultapi.WriteRequest) (draft, error) {
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil {
		return draft{}, err
	}
	if err := (Path{a.Path}).checkWritable(); err != nil {
		return draft{}, err
	}
	d, err := newDraft(in)
	if err != nil {
		return draft{}, err
	}
	data, err := compactData(in.Data)
	if err != nil {
		return draft{}, err
	}
	d.uid = newUID()
	d.key, d.sealed, err = s.keys.Seal(ctx, seal.Ref{Tenant: who.Tenant, Path: a.Path, UID: d.uid}, data)
	if err != nil {
		return draft{}, sealing(err, a.Path)
	}
	return d, nil
}

// told tells the domain of rotation of a write, and attaches the secret where that was asked for.
func (s *Service) told(c *guard.Call, h *head, d draft) (rotation bool, retire time.Time, err error) {
	if h.rotation != nil {
		if rotation, retire, err = s.rotations.Written(c, h.path, h.version); err != nil {
			return false, time.Time{}, err
		}
	}
	if d.rotation != "" {
		id, err := s.rotations.Attach(c, h.path, d.rotation)
		if err != nil {
			return false, time.Time{}, err
		}
		h.rotation = &id
		return rotation, retire, linkRotation(c.Tx, c.Who.Tenant, h.path, h.rotation)
	}
	return rotation, retire, nil
}

// write appends a version. settle is asked within the transaction whether it is a rotation, and when the versions
// before it stop being readable; zero: as long as they are kept.
func (s *Service) write(c *guard.Call, path string, d draft, settle func(*guard.Call, *head, draft) (bool, time.Time, error)) (vaultapi.SecretInfo, error) {
	var zero vaultapi.SecretInfo
	tenant := c.Who.Tenant
	h, err := s.place(c, path, d)
	if err != nil {
		return zero, err
	}
	ref := seal.Ref{Tenant: tenant, Path: path, UID: d.uid, Version: h.version}
	v := newVersion{draft: d, number: h.version, created: h.updated, by: c.Who.ID}
	if v.keyVersion, v.wrapped, err = s.keys.Wrap(c.Tx, ref, d.key); err != nil {
		return zero, sealing(err, path)
	}
	if err := insertVersion(c.Tx, tenant, path, v); err != nil {
		return zero, err
	}
	if err := pruneVersions(c.Tx, tenant, path, h.version-h.maxVersions); err != nil {
		return zero, err
	}
	s.forget(c.Tx, tenant, path)
	c.Note("version", h.version)
	rotation, retire, err := settle(c, &h, d)
	if err != nil {
		return zero, err
	}
	if err := retireBefore(c.Tx, tenant, path, h.version, retire); err != nil {
		return zero, err
	}
	info, err := h.info(d.uid)
	if err != nil {
		return zero, err
	}
	return info, emitWritten(c, info, rotation)
}

// place writes the head that the new version belongs to. Taking or locking the head's row puts writers of
// one path in order. Where two make the same path at once, the second finds it taken and looks again.
func (s *Service) place(c *guard.Call, path string, d draft) (head, error) {
	tenant := c.Who.Tenant
	const rounds = 3
	for range rounds {
		old, err := lockHead(s.db, c.Tx, tenant, path)
		if err != nil {
			return head{}, err
		}
		h, err := next(path, old, d, c.Now())
		if err != nil {
			return head{}, err
		}
		if h.version > 1 {
			return h, s.replaceHead(c, *old, h)
		}
		if old != nil {
			if err := s.erase(c, *old); err != nil {
				return head{}, err
			}
		}
		made, err := insertHead(c.Tx, tenant, h)
		if err != nil {
			return head{}, err
		}
		if made {
			return h, s.scheduleNotice(c, h, false)
		}
	}
	return head{}, fault.Internal(errors.New("made and removed again and again"), "secret %s", path)
}

func (s *Service) replaceHead(c *guard.Call, old, h head) error {
	if err := updateHead(c.Tx, c.Who.Tenant, h); err != nil {
		return err
	}
	return s.scheduleNotice(c, h, old.notice != nil)
}

// forget drops what is in memory of a path once the change is committed.
func (s *Service) forget(tx *store.Tx, tenant, path string) {
	if s.cache != nil {
		tx.AfterCommit(func() {
			s.cache.forget(tenant, path)
			s.pages.forget(tenant)
		})
	}
}
