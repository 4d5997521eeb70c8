package authn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

const trustColumns = `tenant, id, name, cluster, namespace, service_account, identity, scopes, life_seconds, owner, created_at`

func scanTrustRules(rows *sql.Rows) ([]TrustRule, error) {
	defer func() { _ = rows.Close() }() // Err tells
	var all []TrustRule
	for rows.Next() {
		var r TrustRule
		var scopes string
		var life, created int64
		err := rows.Scan(&r.Tenant, &r.ID, &r.Name, &r.Cluster, &r.Namespace, &r.ServiceAccount, &r.Identity,
			&scopes, &life, &r.Owner, &created)
		if err != nil {
			return nil, fmt.Errorf("trust rule: %w", err)
		}
		r.Scopes, r.Life = strings.Fields(scopes), time.Duration(life)*time.Second
		r.CreatedAt = time.UnixMicro(created).UTC()
		all = append(all, r)
	}
	return all, rows.Err()
}

// trustRulesFor returns the rules of every tenant that may speak of a workload.
func trustRulesFor(ctx context.Context, db *store.DB, cluster string, sa ServiceAccount) ([]TrustRule, error) {
	rows, err := db.Query(ctx, `SELECT `+trustColumns+` FROM trust_rules
		WHERE cluster = $1 AND namespace IN ('', $2) AND service_account IN ('', $3) ORDER BY tenant, id`,
		cluster, sa.Namespace, sa.Name)
	if err != nil {
		return nil, fmt.Errorf("trust rules of %s: %w", cluster, err)
	}
	return scanTrustRules(rows)
}

func trustRulesOf(ctx context.Context, db *store.DB, tenant string) ([]TrustRule, error) {
	rows, err := db.Query(ctx, `SELECT `+trustColumns+` FROM trust_rules WHERE tenant = $1 ORDER BY name`, tenant)
	if err != nil {
		return nil, fmt.Errorf("trust rules of %s: %w", tenant, err)
	}
	return scanTrustRules(rows)
}

// lockTrust returns the rules of every tenant, which do not change until the transaction ends. The lock is the
// default tenant's row, as for SeedTrust; before the first start there is no server that could compete.
func (s *Service) lockTrust(tx *store.Tx) ([]TrustRule, error) {
	var id string
	err := tx.QueryRow(`SELECT id FROM tenants WHERE id = $1`+s.db.ForUpdate(), guard.DefaultTenant).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("lock trust rules: %w", err)
	}
	rows, err := tx.Query(`SELECT ` + trustColumns + ` FROM trust_rules ORDER BY tenant, id`)
	if err != nil {
		return nil, fmt.Errorf("trust rules: %w", err)
	}
	return scanTrustRules(rows)
}

func insertTrustRule(tx *store.Tx, r TrustRule) error {
	_, err := tx.Exec(`INSERT INTO trust_rules (`+trustColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		r.Tenant, r.ID, r.Name, r.Cluster, r.Namespace, r.ServiceAccount, r.Identity, strings.Join(r.Scopes, " "),
		int64(r.Life/time.Second), r.Owner, r.CreatedAt.UnixMicro())
	if err != nil {
		return fmt.Errorf("store trust rule %s: %w", r.Name, err)
	}
	return nil
}

func replaceTrustRule(tx *store.Tx, r TrustRule) error {
	if err := deleteTrustRule(tx, r.Tenant, r.ID); err != nil {
		return err
	}
	return insertTrustRule(tx, r)
}

func deleteTrustRule(tx *store.Tx, tenant, id string) error {
	if _, err := tx.Exec(`DELETE FROM trust_rules WHERE tenant = $1 AND id = $2`, tenant, id); err != nil {
		return fmt.Errorf("remove trust rule: %w", err)
	}
	return nil
}
