package rotation

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/store"
)

const (
	policyColumns = `p.id, p.name, p.settings, p.owner, p.is_active, p.created_at, p.updated_at`
	policyCounts  = `, (SELECT COUNT(*) FROM rotation_assignments a WHERE a.tenant = p.tenant AND a.policy_id = p.id),
 (SELECT COUNT(*) FROM rotation_assignments a WHERE a.tenant = p.tenant AND a.policy_id = p.id AND a.state = 'failed')`
	fromPolicies = ` FROM rotation_policies p WHERE p.tenant = $1 AND p.deleted_at IS NULL AND `
	findPolicy   = `SELECT ` + policyColumns + policyCounts + fromPolicies + `(p.id = $2 OR p.name = $2)`
	lockPolicy   = `SELECT ` + policyColumns + `, 0, 0` + fromPolicies + `(p.id = $2 OR p.name = $2)`
	// An owner is found by all of it or by its leading parts, such as k8s:home.
	listPolicies = `SELECT ` + policyColumns + policyCounts + fromPolicies + `p.name > $2
 AND ($3 = '' OR p.owner = $3 OR substr(p.owner, 1, length($3) + 1) = $3 || '/')
 AND ($4 = 0 OR p.is_active = 1) ORDER BY p.name LIMIT $5`
	insertPolicy = `INSERT INTO rotation_policies (tenant, id, name, settings, secret_policy_id, owner, is_active, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	updatePolicy = `UPDATE rotation_policies SET name = $3, settings = $4, secret_policy_id = $5, is_active = $6, updated_at = $7 WHERE tenant = $1 AND id = $2`
	// hidePolicy frees the name at once; the row goes with its last assignment.
	hidePolicy   = `UPDATE rotation_policies SET name = id, secret_policy_id = '', deleted_at = $3 WHERE tenant = $1 AND id = $2`
	removePolicy = `DELETE FROM rotation_policies WHERE tenant = $1 AND id = $2`
	hiddenPolicy = `SELECT deleted_at IS NOT NULL FROM rotation_policies WHERE tenant = $1 AND id = $2`

	assignmentColumns = `a.path, a.policy_id, a.attached_by, a.identity, a.state, a.listed, a.base_at, a.next_at, a.due_at, a.last_at, a.warned,
 a.announced, a.pending, a.reason, a.failures, a.retry_at, a.error_code, a.error_message, a.previous_version, a.current_version, a.grace_ends, a.created_at`
	findAssignment  = `SELECT ` + assignmentColumns + ` FROM rotation_assignments a WHERE a.tenant = $1 AND a.path = $2`
	pageAssignments = `SELECT ` + assignmentColumns + ` FROM rotation_assignments a WHERE a.tenant = $1 AND a.policy_id = $2 AND a.path > $3
 ORDER BY a.path LIMIT $4`
	saveAssignment = `INSERT INTO rotation_assignments (tenant, path, policy_id, attached_by, identity, state, listed, base_at, next_at, due_at, last_at, warned,
 announced, pending, reason, failures, retry_at, error_code, error_message, previous_version, current_version, grace_ends, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
ON CONFLICT (tenant, path) DO UPDATE SET policy_id = excluded.policy_id, attached_by = excluded.attached_by, identity = excluded.identity,
 state = excluded.state, listed = excluded.listed, base_at = excluded.base_at, next_at = excluded.next_at, due_at = excluded.due_at,
 last_at = excluded.last_at, warned = excluded.warned, announced = excluded.announced, pending = excluded.pending, reason = excluded.reason,
 failures = excluded.failures, retry_at = excluded.retry_at, error_code = excluded.error_code, error_message = excluded.error_message,
 previous_version = excluded.previous_version, current_version = excluded.current_version, grace_ends = excluded.grace_ends`
	removeAssignment = `DELETE FROM rotation_assignments WHERE tenant = $1 AND path = $2`
)

type scanner interface{ Scan(dest ...any) error }

// policy is a row of rotation_policies; times are microseconds.
type policy struct {
	id, name         string
	settings         settings
	owner            string
	active           bool
	created, updated int64
	secrets, failed  int64 // counted where a policy is read by itself
}

func scanPolicy(row scanner) (policy, error) {
	var p policy
	var text string
	var active int64
	err := row.Scan(&p.id, &p.name, &text, &p.owner, &active, &p.created, &p.updated, &p.secrets, &p.failed)
	if err != nil {
		return policy{}, err
	}
	p.active = active != 0
	if err := json.Unmarshal([]byte(text), &p.settings); err != nil {
		return policy{}, fmt.Errorf("settings of rotation policy %s: %w", p.id, err)
	}
	return p, nil
}

// maybePolicy says policy_not_found where there is no row.
func maybePolicy(row scanner, ref string) (policy, error) {
	p, err := scanPolicy(row)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return policy{}, policyNotFound(ref)
	case err != nil:
		return policy{}, fmt.Errorf("find rotation policy: %w", err)
	}
	return p, nil
}

func (p policy) text() (string, error) {
	text, err := json.Marshal(p.settings)
	if err != nil {
		return "", fmt.Errorf("settings of rotation policy %s: %w", p.id, err)
	}
	return string(text), nil
}

// assignment is a row of rotation_assignments; times are microseconds.
type assignment struct {
	path, policyID    string
	attachedBy        string
	identity          string
	state             string
	listed            int64
	base, next, due   int64
	last              *int64
	warned            int64
	announced         int64
	pending, reason   string
	failures          int64
	retry             *int64
	code, message     string
	previous, current int64
	graceEnds         *int64
	created           int64
}

func (a *assignment) dest() []any {
	return []any{&a.path, &a.policyID, &a.attachedBy, &a.identity, &a.state, &a.listed, &a.base, &a.next, &a.due, &a.last, &a.warned,
		&a.announced, &a.pending, &a.reason, &a.failures, &a.retry, &a.code, &a.message, &a.previous, &a.current, &a.graceEnds, &a.created}
}

func (a *assignment) values(tenant string) []any {
	return []any{tenant, a.path, a.policyID, a.attachedBy, a.identity, a.state, a.listed, a.base, a.next, a.due, a.last, a.warned,
		a.announced, a.pending, a.reason, a.failures, a.retry, a.code, a.message, a.previous, a.current, a.graceEnds, a.created}
}

// scanAssignment gives nil where there is no row.
func scanAssignment(row scanner) (*assignment, error) {
	var a assignment
	err := row.Scan(a.dest()...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("rotation assignment: %w", err)
	}
	return &a, nil
}

func collect[T any](rows *sql.Rows, scan func(scanner) (T, error)) ([]T, error) {
	defer rows.Close()
	all := []T{}
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func save(tx *store.Tx, tenant string, a *assignment) error {
	if _, err := tx.Exec(saveAssignment, a.values(tenant)...); err != nil {
		return fmt.Errorf("store rotation assignment of %s: %w", a.path, err)
	}
	return nil
}

func (a *assignment) failure() *vaultapi.BatchError {
	if a.code == "" {
		return nil
	}
	return &vaultapi.BatchError{Code: a.code, Message: a.message}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
