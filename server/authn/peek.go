package authn

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/scailabs/scaivault/server/fault"
)

// clockSkew is how far the clocks of a cluster and of the vault may differ.
const clockSkew = time.Minute

// claims are what an unverified workload token says of itself. They decide only whether asking the cluster is
// worth while, and which cluster; what is believed comes from the cluster.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Expires  float64  `json:"exp"` // seconds since 1970
}

// audience is `aud`: a string or a list of strings (RFC 7519 section 4.1.3), and the same thing either way.
type audience []string

// UnmarshalJSON accepts both forms.
func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil {
		return errors.New("aud is neither a string nor a list of strings")
	}
	*a = many
	return nil
}

// peek reads a JWT's claims without believing them, and refuses what no cluster would vouch for: garbage, `alg`
// none or symmetric, another audience, expired. So garbage is not turned into load on the Kubernetes API.
func peek(token, want string, now time.Time) (claims, error) {
	var c claims
	if len(token) > maxBearer {
		return c, notAWorkload("subject_token is longer than %d bytes", maxBearer)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[2] == "" {
		return c, notAWorkload("subject_token is not a signed JWT")
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	if !decodePart(parts[0], &header) || !decodePart(parts[1], &c) {
		return claims{}, notAWorkload("subject_token is not a JWT")
	}
	if _, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || !asymmetric(header.Algorithm) {
		return claims{}, notAWorkload("subject_token is not signed as a cluster signs")
	}
	return c, c.check(want, now)
}

func (c claims) check(want string, now time.Time) error {
	if !slices.Contains(c.Audience, want) {
		return notAWorkload("subject_token is not made for audience %s", want)
	}
	if _, _, ok := parseUsername(c.Subject); !ok {
		return notAWorkload("subject_token is not that of a ServiceAccount")
	}
	if c.Expires <= float64(now.Add(-clockSkew).Unix()) {
		return unauthenticated(fault.CodeTokenExpired, "subject_token has expired or does not say when it does")
	}
	return nil
}

func decodePart(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}

func asymmetric(alg string) bool {
	return slices.Contains(algorithmNames(), alg)
}

func notAWorkload(format string, args ...any) error {
	return unauthenticated(fault.CodeTokenInvalid, format, args...)
}
