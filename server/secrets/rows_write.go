package secrets

import (
	"fmt"
	"time"

	"github.com/scailabs/scaivault/server/store"
)

// This file writes. Every statement names the tenant, and runs while the head's row is held.

// insertHead tells whether the path was free; if not, another transaction has just taken it.
func insertHead(tx *store.Tx, tenant string, h head) (bool, error) {
	res, err := tx.Exec(`INSERT INTO secrets (tenant, path, secret_type, version, max_versions, metadata, created_at, updated_at, expires_at,
 notify_before, notice_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (tenant, path) DO NOTHING`,
		tenant, h.path, h.secretType, h.version, h.maxVersions, h.metadata, h.created, h.updated, h.expires,
		h.notifyBefore, h.notice)
	if err != nil {
		return false, fmt.Errorf("add secret %s: %w", h.path, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func updateHead(tx *store.Tx, tenant string, h head) error {
	_, err := tx.Exec(`UPDATE secrets SET secret_type = $3, version = $4, max_versions = $5, metadata = $6, updated_at = $7,
 expires_at = $8, deleted_at = $9, purge_at = $10, notify_before = $11, notice_at = $12 WHERE tenant = $1 AND path = $2`,
		tenant, h.path, h.secretType, h.version, h.maxVersions, h.metadata, h.updated, h.expires, h.deleted, h.purge,
		h.notifyBefore, h.notice)
	if err != nil {
		return fmt.Errorf("change secret %s: %w", h.path, err)
	}
	return nil
}

// updateNotice says when the expiry is announced next; nil: not any more.
func updateNotice(tx *store.Tx, tenant, path string, at *int64) error {
	if _, err := tx.Exec(`UPDATE secrets SET notice_at = $3 WHERE tenant = $1 AND path = $2`, tenant, path, at); err != nil {
		return fmt.Errorf("next notice of %s: %w", path, err)
	}
	return nil
}

// newVersion is a row of secret_versions.
type newVersion struct {
	draft
	number     int64
	keyVersion int64
	wrapped    []byte
	created    int64
	by         string
}

func insertVersion(tx *store.Tx, tenant, path string, v newVersion) error {
	_, err := tx.Exec(`INSERT INTO secret_versions (tenant, path, version, uid, key_version, wrapped, sealed, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		tenant, path, v.number, v.uid, v.keyVersion, v.wrapped, v.sealed, v.created, v.by)
	if err != nil {
		return fmt.Errorf("add version %d of %s: %w", v.number, path, err)
	}
	return nil
}

// retireBefore has the versions before one stop being readable at a time, at the latest; zero: nothing changes.
func retireBefore(tx *store.Tx, tenant, path string, version int64, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	_, err := tx.Exec(`UPDATE secret_versions SET retires_at = $4
WHERE tenant = $1 AND path = $2 AND version < $3 AND (retires_at IS NULL OR retires_at > $4)`, tenant, path, version, at.UnixMicro())
	if err != nil {
		return fmt.Errorf("retire versions of %s: %w", path, err)
	}
	return nil
}

// linkRotation notes in the secret's row which rotation policy it is under.
func linkRotation(tx *store.Tx, tenant, path string, id *string) error {
	if _, err := tx.Exec(`UPDATE secrets SET rotation_policy_id = $3 WHERE tenant = $1 AND path = $2`, tenant, path, id); err != nil {
		return fmt.Errorf("rotation policy of %s: %w", path, err)
	}
	return nil
}

// pruneVersions removes the versions up to one that are no longer kept.
func pruneVersions(tx *store.Tx, tenant, path string, upTo int64) error {
	if upTo < 1 {
		return nil
	}
	if _, err := tx.Exec(`DELETE FROM secret_versions WHERE tenant = $1 AND path = $2 AND version <= $3`, tenant, path, upTo); err != nil {
		return fmt.Errorf("prune versions of %s: %w", path, err)
	}
	return nil
}

// removeRows removes a secret, its versions and its counters for good.
func removeRows(tx *store.Tx, tenant, path string) error {
	for _, table := range []string{"secret_versions", "secret_reads", "secrets"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE tenant = $1 AND path = $2`, tenant, path); err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	return nil
}
