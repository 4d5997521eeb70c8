package policies

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/store"
)

const (
	revisionQuery = `SELECT policy_revision FROM tenants WHERE id = $1`
	raiseQuery    = `UPDATE tenants SET policy_revision = $1 WHERE id = $2`

	policyColumns = `p.id, p.name, p.description, p.scope, p.is_active, p.rules, p.owner, p.created_at, p.updated_at,
	(SELECT COUNT(*) FROM bindings b WHERE b.tenant = p.tenant AND b.policy_id = p.id)`
	findPolicyQuery = `SELECT ` + policyColumns + ` FROM policies p WHERE p.tenant = $1 AND (p.id = $2 OR p.name = $2)`
	// An owner is found by all of it or by its leading parts, such as k8s:home.
	listPoliciesQuery = `SELECT ` + policyColumns + ` FROM policies p
	WHERE p.tenant = $1 AND p.name > $2 AND ($3 = '' OR p.scope = $3)
	AND ($4 = '' OR p.owner = $4 OR substr(p.owner, 1, length($4) + 1) = $4 || '/')
	AND ($5 = 1 OR p.is_active = 1) ORDER BY p.name LIMIT $6`
	insertPolicyQuery = `INSERT INTO policies (tenant, id, name, description, scope, is_active, rules, owner, created_at, updated_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	updatePolicyQuery = `UPDATE policies SET name = $1, description = $2, is_active = $3, rules = $4, updated_at = $5
	WHERE tenant = $6 AND id = $7`
	deletePolicyQuery = `DELETE FROM policies WHERE tenant = $1 AND id = $2`

	bindingColumns    = `id, policy_id, identity_type, identity_id, expires_at, owner, created_at`
	listBindingsQuery = `SELECT ` + bindingColumns + ` FROM bindings WHERE tenant = $1 AND policy_id = $2
	ORDER BY identity_type, identity_id`
	findBindingQuery = `SELECT ` + bindingColumns + ` FROM bindings WHERE tenant = $1 AND policy_id = $2 AND id = $3`
	heldBindingQuery = `SELECT ` + bindingColumns + ` FROM bindings
	WHERE tenant = $1 AND policy_id = $2 AND identity_type = $3 AND identity_id = $4`
	insertBindingQuery = `INSERT INTO bindings (tenant, id, policy_id, identity_type, identity_id, expires_at, owner, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	deleteBindingQuery  = `DELETE FROM bindings WHERE tenant = $1 AND id = $2`
	deleteBindingsQuery = `DELETE FROM bindings WHERE tenant = $1 AND policy_id = $2`

	// One statement, so that revision, policies and bindings are of one moment on either engine.
	loadQuery = `SELECT 0 AS kind, id AS policy, '' AS a, '' AS b, '' AS c, policy_revision AS number FROM tenants WHERE id = $1
	UNION ALL SELECT 1, id, name, rules, '', is_active FROM policies WHERE tenant = $1
	UNION ALL SELECT 2, policy_id, id, identity_type, identity_id, COALESCE(expires_at, 0) FROM bindings WHERE tenant = $1
	ORDER BY kind, policy`
)

// queryRow and queryRows run a query in a transaction or on the readers.
type (
	queryRow  func(query string, args ...any) *sql.Row
	queryRows func(query string, args ...any) (*sql.Rows, error)
	scanner   interface{ Scan(dest ...any) error }
)

// record is a row of policies; times are microseconds.
type record struct {
	ID, Name, Description, Scope string
	Active                       bool
	Rules                        []vaultapi.Rule
	Owner                        string
	Created, Updated             int64
	Bindings                     int // how many
}

func (r record) wire() vaultapi.Policy {
	return vaultapi.Policy{
		ID: r.ID, Name: r.Name, Description: r.Description, Scope: r.Scope, Rules: r.Rules,
		RuleCount: len(r.Rules), BindingCount: r.Bindings, IsActive: r.Active, Owner: r.Owner,
		CreatedAt: vaultapi.AtMicros(r.Created), UpdatedAt: vaultapi.AtMicros(r.Updated),
	}
}

// held is a row of bindings; times are microseconds.
type held struct {
	ID, PolicyID, Type, Identity, Owner string
	Expires                             *int64
	Created                             int64
}

func (h held) wire() vaultapi.Binding {
	return vaultapi.Binding{
		ID: h.ID, PolicyID: h.PolicyID, IdentityType: h.Type, IdentityID: h.Identity,
		ExpiresAt: vaultapi.MaybeAt(h.Expires), Owner: h.Owner, CreatedAt: vaultapi.AtMicros(h.Created),
	}
}

func scanPolicy(row scanner) (record, error) {
	var r record
	var active int64
	var rules string
	err := row.Scan(&r.ID, &r.Name, &r.Description, &r.Scope, &active, &rules, &r.Owner, &r.Created, &r.Updated, &r.Bindings)
	if err != nil {
		return record{}, err
	}
	r.Active = active != 0
	r.Rules, err = decodeRules(r.ID, rules)
	return r, err
}

func decodeRules(id, text string) ([]vaultapi.Rule, error) {
	var rules []vaultapi.Rule
	if err := json.Unmarshal([]byte(text), &rules); err != nil {
		return nil, fmt.Errorf("rules of policy %s: %w", id, err)
	}
	return rules, nil
}

func encodeRules(rules []vaultapi.Rule) (string, error) {
	text, err := json.Marshal(rules)
	if err != nil {
		return "", fmt.Errorf("encode rules: %w", err)
	}
	return string(text), nil
}

// findPolicy finds a policy of the tenant by id or name; else policy_not_found.
func findPolicy(query queryRow, tenant, ref string) (record, error) {
	if !isName(ref) {
		return record{}, policyNotFound(ref)
	}
	r, err := scanPolicy(query(findPolicyQuery, tenant, ref))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return record{}, policyNotFound(ref)
	case err != nil:
		return record{}, fmt.Errorf("find policy: %w", err)
	}
	return r, nil
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

func scanBinding(row scanner) (held, error) {
	var h held
	err := row.Scan(&h.ID, &h.PolicyID, &h.Type, &h.Identity, &h.Expires, &h.Owner, &h.Created)
	return h, err
}

func listBindings(query queryRows, tenant, policyID string) ([]held, error) {
	rows, err := query(listBindingsQuery, tenant, policyID)
	if err != nil {
		return nil, fmt.Errorf("bindings of policy %s: %w", policyID, err)
	}
	all, err := collect(rows, scanBinding)
	if err != nil {
		return nil, fmt.Errorf("bindings of policy %s: %w", policyID, err)
	}
	return all, nil
}

// maybeBinding returns false where there is no row.
func maybeBinding(row *sql.Row) (held, bool, error) {
	h, err := scanBinding(row)
	if errors.Is(err, sql.ErrNoRows) {
		return held{}, false, nil
	}
	if err != nil {
		return held{}, false, fmt.Errorf("find binding: %w", err)
	}
	return h, true, nil
}

func insertPolicy(tx *store.Tx, tenant string, r record) error {
	rules, err := encodeRules(r.Rules)
	if err != nil {
		return err
	}
	_, err = tx.Exec(insertPolicyQuery, tenant, r.ID, r.Name, r.Description, r.Scope, number(r.Active), rules, r.Owner, r.Created, r.Updated)
	return nameTaken(err, r.Name)
}

func updatePolicy(tx *store.Tx, tenant string, r record) error {
	rules, err := encodeRules(r.Rules)
	if err != nil {
		return err
	}
	_, err = tx.Exec(updatePolicyQuery, r.Name, r.Description, number(r.Active), rules, r.Updated, tenant, r.ID)
	return nameTaken(err, r.Name)
}

// nameTaken is reached only if somebody writes policies without the tenant's lock.
func nameTaken(err error, name string) error {
	switch {
	case err == nil:
		return nil
	case store.IsUnique(err):
		return policyExists(record{Name: name})
	default:
		return fmt.Errorf("store policy %s: %w", name, err)
	}
}

func deletePolicy(tx *store.Tx, tenant, id string) error {
	for _, query := range []string{deleteBindingsQuery, deletePolicyQuery} {
		if _, err := tx.Exec(query, tenant, id); err != nil {
			return fmt.Errorf("delete policy %s: %w", id, err)
		}
	}
	return nil
}

func insertBinding(tx *store.Tx, tenant string, h held) error {
	_, err := tx.Exec(insertBindingQuery, tenant, h.ID, h.PolicyID, h.Type, h.Identity, h.Expires, h.Owner, h.Created)
	if err != nil {
		return fmt.Errorf("store binding of policy %s: %w", h.PolicyID, err)
	}
	return nil
}

func deleteBinding(tx *store.Tx, tenant, id string) error {
	if _, err := tx.Exec(deleteBindingQuery, tenant, id); err != nil {
		return fmt.Errorf("delete binding %s: %w", id, err)
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
