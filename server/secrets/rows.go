package secrets

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

// This file reads. Every query names the tenant.

const headColumns = `h.path, h.secret_type, h.version, h.max_versions, h.metadata, h.created_at, h.updated_at, h.expires_at, h.deleted_at, h.purge_at, h.rotation_policy_id, h.notify_before, h.notice_at, h.secret_policy_id`

func (h *head) dest() []any {
	return []any{&h.path, &h.secretType, &h.version, &h.maxVersions, &h.metadata, &h.created, &h.updated, &h.expires, &h.deleted, &h.purge, &h.rotation, &h.notifyBefore, &h.notice, &h.recipe}
}

// sealedRow is a live secret with one of its versions, still sealed. It is shared by readers once it is in
// the cache: nothing in it changes.
type sealedRow struct {
	info    vaultapi.SecretInfo // Version and Etag are those of the version that was read
	newest  int64
	expires *int64
	retires *int64 // of the version; nil: never
	uid     string // "": that version does not exist
	sealed  seal.Sealed
}

func (r *sealedRow) size() int64 {
	const fixed, perByteOfMetadata = 1024, 64
	return int64(fixed + len(r.sealed.Value) + len(r.sealed.Wrapped) + perByteOfMetadata*len(r.info.Metadata))
}

// queryVersions reads secrets with one version each, and the policy revision by which the reader must have
// been judged: a row comes for the tenant even where no secret is found. Its parts stand round the paths and
// the version.
const (
	queryVersions = `SELECT t.policy_revision, COALESCE(v.uid, ''), COALESCE(v.version, 0), COALESCE(v.key_version, 0), v.wrapped, v.sealed, v.retires_at,
 COALESCE(h.path, ''), COALESCE(h.secret_type, ''), COALESCE(h.version, 0), COALESCE(h.max_versions, 0), COALESCE(h.metadata, '{}'),
 COALESCE(h.created_at, 0), COALESCE(h.updated_at, 0), h.expires_at, h.deleted_at, h.purge_at, h.rotation_policy_id,
 COALESCE(h.notify_before, ''), h.notice_at, h.secret_policy_id
FROM tenants t LEFT JOIN secrets h ON h.tenant = t.id AND h.deleted_at IS NULL AND h.path IN (`
	joinVersion  = `) LEFT JOIN secret_versions v ON v.tenant = t.id AND v.path = h.path AND v.version = `
	whereTenant  = ` WHERE t.id = $1`
	queryNewest  = queryVersions + `$2` + joinVersion + newestOfHead + whereTenant
	queryOlder   = queryVersions + `$2` + joinVersion + `$3` + whereTenant
	newestOfHead = `h.version`
)

