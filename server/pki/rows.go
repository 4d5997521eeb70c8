package pki

import (
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

const (
	authorityColumns = `SELECT id, name, ca_type, parent_id, serial, certificate, not_after, revoked_at, reason, revision, created_at,
	uid, key_version, wrapped, sealed FROM pki_authorities `
	authorityFind   = authorityColumns + `WHERE tenant = $1 AND (id = $2 OR name = $2)`
	authorityList   = authorityColumns + `WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3`
	authorityBelow  = `SELECT id FROM pki_authorities WHERE tenant = $1 AND parent_id = $2`
	authorityInsert = `INSERT INTO pki_authorities
	(tenant, id, name, ca_type, parent_id, serial, certificate, not_after, uid, key_version, wrapped, sealed, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	authorityRevoke = `UPDATE pki_authorities SET revoked_at = $3, reason = $4, revision = revision + 1
	WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL`
	authorityTouch = `UPDATE pki_authorities SET revision = revision + 1 WHERE tenant = $1 AND id = $2`
)

// authority is a row of pki_authorities; times are microseconds.
type authority struct {
	ID, Name, Type, Parent, Serial string
	DER                            []byte
	Cert                           *x509.Certificate
	NotAfter                       int64
	Revoked                        *int64
	Reason                         string
	Revision                       int64 // grows with every revocation of what it signed
	Created                        int64
	UID                            string
	Sealed                         seal.Sealed
}

type scanner interface{ Scan(dest ...any) error }

// queryRow runs a query in a transaction or on the readers.
type queryRow func(query string, args ...any) *sql.Row

func scanAuthority(row scanner) (authority, error) {
	var a authority
	err := row.Scan(&a.ID, &a.Name, &a.Type, &a.Parent, &a.Serial, &a.DER, &a.NotAfter, &a.Revoked, &a.Reason, &a.Revision, &a.Created,
		&a.UID, &a.Sealed.KeyVersion, &a.Sealed.Wrapped, &a.Sealed.Value)
	if err != nil {
		return authority{}, err
	}
	if a.Cert, err = x509.ParseCertificate(a.DER); err != nil {
		return authority{}, fmt.Errorf("certificate of authority %s: %w", a.ID, err)
	}
	return a, nil
}

// findAuthority finds an authority of the tenant by id or name; else ca_not_found. lock is what follows the query.
func findAuthority(query queryRow, tenant, ref, lock string) (authority, error) {
	if !refPattern.MatchString(ref) {
		return authority{}, authorityNotFound(ref)
	}
	a, err := scanAuthority(query(authorityFind+lock, tenant, ref))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return authority{}, authorityNotFound(ref)
	case err != nil:
		return authority{}, fmt.Errorf("find authority: %w", err)
	}
	return a, nil
}

func authorityNotFound(ref string) error {
	return fault.NotFound(fault.CodeCANotFound, "there is no certificate authority %.128q", ref)
}

// usable says whether an authority may sign at a time.
func (a authority) usable(now time.Time) error {
	switch {
	case a.Revoked != nil:
		return fault.Conflict(fault.CodeCAInactive, "authority %s is revoked: give the role another", a.Name).With("ca_id", a.ID)
	case a.NotAfter <= now.UnixMicro():
		return fault.Conflict(fault.CodeCAInactive, "authority %s expired at %s: give the role another", a.Name, a.Cert.NotAfter.Format(time.RFC3339)).
			With("ca_id", a.ID)
	}
	return nil
}

// insertAuthority stores an authority with its wrapped key.
func insertAuthority(c *guard.Call, a authority) error {
	_, err := c.Tx.Exec(authorityInsert, c.Who.Tenant, a.ID, a.Name, a.Type, a.Parent, a.Serial, a.DER, a.NotAfter,
		a.UID, a.Sealed.KeyVersion, a.Sealed.Wrapped, a.Sealed.Value, a.Created)
	switch {
	case store.IsUnique(err):
		return fault.Conflict(fault.CodeCAExists, "there is an authority %s already", a.Name).With("name", a.Name)
	case err != nil:
		return fmt.Errorf("store authority %s: %w", a.ID, err)
	}
	return nil
}

// share locks a row that is read against being changed, where others write at the same time.
func share(db *store.DB) string {
	if db.Exclusive() {
		return ""
	}
	return " FOR SHARE"
}

// collect scans all rows.
func collect[T any](rows *sql.Rows, scan func(scanner) (T, error)) ([]T, error) {
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
