package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Kinds and states of a row in keys. A destroyed key has lost its bytes.
const (
	kindPartner    = "partner"
	kindTenant     = "tenant"
	stateActive    = "active"
	stateUnwrap    = "unwrap"
	stateDestroyed = "destroyed"
)

// keyRow is a wrapped key. partner is the owner of the key that wraps a tenant's key.
type keyRow struct {
	kind    string
	id      keyID
	parent  int64
	partner string
	state   string
	wrapped []byte
	created int64
}

const (
	keyColumns = `SELECT k.kind, k.owner_id, k.version, k.parent_version, COALESCE(t.partner_id, ''), k.state, k.wrapped, k.created_at
FROM keys k LEFT JOIN tenants t ON k.kind = 'tenant' AND t.id = k.owner_id `
	queryPartners = keyColumns + `WHERE k.kind = 'partner' ORDER BY k.owner_id, k.version`
	queryKey      = keyColumns + `WHERE k.kind = $1 AND k.owner_id = $2 AND k.version = $3`
	queryActive   = keyColumns + `WHERE k.kind = $1 AND k.owner_id = $2 AND k.state = 'active' ORDER BY k.version DESC LIMIT 1`
)

type scanner interface{ Scan(dest ...any) error }

func scanKey(s scanner) (r keyRow, err error) {
	err = s.Scan(&r.kind, &r.id.owner, &r.id.version, &r.parent, &r.partner, &r.state, &r.wrapped, &r.created)
	return r, err
}

// Empty tells whether the database holds neither keys nor values, so that a root key may be made for it.
func Empty(ctx context.Context, db *store.DB) (bool, error) {
	var used int64
	const query = `SELECT CASE WHEN EXISTS (SELECT 1 FROM keys) OR EXISTS (SELECT 1 FROM secret_versions) THEN 1 ELSE 0 END`
	if err := db.QueryRow(ctx, query).Scan(&used); err != nil {
		return false, fmt.Errorf("look for keys: %w", err)
	}
	return used == 0, nil
}

func partnerRows(ctx context.Context, db *store.DB) ([]keyRow, error) {
	rows, err := db.Query(ctx, queryPartners)
	if err != nil {
		return nil, fmt.Errorf("partner keys: %w", err)
	}
	defer rows.Close()
	var out []keyRow
	for rows.Next() {
		r, err := scanKey(rows)
		if err != nil {
			return nil, fmt.Errorf("partner keys: %w", err)
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("partner keys: %w", err)
	}
	return out, nil
}

// insertKey adds an active key unless that version exists, and tells whether it did.
func insertKey(tx *store.Tx, r keyRow) (bool, error) {
	res, err := tx.Exec(`INSERT INTO keys (kind, owner_id, version, parent_version, state, wrapped, wraps, created_at)
VALUES ($1, $2, $3, $4, 'active', $5, 0, $6) ON CONFLICT (kind, owner_id, version) DO NOTHING`,
		r.kind, r.id.owner, r.id.version, r.parent, r.wrapped, tx.Now().UnixMicro())
	if err != nil {
		return false, fmt.Errorf("add key of %s: %w", r.id.owner, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("add key of %s: %w", r.id.owner, err)
	}
	return n == 1, nil
}

// insertDefaults makes the partner and the tenant that a fresh installation has.
func insertDefaults(tx *store.Tx) error {
	at := tx.Now().UnixMicro()
	if _, err := tx.Exec(`INSERT INTO partners (id, name, created_at) VALUES ($1, 'default', $2) ON CONFLICT (id) DO NOTHING`,
		guard.DefaultPartner, at); err != nil {
		return fmt.Errorf("add partner: %w", err)
	}
	if _, err := tx.Exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ($1, $2, 'default', $3) ON CONFLICT (id) DO NOTHING`,
		guard.DefaultTenant, guard.DefaultPartner, at); err != nil {
		return fmt.Errorf("add tenant: %w", err)
	}
	return nil
}

// reserveWraps counts n more wraps of an active key before they are made. ok is false if the key is no
// longer active.
func reserveWraps(tx *store.Tx, id keyID, n int64) (wraps int64, ok bool, err error) {
	err = tx.QueryRow(`UPDATE keys SET wraps = wraps + $1
WHERE kind = 'tenant' AND owner_id = $2 AND version = $3 AND state = 'active' RETURNING wraps`, n, id.owner, id.version).Scan(&wraps)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("count wraps of %s: %w", id.owner, err)
	}
	return wraps, true, nil
}

func retireKey(tx *store.Tx, id keyID) error {
	if _, err := tx.Exec(`UPDATE keys SET state = 'unwrap' WHERE kind = 'tenant' AND owner_id = $1 AND version = $2`,
		id.owner, id.version); err != nil {
		return fmt.Errorf("retire key %d of %s: %w", id.version, id.owner, err)
	}
	return nil
}

func newestVersion(tx *store.Tx, tenant string) (int64, error) {
	var newest int64
	if err := tx.QueryRow(`SELECT COALESCE(MAX(version), 0) FROM keys WHERE kind = 'tenant' AND owner_id = $1`, tenant).Scan(&newest); err != nil {
		return 0, fmt.Errorf("newest key of %s: %w", tenant, err)
	}
	return newest, nil
}

// partnerOf returns "" for an unknown tenant.
func partnerOf(ctx context.Context, db *store.DB, tenant string) (string, error) {
	var partner string
	err := db.QueryRow(ctx, `SELECT partner_id FROM tenants WHERE id = $1`, tenant).Scan(&partner)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("partner of %s: %w", tenant, err)
	}
	return partner, nil
}
