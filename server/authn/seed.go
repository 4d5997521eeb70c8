package authn

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// ownerBootstrap owns what start-up flags make: the flags are the only way to change it.
const ownerBootstrap = "system:bootstrap"

const (
	ruleHome       = "home-cluster"
	ruleOperator   = "scaivault-operator"
	policyOperator = "scaivault-operator"
)

// Seed is what start-up flags say about trust.
type Seed struct {
	Home     bool   // every ServiceAccount of the home cluster may exchange
	Operator string // <namespace>/<name> of the operator's ServiceAccount; "" for none
}

// operatorScopes let the operator manage what it owns, never read a value (architecture section 6). With pki:issue it
// reads roles and authorities of certificates; no policy lets it issue by any.
func operatorScopes() []string {
	return []string{"policies:read", "policies:write", "secrets:list", "subscriptions:read", "subscriptions:write", "owned:release", "rotation:manage", "pki:issue"}
}

// SeedTrust makes the database agree with the start-up flags: the trust rules of the home cluster and of the
// operator, and the policy that lets the operator list paths. It writes only what differs, and it is called
// before anything is served, so that no compiled policy can be older.
func (s *Service) SeedTrust(ctx context.Context, seed Seed) error {
	rules, operator, err := seed.rules()
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		var revision int64
		err := tx.QueryRow(`SELECT policy_revision FROM tenants WHERE id = $1`+s.db.ForUpdate(), guard.DefaultTenant).Scan(&revision)
		if err != nil {
			return fmt.Errorf("lock tenant %s: %w", guard.DefaultTenant, err)
		}
		for _, name := range []string{ruleHome, ruleOperator} {
			if err := seedRule(tx, name, rules[name]); err != nil {
				return err
			}
		}
		changed, err := seedOperatorPolicy(tx, operator)
		if err != nil || !changed {
			return err
		}
		_, err = tx.Exec(`UPDATE tenants SET policy_revision = policy_revision + 1 WHERE id = $1`, guard.DefaultTenant)
		return err
	})
}

// rules returns the wanted rules by name, and the operator's identity.
func (seed Seed) rules() (map[string]TrustRule, string, error) {
	wanted := map[string]TrustRule{}
	if seed.Home {
		wanted[ruleHome] = TrustRule{Name: ruleHome, Cluster: HomeCluster}.withDefaults()
	}
	if seed.Operator == "" {
		return wanted, "", nil
	}
	namespace, name, err := ParseServiceAccount(seed.Operator)
	if err != nil {
		return nil, "", err
	}
	r := TrustRule{Name: ruleOperator, Cluster: HomeCluster, Namespace: namespace, ServiceAccount: name, Scopes: operatorScopes()}.withDefaults()
	wanted[ruleOperator] = r
	identity, err := r.identity(ServiceAccount{Namespace: namespace, Name: name})
	return wanted, identity, err
}

// seedRule makes the bootstrap rule of a name what it should be; a zero rule is removed. A rule of that name
// that an administrator made is left alone.
func seedRule(tx *store.Tx, name string, want TrustRule) error {
	have, found, err := bootstrapRule(tx, name)
	if err != nil || found && have.Owner != ownerBootstrap {
		return err
	}
	if want.Name != "" && found && sameTrust(have, want) || want.Name == "" && !found {
		return nil
	}
	if found {
		if err := deleteTrustRule(tx, guard.DefaultTenant, have.ID); err != nil {
			return err
		}
	}
	if want.Name == "" {
		return nil
	}
	want.Tenant, want.ID, want.Owner, want.CreatedAt = guard.DefaultTenant, newID(trustPrefix), ownerBootstrap, tx.Now()
	return insertTrustRule(tx, want)
}

func sameTrust(a, b TrustRule) bool {
	return a.Cluster == b.Cluster && a.Namespace == b.Namespace && a.ServiceAccount == b.ServiceAccount &&
		a.Identity == b.Identity && a.Life == b.Life && slices.Equal(a.Scopes, b.Scopes)
}

