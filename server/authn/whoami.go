package authn

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Whoami tells a caller what is known of it. Any token will do.
func (s *Service) Whoami(ctx context.Context, who guard.Caller) (vaultapi.Whoami, error) {
	return guard.Do(ctx, s.guard, who, guard.Access{Action: "auth_whoami"}, func(*guard.Call) (vaultapi.Whoami, error) {
		return vaultapi.Whoami{
			IdentityID: who.ID, IdentityType: who.Type, DisplayName: who.DisplayName, TenantID: who.Tenant, PartnerID: who.Partner,
			Scopes: listed(who.Scopes), Groups: listed(who.Groups), Roles: listed(who.Roles),
			Namespace: who.Namespace, Cluster: who.Cluster,
			MFAVerifiedAt: maybe(who.MFAVerifiedAt), TokenExpiresAt: maybe(who.TokenExpires),
		}, nil
	})
}

// Introspect tells an administrator what a token of its tenant is. Scope admin. Whatever is not a usable token of
// that tenant is active false and nothing else: unknown, expired, revoked and foreign tokens look the same.
func (s *Service) Introspect(ctx context.Context, who guard.Caller, req vaultapi.IntrospectRequest) (vaultapi.Introspection, error) {
	access := guard.Access{Action: "auth_introspect", Scope: scopeAdmin}
	return guard.Do(ctx, s.guard, who, access, func(c *guard.Call) (vaultapi.Introspection, error) {
		if req.Token == "" {
			return vaultapi.Introspection{}, fault.Invalid(fault.CodeInvalidRequest, "token is missing")
		}
		out, id, err := s.introspect(ctx, who.Tenant, req.Token, c.Now())
		if id != "" {
			c.Note("token_id", id)
		}
		return out, err
	})
}

func (s *Service) introspect(ctx context.Context, tenant, bearer string, now time.Time) (vaultapi.Introspection, string, error) {
	var none vaultapi.Introspection
	sum := sha256.Sum256([]byte(bearer))
	if s.dev.is(sum) {
		d := s.dev.caller()
		return vaultapi.Introspection{Active: true, IdentityID: d.ID, IdentityType: d.Type, TenantID: d.Tenant, Scopes: d.Scopes}, d.TokenID, nil
	}
	if !wellFormed(bearer) {
		return none, "", nil
	}
	t, err := tokenByHash(ctx, s.db, sum)
	if errors.Is(err, sql.ErrNoRows) {
		return none, "", nil
	}
	if err != nil {
		return none, "", fault.Unavailable(err, "tokens cannot be checked now")
	}
	if live := t.usable(now) == nil; t.tenant != tenant || !live {
		return none, "", nil
	}
	expires, issued := vaultapi.AtMicros(t.expiresAt), vaultapi.AtMicros(t.createdAt)
	return vaultapi.Introspection{
		Active: true, IdentityID: t.identityID, IdentityType: t.identityType, TenantID: t.tenant, Scopes: t.scopes,
		ExpiresAt: &expires, IssuedAt: &issued,
	}, t.id, nil
}

// listed is never null on the wire.
func listed(s []string) []string {
	if s == nil {
		return []string{}
	}
	return slices.Clone(s)
}

func maybe(t time.Time) *vaultapi.Time {
	if t.IsZero() {
		return nil
	}
	at := vaultapi.At(t)
	return &at
}