// versionRow reads one secret; version 0 is the newest. The row is nil where there is no live secret.
func versionRow(ctx context.Context, db *store.DB, tenant, path string, version int64) (*sealedRow, int64, error) {
	query, args := queryNewest, []any{tenant, path}
	if version != 0 {
		query, args = queryOlder, append(args, version)
	}
	row, revision, err := scanVersion(db.QueryRow(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("secret %s: %w", path, err)
	}
	return row, revision, nil
}

// versionRows is versionRow for many paths.
func versionRows(ctx context.Context, db *store.DB, tenant string, paths []string, version int64) (map[string]*sealedRow, int64, error) {
	found, revision := make(map[string]*sealedRow, len(paths)), int64(0)
	which, fixed := newestOfHead, []any{tenant}
	if version != 0 {
		which, fixed = "$2", append(fixed, version)
	}
	query := func(in string) string { return queryVersions + in + joinVersion + which + whereTenant }
	err := eachOf(ctx, db, manyPaths{query, fixed, paths}, func(s scanner) error {
		row, rev, err := scanVersion(s)
		revision = max(revision, rev)
		if err == nil && row != nil {
			found[row.info.Path] = row
		}
		return err
	})
	return found, revision, err
}

type scanner interface{ Scan(dest ...any) error }

func scanVersion(s scanner) (*sealedRow, int64, error) {
	var (
		h        head
		r        sealedRow
		revision int64
		number   int64
	)
	dest := append([]any{&revision, &r.uid, &number, &r.sealed.KeyVersion, &r.sealed.Wrapped, &r.sealed.Value, &r.retires}, h.dest()...)
	if err := s.Scan(dest...); err != nil {
		return nil, 0, err
	}
	if h.path == "" {
		return nil, revision, nil
	}
	info, err := h.info(r.uid)
	if err != nil {
		return nil, 0, err
	}
	r.info, r.newest, r.expires = info, h.version, h.expires
	r.info.Version = number
	return &r, revision, nil
}

// lockHead reads a secret's head, deleted or not, and keeps it from changing until tx ends; nil: none.
func lockHead(db *store.DB, tx *store.Tx, tenant, path string) (*head, error) {
	var h head
	query := `SELECT ` + headColumns + ` FROM secrets h WHERE h.tenant = $1 AND h.path = $2` + db.ForUpdate()
	err := tx.QueryRow(query, tenant, path).Scan(h.dest()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", path, err)
	}
	return &h, nil
}

// described is a live secret's metadata as its own tables hold it.
type described struct {
	head
	uid      string
	versions int64
	revision int64
}

const queryDescribed = `SELECT v.uid, (SELECT COUNT(*) FROM secret_versions c WHERE c.tenant = h.tenant AND c.path = h.path),
 (SELECT policy_revision FROM tenants t WHERE t.id = h.tenant), ` + headColumns + `
FROM secrets h JOIN secret_versions v ON v.tenant = h.tenant AND v.path = h.path AND v.version = h.version
WHERE h.tenant = $1 AND h.deleted_at IS NULL AND h.path IN (%s)`

func describedRows(ctx context.Context, q querier, tenant string, paths []string) (map[string]described, error) {
	found := make(map[string]described, len(paths))
	query := func(in string) string { return fmt.Sprintf(queryDescribed, in) }
	err := eachOf(ctx, q, manyPaths{query, []any{tenant}, paths}, func(s scanner) error {
		var d described
		err := s.Scan(append([]any{&d.uid, &d.versions, &d.revision}, d.dest()...)...)
		found[d.path] = d
		return err
	})
	return found, err
}

// usage of a secret: value reads in the last 30 UTC days, and when the last one was (contract OC-27).
type usage struct {
	reads int64
	last  *int64
}

const usageDays = 30

const queryUsage = `SELECT path, CAST(COALESCE(SUM(CASE WHEN day >= $2 THEN reads ELSE 0 END), 0) AS BIGINT), MAX(last)
FROM secret_reads WHERE tenant = $1 AND path IN (%s) GROUP BY path`

func usageRows(ctx context.Context, q querier, tenant string, today int64, paths []string) (map[string]usage, error) {
	found := make(map[string]usage, len(paths))
	query := func(in string) string { return fmt.Sprintf(queryUsage, in) }
	err := eachOf(ctx, q, manyPaths{query, []any{tenant, today - usageDays + 1}, paths}, func(s scanner) error {
		var path string
		var u usage
		err := s.Scan(&path, &u.reads, &u.last)
		found[path] = u
		return err
	})
	return found, err
}

// querier is the reader pool, or a transaction through within.
type querier interface {
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// within reads inside a transaction, on its own context.
type within struct{ tx *store.Tx }

func (w within) Query(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	return w.tx.Query(query, args...)
}

func each(ctx context.Context, q querier, query string, args []any, take func(scanner) error) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return reading(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows); err != nil {
			return reading(err)
		}
	}
	return reading(rows.Err())
}

func reading(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fmt.Errorf("read secrets: %w", err)
}

// manyPaths is a query for many paths: its text for a list of placeholders, and the arguments before them.
type manyPaths struct {
	query func(in string) string
	fixed []any
	paths []string
}

// eachOf runs a query for some paths at a time. It has few texts, so that prepared ones are found again, and
// few arguments, which the SQLite driver looks up one by one.
func eachOf(ctx context.Context, q querier, m manyPaths, take func(scanner) error) error {
	for chunk := range slices.Chunk(m.paths, pathsPerQuery) {
		width := pathsPerQuery
		if len(chunk) == 1 {
			width = 1
		}
		args := slices.Grow(slices.Clone(m.fixed), width)
		for i := range width {
			args = append(args, chunk[min(i, len(chunk)-1)]) // the last one again: IN takes it once
		}
		if err := each(ctx, q, m.query(placeholders(len(m.fixed)+1, width)), args, take); err != nil {
			return err
		}
	}
	return nil
}

const pathsPerQuery = 50

func placeholders(from, n int) string {
	var in strings.Builder
	for i := range n {
		if i > 0 {
			in.WriteByte(',')
		}
		in.WriteByte('$')
		in.WriteString(strconv.Itoa(from + i))
	}
	return in.String()
}
