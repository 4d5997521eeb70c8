package authn

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"strings"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Authenticate says who presents bearer. The caller's SourceIP, UserAgent and RequestID are left to the edge.
// Errors: authentication_required (nothing was presented), token_invalid, token_expired, token_revoked, and
// service_unavailable when the database does not answer.
//
// Where this process is the only writer, a token found once is remembered until it is revoked here; elsewhere
// every call asks the database, so that a revocation by another replica acts at once.
func (s *Service) Authenticate(ctx context.Context, bearer string) (guard.Caller, error) {
	if bearer == "" {
		return guard.Caller{}, unauthenticated(fault.CodeAuthenticationRequired, "this call needs a token: send Authorization: Bearer <token>")
	}
	if err := checkBearer(bearer); err != nil {
		return guard.Caller{}, err
	}
	sum := sha256.Sum256([]byte(bearer))
	if s.dev.is(sum) {
		return s.dev.caller(), nil
	}
	t, err := s.find(ctx, bearer, sum)
	if err != nil {
		return guard.Caller{}, err
	}
	now := s.now()
	if err := t.usable(now); err != nil {
		return guard.Caller{}, err
	}
	s.used.mark(t.id, now)
	return t.caller(), nil
}

// find returns the token whose digest is sum, from memory where that cannot be stale.
func (s *Service) find(ctx context.Context, bearer string, sum digest) (*token, error) {
	if t, ok := s.known.get(sum); ok {
		return t, nil
	}
	if !wellFormed(bearer) {
		return nil, malformed(bearer)
	}
	before := s.known.generation()
	t, err := tokenByHash(ctx, s.db, sum)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, unauthenticated(fault.CodeTokenInvalid, "this token is not known here")
	case err != nil:
		return nil, fault.Unavailable(err, "tokens cannot be checked now")
	case subtle.ConstantTimeCompare(t.hash, sum[:]) != 1:
		return nil, unauthenticated(fault.CodeTokenInvalid, "this token is not known here")
	}
	s.known.put(sum, t, before)
	return t, nil
}

// malformed explains what kind of wrong token was sent; nothing of it is repeated.
func malformed(bearer string) error {
	if strings.Count(bearer, ".") == 2 {
		return unauthenticated(fault.CodeTokenInvalid, "a JWT is not accepted here: exchange it at POST /v1/auth/exchange first")
	}
	return unauthenticated(fault.CodeTokenInvalid, "this is not a ScaiVault token, or part of it is missing")
}

// devToken is the token of a development server, kept as its digest.
type devToken struct{ hash digest }

func (d *devToken) is(sum digest) bool {
	return d != nil && subtle.ConstantTimeCompare(d.hash[:], sum[:]) == 1
}

func (d *devToken) caller() guard.Caller {
	return guard.Caller{
		Tenant: guard.DefaultTenant, Partner: guard.DefaultPartner, Type: guard.TypeUser, ID: "user:dev",
		DisplayName: "development token", Scopes: Scopes(), Roles: []string{guard.RoleSuperAdmin}, TokenID: "tok_dev",
	}
}
