package secrets

import (
	"context"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// Versions lists the kept versions of the secret at p, newest first. There are never more than
// max_versions, so they come in one answer.
func (s *Service) Versions(ctx context.Context, who guard.Caller, p Path) (vaultapi.VersionList, error) {
	a := access(ActionVersionsRead, ScopeList, policy.List, p)
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.VersionList, error) {
		var versions []vaultapi.SecretVersion
		err := each(ctx, s.db, queryHistory, []any{c.Who.Tenant, p.text}, func(row scanner) error {
			v, revision, err := scanHistory(row, c.Now())
			versions = append(versions, v)
			c.Saw(revision)
			return err
		})
		if err != nil {
			return vaultapi.VersionList{}, err
		}
		if len(versions) == 0 {
			return vaultapi.VersionList{}, notFound(p.text)
		}
		return vaultapi.VersionList{Path: p.text, Versions: versions, Data: versions}, nil
	})
}

const queryHistory = `SELECT v.version, v.uid, v.created_at, v.created_by, v.retires_at, h.version, (SELECT policy_revision FROM tenants t WHERE t.id = h.tenant)
FROM secrets h JOIN secret_versions v ON v.tenant = h.tenant AND v.path = h.path
WHERE h.tenant = $1 AND h.path = $2 AND h.deleted_at IS NULL ORDER BY v.version DESC`

func scanHistory(row scanner, now time.Time) (vaultapi.SecretVersion, int64, error) {
	var (
		v                         vaultapi.SecretVersion
		uid                       string
		created, newest, revision int64
		retires                   *int64
	)
	err := row.Scan(&v.Version, &uid, &created, &v.CreatedBy, &retires, &newest, &revision)
	v.Etag, v.CreatedAt, v.Status = etag(uid), vaultapi.AtMicros(created), "previous"
	switch {
	case v.Version == newest:
		v.Status = "current"
	case retired(retires, false, now):
		v.Status = "retired"
		fallthrough
	default:
		v.ReadableUntil = vaultapi.MaybeAt(retires)
	}
	return v, revision, err
}

const queryCurrent = `SELECT h.version, v.created_at FROM secrets h
JOIN secret_versions v ON v.tenant = h.tenant AND v.path = h.path AND v.version = h.version
WHERE h.tenant = $1 AND h.path = $2 AND h.deleted_at IS NULL`

// Current gives the newest version of a secret and when it was made, to another domain that has asked whether its
// caller may know. Errors: secret_not_found.
func (s *Service) Current(ctx context.Context, tenant, path string) (version int64, made time.Time, err error) {
	found := false
	err = each(ctx, s.db, queryCurrent, []any{tenant, path}, func(row scanner) error {
		var created int64
		err := row.Scan(&version, &created)
		found, made = true, time.UnixMicro(created).UTC()
		return err
	})
	if err == nil && !found {
		err = notFound(path)
	}
	return version, made, err
}
