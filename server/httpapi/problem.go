package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// statusOf is the one place where a kind of failure becomes an HTTP status (contract section 17).
func statusOf(f *fault.Error) int {
	switch f.Kind {
	case fault.KindInvalid:
		return http.StatusBadRequest
	case fault.KindUnauthenticated:
		return http.StatusUnauthorized
	case fault.KindForbidden:
		return http.StatusForbidden
	case fault.KindNotFound:
		if f.Code == fault.CodeMethodNotAllowed {
			return http.StatusMethodNotAllowed
		}
		return http.StatusNotFound
	case fault.KindConflict:
		return http.StatusConflict
	case fault.KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.KindUnprocessable:
		return http.StatusUnprocessableEntity
	case fault.KindLimited:
		return http.StatusTooManyRequests
	case fault.KindUnavailable:
		return http.StatusServiceUnavailable
	case fault.KindInternal:
	}
	return http.StatusInternalServerError
}

// fail answers with the envelope of an error. The private cause goes to the log and nowhere else.
func (s *Server) fail(ctx context.Context, x *exchange, err error) {
	f := fault.From(err)
	status := statusOf(f)
	if status >= http.StatusInternalServerError {
		s.log.ErrorContext(ctx, "request failed", "request_id", x.requestID, "code", f.Code, "error", f.Error())
	}
	h := x.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", fmt.Sprint(cmp.Or(f.Details["retry_after"], any(1))))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	h.Del("ETag")
	body, merr := json.Marshal(vaultapi.ErrorEnvelope{Error: vaultapi.ErrorBody{
		Code: f.Code, Message: f.Message, Details: f.Details, RequestID: x.requestID,
	}})
	if merr != nil { // a detail that is no JSON: say the rest
		body = []byte(`{"error":{"code":"` + f.Code + `","message":"see the server's log","request_id":"` + x.requestID + `"}}`)
	}
	x.answer(status, mediaJSON, body)
}

// limited is the refusal of a call whose bucket is empty (contract OC-28).
func (s *Server) limited(v verdict) error {
	seconds := max(1, int64(math.Ceil(v.retryAfter.Seconds())))
	s.metrics.rateLimited(v.category)
	return fault.New(fault.KindLimited, fault.CodeRateLimited, "too many calls of this kind: try again in %s", time.Duration(seconds)*time.Second).
		With("retry_after", seconds).With("category", s.limits[v.category].name)
}

func routeNotFound() error {
	return fault.NotFound(fault.CodeRouteNotFound, "no such route: see /v1/openapi.json")
}

func invalidRequest(format string, args ...any) *fault.Error {
	return fault.Invalid(fault.CodeInvalidRequest, format, args...)
}
