package secrets

import (
	"context"
	"fmt"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
)

// Recipes makes values by secret policies.
type Recipes interface {
	// Generate makes the fields of an active policy of a tenant, found by id or name. It may take seconds.
	Generate(ctx context.Context, tenant, policy string) (id string, made generate.Result, err error)
	// Find keeps a policy from being deleted until the transaction ends, and gives its id.
	Find(c *guard.Call, policy string) (id string, err error)
}

// writeGenerated is Write where a secret policy makes the value (contract section 3.4). It is made once, before any
// transaction. Its fields replace those of their names in the newest version, so a write that comes between is read
// and filled again; where the caller named the version, that is his conflict.
func (s *Service) writeGenerated(ctx context.Context, who guard.Caller, a guard.Access, in vaultapi.WriteRequest) (vaultapi.SecretInfo, error) {
	recipe, made, err := s.generate(ctx, who, a, in)
	if err != nil {
		return refused[vaultapi.SecretInfo](ctx, s.guard, who, a, err)
	}
	var info vaultapi.SecretInfo
	for range mostRefills {
		var filled vaultapi.WriteRequest
		if filled, err = s.filled(ctx, who.Tenant, a.Path, in, made); err != nil {
			return refused[vaultapi.SecretInfo](ctx, s.guard, who, a, err)
		}
		info, err = s.writeFilled(ctx, who, a, filled, recipe)
		if in.Options.CASVersion != nil || !fault.Is(err, fault.CodeVersionConflict) {
			return info, err
		}
	}
	return info, err
}

// mostRefills is how often somebody else may write between the look at the newest version and ours.
const mostRefills = 10

// generate checks all of the write that can be checked before there is a value, and makes the value.
func (s *Service) generate(ctx context.Context, who guard.Caller, a guard.Access, in vaultapi.WriteRequest) (string, generate.Result, error) {
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil {
		return "", generate.Result{}, err
	}
	if len(in.Data) > 0 && string(in.Data) != "null" {
		return "", generate.Result{}, invalid("data", "generate_from makes the value: leave data out, or generate_from")
	}
	if err := (Path{a.Path}).checkWritable(); err != nil {
		return "", generate.Result{}, err
	}
	if _, err := newDraft(in); err != nil {
		return "", generate.Result{}, err
	}
	return s.recipes.Generate(ctx, who.Tenant, in.GenerateFrom)
}

// filled is the write with its value: the newest version's fields, and over them what was made. It is good on top of
// that version only.
func (s *Service) filled(ctx context.Context, tenant, path string, in vaultapi.WriteRequest, made generate.Result) (vaultapi.WriteRequest, error) {
	old, newest, err := s.newest(ctx, tenant, path)
	if err != nil {
		return in, err
	}
	if asked := in.Options.CASVersion; asked != nil && *asked != newest {
		return in, conflict(path, newest)
	}
	in.Options.CASVersion = &newest
	if in.Data, err = made.Over(old.Reveal()); err != nil {
		return in, fault.Internal(err, "secret %s", path)
	}
	return in, nil
}

// newest opens the newest version of a secret and tells its number: 0 where there is none. An expired value counts
// for nothing any more.
func (s *Service) newest(ctx context.Context, tenant, path string) (seal.Plaintext, int64, error) {
	row, _, err := versionRow(ctx, s.db, tenant, path, 0)
	if err != nil || row == nil {
		return seal.Plaintext{}, 0, reading(err)
	}
	switch err := readable(row, path, 0, s.guard.Now()); {
	case fault.Is(err, fault.CodeSecretNotFound):
		return seal.Plaintext{}, row.newest, nil
	case err != nil:
		return seal.Plaintext{}, 0, err
	}
	old, err := s.keys.OpenValue(ctx, seal.Ref{Tenant: tenant, Path: path, UID: row.uid, Version: row.newest}, row.sealed)
	if err != nil {
		return seal.Plaintext{}, 0, sealing(err, path)
	}
	return old, row.newest, nil
}

// writeFilled writes a version and links the secret to its recipe.
func (s *Service) writeFilled(ctx context.Context, who guard.Caller, a guard.Access, in vaultapi.WriteRequest, recipe string) (vaultapi.SecretInfo, error) {
	d, err := s.sealed(ctx, who, a, in)
	if err != nil {
		return refused[vaultapi.SecretInfo](ctx, s.guard, who, a, err)
	}
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretInfo, error) {
		id, err := s.recipes.Find(c, recipe) // before the secret's row, as whoever deletes a policy does
		if err != nil {
			return vaultapi.SecretInfo{}, err
		}
		c.Note("secret_policy_id", id)
		info, err := s.write(c, a.Path, d, s.told)
		if err != nil {
			return info, err
		}
		info.SecretPolicyID = &id
		_, err = c.Tx.Exec(`UPDATE secrets SET secret_policy_id = $3 WHERE tenant = $1 AND path = $2`, who.Tenant, a.Path, id)
		if err != nil {
			return info, fmt.Errorf("secret policy of %s: %w", a.Path, err)
		}
		return info, nil
	})
}

// SecretPolicyUses counts the secrets that were generated from a secret policy. One that is deleted does not count.
func (s *Service) SecretPolicyUses(c *guard.Call, id string) (int64, error) {
	var uses int64
	const query = `SELECT COUNT(*) FROM secrets WHERE tenant = $1 AND secret_policy_id = $2 AND deleted_at IS NULL`
	if err := c.Tx.QueryRow(query, c.Who.Tenant, id).Scan(&uses); err != nil {
		return 0, fmt.Errorf("secrets of secret policy %s: %w", id, err)
	}
	return uses, nil
}

// DropSecretPolicy takes a secret policy from all secrets, deleted ones too; their values stay.
func (s *Service) DropSecretPolicy(c *guard.Call, id string) error {
	const query = `UPDATE secrets SET secret_policy_id = NULL WHERE tenant = $1 AND secret_policy_id = $2 RETURNING path`
	var paths []string
	err := each(c.Tx.Context(), within{c.Tx}, query, []any{c.Who.Tenant, id}, func(row scanner) error {
		var path string
		err := row.Scan(&path)
		paths = append(paths, path)
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range paths {
		s.forget(c.Tx, c.Who.Tenant, path)
	}
	return nil
}
