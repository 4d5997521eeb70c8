package authn

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

// DefaultLife is how long a personal token lives unless its maker says otherwise (contract section 15.1).
const DefaultLife = 90 * 24 * time.Hour

const (
	maxLife    = 10 * 365 * 24 * time.Hour
	purgeEvery = 10 * time.Minute
	purgeLease = 5 * time.Minute
	// keepPersonal lets an administrator see for a while which tokens ended; exchanged ones are too many for that.
	keepPersonal  = 30 * 24 * time.Hour
	keepExchanged = time.Hour
	purgeBatch    = 500
)

// TokenSpec is what a personal token is made of.
type TokenSpec struct {
	Name     string        `json:"name"`           // for people, 1 to 128 characters
	Identity string        `json:"identity"`       // user:<mail> or sa:<name>
	Scopes   []string      `json:"scopes"`         // at least one
	Roles    []string      `json:"roles"`          // super_admin | partner_admin | tenant_admin; usually none
	Life     time.Duration `json:"life,omitempty"` // nanoseconds; 0: DefaultLife
}

// TokenInfo describes a token; the token itself is not kept.
type TokenInfo struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	IdentityID string         `json:"identity_id"`
	TenantID   string         `json:"tenant_id"`
	Scopes     []string       `json:"scopes"`
	Roles      []string       `json:"roles"`
	CreatedAt  vaultapi.Time  `json:"created_at"`
	ExpiresAt  vaultapi.Time  `json:"expires_at"`
	RevokedAt  *vaultapi.Time `json:"revoked_at"`
	LastUsedAt *vaultapi.Time `json:"last_used_at"`
}

// IssuedToken is a token that was just made: the only time that Token is shown.
type IssuedToken struct {
	TokenInfo

	Token string `json:"token"`
}

// Create makes a personal token in who's tenant. Scope admin; who may not give what it does not hold itself,
// unless it is the server or a super_admin. Errors: validation_error, forbidden.
func (s *Service) Create(ctx context.Context, who guard.Caller, spec TokenSpec) (IssuedToken, error) {
	id := newID("tok_")
	access := guard.Access{Action: "token_create", Scope: scopeAdmin, Target: id}
	return guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (IssuedToken, error) {
		if err := spec.check(who); err != nil {
			return IssuedToken{}, err
		}
		bearer := mint(prefixPersonal)
		t := spec.token(id, who, bearer, c.Now())
		c.Note("identity", t.identityID)
		c.Note("scopes", strings.Join(t.scopes, " "))
		if err := insertToken(c.Tx, t); err != nil {
			return IssuedToken{}, err
		}
		return IssuedToken{TokenInfo: t.info(), Token: bearer}, nil
	})
}

// List returns the personal tokens of who's tenant, oldest first. Scope admin.
func (s *Service) List(ctx context.Context, who guard.Caller) ([]TokenInfo, error) {
	return guard.Do(ctx, s.guard, who, guard.Access{Action: "token_list", Scope: scopeAdmin}, func(*guard.Call) ([]TokenInfo, error) {
		tokens, err := tokensOf(ctx, s.db, who.Tenant, KindPersonal)
		if err != nil {
			return nil, fault.Unavailable(err, "tokens cannot be read now")
		}
		out := make([]TokenInfo, 0, len(tokens))
		for _, t := range tokens {
			out = append(out, t.info())
		}
		return out, nil
	})
}

// Revoke ends a token of who's tenant, of whatever kind; repeating it changes nothing. Scope admin.
// Error: token_not_found, also for another tenant's token.
func (s *Service) Revoke(ctx context.Context, who guard.Caller, id string) error {
	access := guard.Access{Action: "token_revoke", Scope: scopeAdmin, Target: id}
	_, err := guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (struct{}, error) {
		sum, err := revokeToken(c.Tx, who.Tenant, id, c.Now().UnixMicro())
		if errors.Is(err, sql.ErrNoRows) {
			return struct{}{}, fault.NotFound(fault.CodeTokenNotFound, "there is no token %.64q", id)
		}
		if err != nil {
			return struct{}{}, fmt.Errorf("revoke token: %w", err)
		}
		c.Tx.AfterCommit(func() { s.known.drop(sum) })
		return struct{}{}, nil
	})
	return err
}

