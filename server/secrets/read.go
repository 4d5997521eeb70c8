package secrets

import (
	"context"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
)

// Secret is one version of a secret with its value. Its maps and lists are shared: do not change them.
type Secret struct {
	vaultapi.SecretInfo
	Data seal.Plaintext // a JSON object
}

// Read opens one version of the secret at p; version 0 is the newest. A deleted or expired secret is
// secret_not_found, a version that never was or is no longer kept version_not_found (contract OC-5).
func (s *Service) Read(ctx context.Context, who guard.Caller, p Path, version int64) (Secret, error) {
	a := access(ActionRead, ScopeRead, policy.Read, p)
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) (Secret, error) {
		if err := checkVersion(version); err != nil {
			return Secret{}, err
		}
		row, err := s.row(ctx, c, p.text, version)
		if err != nil {
			return Secret{}, err
		}
		return s.open(ctx, c, p.text, version, row)
	})
}

func checkVersion(version int64) error {
	if version < 0 {
		return invalid("version", "version must be 1 or more; without it the newest is read")
	}
	return nil
}

// row reads a sealed version, from memory where it is the newest and was read before. It tells the call the
// policy revision that the same query saw.
func (s *Service) row(ctx context.Context, c *guard.Call, path string, version int64) (*sealedRow, error) {
	tenant := c.Who.Tenant
	row, ticket := s.cache.get(tenant, path)
	if row != nil && (version == 0 || version == row.newest) {
		return row, nil
	}
	row, revision, err := versionRow(ctx, s.db, tenant, path, version)
	if err != nil {
		return nil, reading(err)
	}
	c.Saw(revision)
	if row != nil && row.info.Version == row.newest {
		s.cache.put(tenant, path, row, ticket)
	}
	return row, nil
}

// readable says why a row, nil where there is no live secret, has no value to give.
func readable(row *sealedRow, path string, version int64, now time.Time) error {
	switch {
	case row == nil:
		return notFound(path)
	case row.expires != nil && *row.expires <= now.UnixMicro():
		return expired(path)
	case row.uid == "" && version == 0:
		return fault.Internal(seal.ErrTampered, "secret %s lacks its newest version", path)
	case row.uid == "", retired(row.retires, row.info.Version == row.newest, now):
		return versionNotFound(path, version)
	}
	return nil
}

// retired tells whether a version is kept, but not readable any more (contract OC-13). The newest never is.
func retired(at *int64, newest bool, now time.Time) bool {
	return at != nil && !newest && *at <= now.UnixMicro()
}

// open answers with the value of a row.
func (s *Service) open(ctx context.Context, c *guard.Call, path string, version int64, row *sealedRow) (Secret, error) {
	if err := readable(row, path, version, c.Now()); err != nil {
		return Secret{}, err
	}
	ref := seal.Ref{Tenant: c.Who.Tenant, Path: path, UID: row.uid, Version: row.info.Version}
	value, err := s.keys.OpenValue(ctx, ref, row.sealed)
	if err != nil {
		return Secret{}, sealing(err, path)
	}
	c.Note("version", row.info.Version)
	return Secret{SecretInfo: row.info, Data: value}, nil
}
