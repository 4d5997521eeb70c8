package authn

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// The kinds of token, and what they begin with.
const (
	KindPersonal  = "personal"
	KindExchanged = "exchanged"

	prefixPersonal  = "skt_"
	prefixExchanged = "skx_"
)

const (
	secretBytes   = 32
	checksumBytes = crc32.Size
	tokenLength   = len(prefixPersonal) + ((secretBytes+checksumBytes)*8+4)/5

	// maxBearer is more than any cluster's token, so that a longer one need not even be hashed.
	maxBearer = 16 << 10
)

func encoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// mint makes a token: prefix, 32 random bytes, and a checksum that tells a mistyped token from an unknown one.
func mint(prefix string) string {
	body := make([]byte, secretBytes, secretBytes+checksumBytes)
	_, _ = rand.Read(body) // never fails: crypto/rand ends the process instead
	body = binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(append([]byte(prefix), body...)))
	return prefix + encoding().EncodeToString(body)
}

// newID makes the id of an object: 26 random lower-case base32 characters (contract OC-2).
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// wellFormed tells whether bearer can be one of our tokens at all.
func wellFormed(bearer string) bool {
	prefix, rest := bearer[:min(len(bearer), len(prefixPersonal))], bearer[min(len(bearer), len(prefixPersonal)):]
	if len(bearer) != tokenLength || prefix != prefixPersonal && prefix != prefixExchanged {
		return false
	}
	body, err := encoding().DecodeString(rest)
	if err != nil || len(body) != secretBytes+checksumBytes {
		return false
	}
	secret, sum := body[:secretBytes], binary.BigEndian.Uint32(body[secretBytes:])
	return sum == crc32.ChecksumIEEE(append([]byte(prefix), secret...))
}

// token is a row of tokens with the partner of its tenant. Times are microseconds.
type token struct {
	id, tenant, partner, kind, name string
	hash                            []byte
	identityType, identityID        string
	scopes, roles                   []string
	cluster, namespace              string
	createdAt, expiresAt            int64
	revokedAt, lastUsedAt           *int64
}

// usable says why a token may not be used at a moment, if it may not.
func (t *token) usable(now time.Time) error {
	switch {
	case t.revokedAt != nil:
		return unauthenticated(fault.CodeTokenRevoked, "this token has been revoked: use another one")
	case now.UnixMicro() >= t.expiresAt:
		return unauthenticated(fault.CodeTokenExpired, "this token has expired: make a new one, or exchange again")
	}
	return nil
}

// caller shares the token's slices: nobody changes a Caller's scopes and roles in place.
func (t *token) caller() guard.Caller {
	return guard.Caller{
		Tenant: t.tenant, Partner: t.partner, Type: t.identityType, ID: t.identityID, DisplayName: t.name,
		Scopes: t.scopes, Roles: t.roles, Cluster: t.cluster, Namespace: t.namespace,
		TokenID: t.id, TokenExpires: time.UnixMicro(t.expiresAt).UTC(),
	}
}

func unauthenticated(code, format string, args ...any) *fault.Error {
	return fault.New(fault.KindUnauthenticated, code, format, args...)
}

// digest is what is kept of a token.
type digest = [sha256.Size]byte
