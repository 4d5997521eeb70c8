package revocation

import (
	"context"
	"errors"

	"github.com/scailabs/scaivault/internal/certstatus"
	"github.com/scailabs/scaivault/server/fault"
)

// refusal is an answer of OCSP that says nothing of a certificate.
type refusal struct {
	name string // as metrics name it
	der  []byte
}

func malformed() refusal    { return refusal{"malformed", certstatus.RefuseMalformed()} }
func unauthorized() refusal { return refusal{"unauthorized", certstatus.RefuseUnauthorized()} }
func forNow() refusal       { return refusal{"try_later", certstatus.RefuseForNow()} }

// refusalFor says an error in OCSP's words; false where there is none.
func refusalFor(err error) (refusal, bool) {
	switch {
	case err == nil:
		return refusal{}, false
	case errors.Is(err, certstatus.ErrMalformed):
		return malformed(), true
	case fault.Is(err, fault.CodeCAInactive):
		return unauthorized(), true
	}
	return forNow(), true
}

// refuse is an answer that nobody should keep. Whoever asked cannot be told what failed here; the log is.
func (s *Service) refuse(ctx context.Context, id string, r refusal, why error) Answer {
	s.metrics.answered(r.name)
	if r.name == forNow().name {
		s.log.ErrorContext(ctx, "OCSP cannot answer", "ca_id", id, "error", why)
	}
	return Answer{DER: r.der}
}