func bootstrapRule(tx *store.Tx, name string) (TrustRule, bool, error) {
	rows, err := tx.Query(`SELECT `+trustColumns+` FROM trust_rules WHERE tenant = $1 AND name = $2`, guard.DefaultTenant, name)
	if err != nil {
		return TrustRule{}, false, fmt.Errorf("trust rule %s: %w", name, err)
	}
	rules, err := scanTrustRules(rows)
	if err != nil || len(rules) == 0 {
		return TrustRule{}, false, err
	}
	return rules[0], true, nil
}

// seedOperatorPolicy makes the policy `scaivault-operator` with list on every tenant secret and binds it to the
// operator alone; it tells whether anything changed.
func seedOperatorPolicy(tx *store.Tx, operator string) (changed bool, err error) {
	var id, owner string
	err = tx.QueryRow(`SELECT id, owner FROM policies WHERE tenant = $1 AND name = $2`, guard.DefaultTenant, policyOperator).Scan(&id, &owner)
	missing := errors.Is(err, sql.ErrNoRows)
	switch {
	case err != nil && !missing:
		return false, fmt.Errorf("policy %s: %w", policyOperator, err)
	case missing && operator == "", !missing && owner != ownerBootstrap:
		return false, nil
	case missing:
		if id, err = insertOperatorPolicy(tx); err != nil {
			return false, err
		}
	}
	bound, err := bindOperator(tx, id, operator)
	return bound || missing, err
}

func insertOperatorPolicy(tx *store.Tx) (string, error) {
	id := newID("pol_")
	rules, err := json.Marshal([]vaultapi.Rule{{PathPattern: "**", Permissions: []string{string(policy.List)}}})
	if err != nil {
		return "", fmt.Errorf("rules of %s: %w", policyOperator, err)
	}
	at := tx.Now().UnixMicro()
	_, err = tx.Exec(`INSERT INTO policies (tenant, id, name, description, scope, is_active, rules, owner, created_at, updated_at)
		VALUES ($1, $2, $3, $4, 'tenant', 1, $5, $6, $7, $7)`, guard.DefaultTenant, id, policyOperator,
		"lets the operator list paths; it reads no value", string(rules), ownerBootstrap, at)
	if err != nil {
		return "", fmt.Errorf("store policy %s: %w", policyOperator, err)
	}
	return id, nil
}

// bindOperator leaves exactly one bootstrap binding of the policy, that of operator; none for "".
func bindOperator(tx *store.Tx, id, operator string) (changed bool, err error) {
	gone, err := tx.Exec(`DELETE FROM bindings WHERE tenant = $1 AND policy_id = $2 AND owner = $3 AND identity_id <> $4`,
		guard.DefaultTenant, id, ownerBootstrap, operator)
	if err != nil {
		return false, fmt.Errorf("bindings of %s: %w", policyOperator, err)
	}
	removed, err := gone.RowsAffected()
	if err != nil || operator == "" {
		return removed > 0, err
	}
	made, err := tx.Exec(`INSERT INTO bindings (tenant, id, policy_id, identity_type, identity_id, owner, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, policy_id, identity_type, identity_id) DO NOTHING`,
		guard.DefaultTenant, newID("bind_"), id, guard.TypeServiceAccount, operator, ownerBootstrap, tx.Now().UnixMicro())
	if err != nil {
		return false, fmt.Errorf("bind %s: %w", policyOperator, err)
	}
	added, err := made.RowsAffected()
	return removed+added > 0, err
}

// ParseServiceAccount reads <namespace>/<name>.
func ParseServiceAccount(s string) (namespace, name string, err error) {
	namespace, name, ok := strings.Cut(s, "/")
	if !ok || !validLabel(namespace) || !validSubdomain(name) {
		return "", "", fault.Invalid(fault.CodeInvalidRequest, "%.128q is not <namespace>/<name> of a ServiceAccount", s)
	}
	return namespace, name, nil
}
