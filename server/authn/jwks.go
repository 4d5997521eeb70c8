package authn

import (
	"context"
	"crypto"
	"errors"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/scailabs/scaivault/server/fault"
)

// maxVerifiedLife is the longest life of a token that is only verified: the cluster cannot be asked whether it
// still vouches for it, so that a deleted ServiceAccount's token is good to its end.
const maxVerifiedLife = 24 * time.Hour

// JWKS verifies a cluster's tokens by the keys that it publishes, where the vault cannot ask the cluster itself.
type JWKS struct {
	issuer string
	keys   *keySet
	now    func() time.Time
}

// NewJWKS verifies tokens of an issuer by the keys of a source. now may be nil.
func NewJWKS(issuer string, source KeySource, now func() time.Time) *JWKS {
	if now == nil {
		now = time.Now
	}
	return &JWKS{issuer: issuer, keys: &keySet{source: source, now: now}, now: now}
}

// Review implements Reviewer.
func (j *JWKS) Review(ctx context.Context, token, audience string) (ServiceAccount, error) {
	signed, err := jose.ParseSigned(token, algorithms())
	if err != nil || len(signed.Signatures) != 1 {
		return ServiceAccount{}, notAWorkload("subject_token is not signed as a cluster signs")
	}
	keys, err := j.keys.find(ctx, signed.Signatures[0].Header.KeyID)
	if err != nil {
		return ServiceAccount{}, fault.Unavailable(err, "the keys of the cluster that issued the token cannot be read now")
	}
	said, err := j.verified(ctx, token, audience, keys)
	if err != nil {
		return ServiceAccount{}, err
	}
	return said.account()
}

// kubernetesClaims are what Kubernetes says of a ServiceAccount in a token for it.
type kubernetesClaims struct {
	Subject    string  `json:"sub"`
	IssuedAt   float64 `json:"iat"` // seconds since 1970
	Expires    float64 `json:"exp"`
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// verified returns the claims of a token that one of the keys signed, for us, and that lives.
func (j *JWKS) verified(ctx context.Context, token, audience string, keys []crypto.PublicKey) (kubernetesClaims, error) {
	verifier := oidc.NewVerifier(j.issuer, &oidc.StaticKeySet{PublicKeys: keys},
		&oidc.Config{ClientID: audience, SupportedSigningAlgs: algorithmNames(), Now: j.now})
	var said kubernetesClaims
	t, err := verifier.Verify(ctx, token)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return said, unauthenticated(fault.CodeTokenExpired, "subject_token has expired")
	case err != nil, t.Claims(&said) != nil:
		return said, notAWorkload("no key of the cluster vouches for subject_token with this issuer and audience")
	case said.IssuedAt <= 0 || said.Expires-said.IssuedAt > maxVerifiedLife.Seconds():
		return said, notAWorkload("subject_token lives longer than %s: project one of at most that life", maxVerifiedLife)
	}
	return said, nil
}

// account believes the claims only if both places that name the ServiceAccount agree.
func (c kubernetesClaims) account() (ServiceAccount, error) {
	namespace, name, ok := parseUsername(c.Subject)
	k := c.Kubernetes
	if !ok || k.Namespace != namespace || k.ServiceAccount.Name != name || k.ServiceAccount.UID == "" {
		return ServiceAccount{}, notAWorkload("subject_token is not that of a ServiceAccount")
	}
	return ServiceAccount{Namespace: namespace, Name: name, UID: k.ServiceAccount.UID}, nil
}

// algorithms are those that a cluster may sign with.
func algorithms() []jose.SignatureAlgorithm {
	var all []jose.SignatureAlgorithm
	for _, name := range algorithmNames() {
		all = append(all, jose.SignatureAlgorithm(name))
	}
	return all
}

func algorithmNames() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}
