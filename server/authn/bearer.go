package authn

import (
	"strings"

	"github.com/scailabs/scaivault/server/fault"
)

// Bearer takes the token out of the values of a request's Authorization headers. The scheme's case does not
// matter (RFC 9110 section 11.1) and more than one space may follow it; anything else that is not exactly one
// token of visible ASCII is refused. Errors: authentication_required when no bearer token was sent at all,
// token_invalid when what was sent cannot be one.
func Bearer(headers []string) (string, error) {
	if len(headers) == 0 || len(headers) == 1 && headers[0] == "" {
		return "", unauthenticated(fault.CodeAuthenticationRequired, "this call needs a token: send Authorization: Bearer <token>")
	}
	if len(headers) > 1 {
		return "", unauthenticated(fault.CodeTokenInvalid, "send one Authorization header, not %d", len(headers))
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", unauthenticated(fault.CodeAuthenticationRequired, "only bearer tokens are accepted: send Authorization: Bearer <token>")
	}
	token = strings.Trim(token, " ")
	if token == "" {
		return "", unauthenticated(fault.CodeAuthenticationRequired, "the Authorization header carries no token")
	}
	if err := checkBearer(token); err != nil {
		return "", err
	}
	return token, nil
}

// checkBearer refuses what can be no token, before anything is done with it.
func checkBearer(token string) error {
	if len(token) > maxBearer {
		return unauthenticated(fault.CodeTokenInvalid, "the token is longer than %d bytes", maxBearer)
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c > '~' {
			return unauthenticated(fault.CodeTokenInvalid, "the token holds characters that no token has")
		}
	}
	return nil
}
