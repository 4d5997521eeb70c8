package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
)

// This file is what the domain of rotation asks of secrets.

// Regenerate writes a version of the secret at a.Path in which some fields are new and the others as they were.
// fill is given the names of the fields that are there and returns the new ones; settle is part of the write's
// transaction and says when the versions before stop being readable. A write that comes between is not lost: all
// begins again with it, so fill and settle may run more than once. Errors: secret_not_found.
func (s *Service) Regenerate(ctx context.Context, who guard.Caller, a guard.Access,
	fill func(names []string) (generate.Result, error), settle func(c *guard.Call, old, next int64) (time.Time, error)) error {
	const rounds = 10
	var err error
	for range rounds {
		var d draft
		if d, err = s.regenerated(ctx, who, a, fill); err != nil {
			_, err = refused[struct{}](ctx, s.guard, who, a, err)
			return err
		}
		_, err = guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretInfo, error) {
			return s.write(c, a.Path, d, func(c *guard.Call, h *head, _ draft) (bool, time.Time, error) {
				retire, err := settle(c, h.version-1, h.version)
				return true, retire, err
			})
		})
		if !fault.Is(err, fault.CodeVersionConflict) {
			return err
		}
	}
	return err
}

// regenerated is a write on top of the newest version, sealed. It holds only if no other write comes between. The
// new version lives as long as the one before it did.
func (s *Service) regenerated(ctx context.Context, who guard.Caller, a guard.Access, fill func([]string) (generate.Result, error)) (draft, error) {
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil {
		return draft{}, err
	}
	tenant, path := who.Tenant, a.Path
	row, _, err := versionRow(ctx, s.db, tenant, path, 0)
	if err != nil {
		return draft{}, reading(err)
	}
	if err := readable(row, path, 0, s.guard.Now()); err != nil {
		return draft{}, err
	}
	d := draft{cas: &row.newest, uid: newUID()}
	if row.expires != nil {
		if d.expiresIn, err = s.lifeOf(ctx, tenant, path, row); err != nil {
			return draft{}, err
		}
	}
	old, err := s.keys.OpenValue(ctx, seal.Ref{Tenant: tenant, Path: path, UID: row.uid, Version: row.newest}, row.sealed)
	if err != nil {
		return draft{}, sealing(err, path)
	}
	data, err := refilled(old, fill)
	if err != nil {
		return draft{}, err
	}
	d.key, d.sealed, err = s.keys.Seal(ctx, seal.Ref{Tenant: tenant, Path: path, UID: d.uid}, data)
	if err != nil {
		return draft{}, sealing(err, path)
	}
	return d, nil
}

// lifeOf is how long the newest version was to live when it was written.
func (s *Service) lifeOf(ctx context.Context, tenant, path string, row *sealedRow) (time.Duration, error) {
	var created int64
	const query = `SELECT created_at FROM secret_versions WHERE tenant = $1 AND path = $2 AND version = $3`
	if err := s.db.QueryRow(ctx, query, tenant, path, row.newest).Scan(&created); err != nil {
		return 0, fmt.Errorf("version %d of %s: %w", row.newest, path, err)
	}
	return time.Duration(*row.expires-created) * time.Microsecond, nil
}

// refilled is a value with new fields in place of, or beside, the old ones.
func refilled(old seal.Plaintext, fill func([]string) (generate.Result, error)) ([]byte, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(old.Reveal(), &fields) != nil {
		return nil, fault.Internal(errors.New("not a JSON object"), "value of a secret") // the decoder's error would quote it
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	made, err := fill(names)
	if err != nil {
		return nil, err
	}
	data, err := made.Over(old.Reveal())
	if err != nil {
		return nil, fault.Internal(err, "generated value")
	}
	return compactData(data)
}

// Assign notes which rotation policy a secret is under, "" for none, and keeps the secret from changing until the
// transaction ends. It tells when its newest version was made. Only a secret that is there can be put under a policy.
func (s *Service) Assign(c *guard.Call, path, policyID string) (time.Time, error) {
	h, err := lockHead(s.db, c.Tx, c.Who.Tenant, path)
	switch {
	case err != nil:
		return time.Time{}, err
	case h == nil, h.deleted != nil && policyID != "":
		return time.Time{}, notFound(path)
	}
	var link *string
	if policyID != "" {
		link = &policyID
	}
	s.forget(c.Tx, c.Who.Tenant, path)
	if err := linkRotation(c.Tx, c.Who.Tenant, path, link); err != nil {
		return time.Time{}, err
	}
	var created int64
	const query = `SELECT created_at FROM secret_versions WHERE tenant = $1 AND path = $2 AND version = $3`
	if err := c.Tx.QueryRow(query, c.Who.Tenant, path, h.version).Scan(&created); err != nil {
		return time.Time{}, fmt.Errorf("version %d of %s: %w", h.version, path, err)
	}
	return time.UnixMicro(created), nil
}

// Retire sets when an older version stops being readable. Errors: version_not_found for the newest version, one that
// is not kept, and one that is retired already.
func (s *Service) Retire(c *guard.Call, path string, version int64, at time.Time) error {
	h, err := s.liveHead(c, path)
	if err != nil {
		return err
	}
	res, err := c.Tx.Exec(`UPDATE secret_versions SET retires_at = $5
WHERE tenant = $1 AND path = $2 AND version = $3 AND version < $4 AND (retires_at IS NULL OR retires_at > $6)`,
		c.Who.Tenant, path, version, h.version, at.UnixMicro(), c.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("retire version %d of %s: %w", version, path, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, versionNotFound(path, version))
	}
	return nil
}

// Recipe tells which secret policy the values of the secret at a path are made by, "" where there is none. Errors:
// secret_not_found.
func (s *Service) Recipe(ctx context.Context, tenant, path string) (id string, err error) {
	row, _, err := versionRow(ctx, s.db, tenant, path, 0)
	if err != nil {
		return "", reading(err)
	}
	if err := readable(row, path, 0, s.guard.Now()); err != nil {
		return "", err
	}
	if p := row.info.SecretPolicyID; p != nil {
		id = *p
	}
	return id, nil
}
