package authn

import (
	"context"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/server/store"
)

const tokenColumns = `t.id, t.tenant, COALESCE(n.partner_id, ''), t.hash, t.kind, t.name, t.identity_type, t.identity_id, t.scopes, t.roles,
	t.cluster, t.namespace, t.created_at, t.expires_at, t.revoked_at, t.last_used_at`

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }

func scanToken(row scanner) (*token, error) {
	var t token
	var scopes, roles string
	err := row.Scan(&t.id, &t.tenant, &t.partner, &t.hash, &t.kind, &t.name, &t.identityType, &t.identityID, &scopes, &roles,
		&t.cluster, &t.namespace, &t.createdAt, &t.expiresAt, &t.revokedAt, &t.lastUsedAt)
	if err != nil {
		return nil, err
	}
	t.scopes, t.roles = strings.Fields(scopes), strings.Fields(roles)
	return &t, nil
}

// tokenByHash returns sql.ErrNoRows when there is none.
func tokenByHash(ctx context.Context, db *store.DB, sum digest) (*token, error) {
	return scanToken(db.QueryRow(ctx,
		`SELECT `+tokenColumns+` FROM tokens t JOIN tenants n ON n.id = t.tenant WHERE t.hash = $1`, sum[:]))
}

// tokensOf also lists what an administrator made before the first server gave the tenant its row.
func tokensOf(ctx context.Context, db *store.DB, tenant, kind string) ([]*token, error) {
	rows, err := db.Query(ctx, `SELECT `+tokenColumns+` FROM tokens t LEFT JOIN tenants n ON n.id = t.tenant
		WHERE t.tenant = $1 AND t.kind = $2 ORDER BY t.created_at, t.id`, tenant, kind)
	if err != nil {
		return nil, fmt.Errorf("tokens of %s: %w", tenant, err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	var all []*token
	for rows.Next() {
		t, err := scanToken(rows)
		if err != nil {
			return nil, fmt.Errorf("tokens of %s: %w", tenant, err)
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

func insertToken(tx *store.Tx, t *token) error {
	_, err := tx.Exec(`INSERT INTO tokens (id, tenant, hash, kind, name, identity_type, identity_id, scopes, roles,
		cluster, namespace, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		t.id, t.tenant, t.hash, t.kind, t.name, t.identityType, t.identityID, strings.Join(t.scopes, " "), strings.Join(t.roles, " "),
		t.cluster, t.namespace, t.createdAt, t.expiresAt)
	if err != nil {
		return fmt.Errorf("store token %s: %w", t.id, err)
	}
	return nil
}

// revokeToken returns the token's digest; sql.ErrNoRows when the tenant has no such token. A token that is
// revoked already keeps its time.
func revokeToken(tx *store.Tx, tenant, id string, at int64) ([]byte, error) {
	var sum []byte
	err := tx.QueryRow(`UPDATE tokens SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2 AND tenant = $3 RETURNING hash`,
		at, id, tenant).Scan(&sum)
	return sum, err
}

// touchToken never moves a last use backwards, whichever replica writes last.
func touchToken(tx *store.Tx, id string, at int64) error {
	_, err := tx.Exec(`UPDATE tokens SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)`, at, id)
	if err != nil {
		return fmt.Errorf("last use of token %s: %w", id, err)
	}
	return nil
}

// purgeTokens removes up to purgeBatch tokens that expired before a moment.
func purgeTokens(tx *store.Tx, kind string, before int64) (int64, error) {
	done, err := tx.Exec(`DELETE FROM tokens WHERE id IN
		(SELECT id FROM tokens WHERE expires_at < $1 AND kind = $2 ORDER BY expires_at LIMIT $3)`, before, kind, purgeBatch)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// partnerOf returns the partner that a tenant belongs to; sql.ErrNoRows when there is no such tenant.
func partnerOf(ctx context.Context, db *store.DB, tenant string) (partner string, err error) {
	err = db.QueryRow(ctx, `SELECT partner_id FROM tenants WHERE id = $1`, tenant).Scan(&partner)
	return partner, err
}
