package secretpolicies

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

const (
	shownColumns  = `id, name, description, policy_type, is_active, fields, created_at, updated_at`
	sealedColumns = `uid, key_version, wrapped, sealed`
	findQuery     = `SELECT ` + shownColumns + `, ` + sealedColumns + ` FROM secret_policies WHERE tenant = $1 AND (id = $2 OR name = $2)`
	// A page of lists leaves the sealed recipes where they are: each may have two megabytes.
	listQuery = `SELECT ` + shownColumns + `, '', 0, NULL, NULL FROM secret_policies
	WHERE tenant = $1 AND name > $2 AND ($3 < 0 OR is_active = $3) ORDER BY name LIMIT $4`
	insertQuery = `INSERT INTO secret_policies
	(tenant, id, name, description, policy_type, is_active, fields, uid, key_version, wrapped, sealed, created_at, updated_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	updateQuery = `UPDATE secret_policies SET name = $3, description = $4, policy_type = $5, is_active = $6, fields = $7,
	uid = $8, key_version = $9, wrapped = $10, sealed = $11, updated_at = $12 WHERE tenant = $1 AND id = $2`
	deleteQuery = `DELETE FROM secret_policies WHERE tenant = $1 AND id = $2`
)

// record is a row of secret_policies; times are microseconds.
type record struct {
	ID, Name, Description, Type string
	Active                      bool
	Shown                       []vaultapi.SecretPolicyField // without static values
	Created, Updated            int64
	UID                         string // what the sealed recipe is bound to, besides the id
	Sealed                      seal.Sealed
}

// wire is the policy with the fields given.
func (r record) wire(fields []vaultapi.SecretPolicyField) vaultapi.SecretPolicy {
	return vaultapi.SecretPolicy{
		ID: r.ID, Name: r.Name, Description: r.Description, PolicyType: r.Type, Fields: fields, IsActive: r.Active,
		CreatedAt: vaultapi.AtMicros(r.Created), UpdatedAt: vaultapi.AtMicros(r.Updated),
	}
}

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (record, error) {
	var r record
	var active int64
	var shown string
	err := row.Scan(&r.ID, &r.Name, &r.Description, &r.Type, &active, &shown, &r.Created, &r.Updated,
		&r.UID, &r.Sealed.KeyVersion, &r.Sealed.Wrapped, &r.Sealed.Value)
	if err != nil {
		return record{}, err
	}
	r.Active = active != 0
	if err := json.Unmarshal([]byte(shown), &r.Shown); err != nil {
		return record{}, fmt.Errorf("fields of secret policy %s: %w", r.ID, err)
	}
	return r, nil
}

// find finds a policy of the tenant by id or name; else secret_policy_not_found. lock is what follows the query.
func find(query queryRow, tenant, ref, lock string) (record, error) {
	if !isName(ref) {
		return record{}, notFound(ref)
	}
	r, err := scan(query(findQuery+lock, tenant, ref))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return record{}, notFound(ref)
	case err != nil:
		return record{}, fmt.Errorf("find secret policy: %w", err)
	}
	return r, nil
}

func collect(rows *sql.Rows) ([]record, error) {
	defer rows.Close()
	var all []record
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list secret policies: %w", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list secret policies: %w", err)
	}
	return all, nil
}

func insert(tx *store.Tx, tenant string, r record) error {
	shown, err := json.Marshal(r.Shown)
	if err != nil {
		return fmt.Errorf("fields of secret policy %s: %w", r.ID, err)
	}
	_, err = tx.Exec(insertQuery, tenant, r.ID, r.Name, r.Description, r.Type, number(r.Active), string(shown),
		r.UID, r.Sealed.KeyVersion, r.Sealed.Wrapped, r.Sealed.Value, r.Created, r.Updated)
	return nameTaken(err, r)
}

func update(tx *store.Tx, tenant string, r record) error {
	shown, err := json.Marshal(r.Shown)
	if err != nil {
		return fmt.Errorf("fields of secret policy %s: %w", r.ID, err)
	}
	_, err = tx.Exec(updateQuery, tenant, r.ID, r.Name, r.Description, r.Type, number(r.Active), string(shown),
		r.UID, r.Sealed.KeyVersion, r.Sealed.Wrapped, r.Sealed.Value, r.Updated)
	return nameTaken(err, r)
}

// nameTaken: of two that take a name at once the second finds it taken here.
func nameTaken(err error, r record) error {
	switch {
	case err == nil:
		return nil
	case store.IsUnique(err):
		return exists(record{Name: r.Name})
	default:
		return fmt.Errorf("store secret policy %s: %w", r.ID, err)
	}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