// Jobs are what this package does later: it removes tokens that ended long ago. That they have ended does not wait
// for it: each is judged by its time.
func (s *Service) Jobs() []jobs.Kind {
	return []jobs.Kind{{Name: "token.purge", Lease: purgeLease, Every: purgeEvery, Run: func(ctx context.Context, _ jobs.Job) error {
		return s.Purge(ctx)
	}}}
}

// Purge removes tokens that ended long ago, a bounded number per transaction.
func (s *Service) Purge(ctx context.Context) error {
	now := s.now()
	for kind, keep := range map[string]time.Duration{KindPersonal: keepPersonal, KindExchanged: keepExchanged} {
		for removed := int64(purgeBatch); removed == purgeBatch; {
			err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
				removed, err = purgeTokens(tx, kind, now.Add(-keep).UnixMicro())
				return err
			})
			if err != nil {
				return fmt.Errorf("remove old %s tokens: %w", kind, err)
			}
		}
	}
	return nil
}

func (spec TokenSpec) check(who guard.Caller) error {
	wrong := map[string]string{}
	if n := len(spec.Name); n == 0 || n > 128 || strings.ContainsFunc(spec.Name, notPrintable) {
		wrong["name"] = "1 to 128 printable characters"
	}
	if !validIdentity(spec.Identity) {
		wrong["identity"] = "user:<mail> or sa:<name>, of lower-case letters, digits and . _ - + @ :"
	}
	if len(spec.Scopes) == 0 {
		wrong["scopes"] = "at least one scope"
	}
	for _, scope := range spec.Scopes {
		if !knownScope(scope) {
			wrong["scopes"] = fmt.Sprintf("%.64q is not a scope", scope)
		}
	}
	for _, role := range spec.Roles {
		if !slices.Contains([]string{guard.RoleSuperAdmin, RolePartnerAdmin, RoleTenantAdmin}, role) {
			wrong["roles"] = fmt.Sprintf("%.64q is not a role", role)
		}
	}
	if spec.Life < 0 || spec.Life > maxLife {
		wrong["life"] = "more than nothing and at most ten years"
	}
	if len(wrong) > 0 {
		return fault.Validation(wrong)
	}
	return spec.checkGrant(who)
}

// checkGrant keeps who from giving a token more than it holds.
func (spec TokenSpec) checkGrant(who guard.Caller) error {
	if who.Type == guard.TypeSystem || who.HasRole(guard.RoleSuperAdmin) {
		return nil
	}
	if len(spec.Roles) > 0 {
		return fault.Forbidden(fault.CodeForbidden, "only a super_admin may give roles")
	}
	for _, scope := range spec.Scopes {
		if !who.HasScope(scope) {
			return fault.Forbidden(fault.CodeForbidden, "you may not give scope %s, which your own token lacks", scope).With("scope", scope)
		}
	}
	return nil
}

func (spec TokenSpec) token(id string, who guard.Caller, bearer string, now time.Time) *token {
	life := spec.Life
	if life == 0 {
		life = DefaultLife
	}
	sum := sha256.Sum256([]byte(bearer))
	kind := guard.TypeUser
	if strings.HasPrefix(spec.Identity, "sa:") {
		kind = guard.TypeServiceAccount
	}
	return &token{
		id: id, tenant: who.Tenant, hash: sum[:], kind: KindPersonal, name: spec.Name,
		identityType: kind, identityID: spec.Identity, scopes: spec.Scopes, roles: spec.Roles,
		createdAt: now.UnixMicro(), expiresAt: now.Add(life).UnixMicro(),
	}
}

func (t *token) info() TokenInfo {
	return TokenInfo{
		ID: t.id, Name: t.name, IdentityID: t.identityID, TenantID: t.tenant, Scopes: t.scopes, Roles: t.roles,
		CreatedAt: vaultapi.AtMicros(t.createdAt), ExpiresAt: vaultapi.AtMicros(t.expiresAt),
		RevokedAt: vaultapi.MaybeAt(t.revokedAt), LastUsedAt: vaultapi.MaybeAt(t.lastUsedAt),
	}
}

// validIdentity accepts what a personal token may stand for: never system:, dynamic: or a group.
func validIdentity(id string) bool {
	kind, name, ok := strings.Cut(id, ":")
	if !ok || name == "" || len(id) > 256 || kind != "user" && kind != "sa" {
		return false
	}
	return strings.Trim(name, lowerAlphanumeric+"._-+@:") == ""
}

func notPrintable(r rune) bool { return r < ' ' || r == 0x7f }
