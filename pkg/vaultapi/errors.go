package vaultapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrorEnvelope is the body of every answer that is not 2xx (contract section 17).
type ErrorEnvelope struct {
	Error ErrorBody `json:"error"`
}

// ErrorBody says what went wrong; clients branch on Code.
type ErrorBody struct {
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Details   map[string]any `json:"details,omitempty"`
	RequestID string         `json:"request_id"`
}

// Error is a failed call as a client sees it.
type Error struct {
	Status     int
	Code       string
	Message    string
	Details    map[string]any
	RequestID  string
	RetryAfter time.Duration // from Retry-After; 0 when absent
}

// Error names the code, the message and the request id.
func (e *Error) Error() string {
	if e.RequestID == "" {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s (request %s)", e.Code, e.Message, e.RequestID)
}

// ParseError turns an answer that is not 2xx into an Error. A body that is no envelope gives a code by status.
func ParseError(status int, header http.Header, body []byte) *Error {
	e := &Error{Status: status, RequestID: header.Get("X-Request-ID")}
	if d, err := time.ParseDuration(header.Get("Retry-After") + "s"); err == nil {
		e.RetryAfter = d
	}
	var env ErrorEnvelope
	if err := json.Unmarshal(body, &env); err == nil && env.Error.Code != "" {
		e.Code, e.Message, e.Details = env.Error.Code, env.Error.Message, env.Error.Details
		return e
	}
	e.Code, e.Message = "internal_error", fmt.Sprintf("the server answered %d without an error envelope", status)
	if status == http.StatusServiceUnavailable || status == http.StatusBadGateway || status == http.StatusGatewayTimeout {
		e.Code = "service_unavailable"
	}
	return e
}

// Code returns the API's error code in err's chain, "" if there is none.
func Code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// IsNotFound tells whether the server said 404.
func IsNotFound(err error) bool { return status(err) == http.StatusNotFound }

// IsForbidden tells whether the server said 403.
func IsForbidden(err error) bool { return status(err) == http.StatusForbidden }

// IsUnauthenticated tells whether the server said 401.
func IsUnauthenticated(err error) bool { return status(err) == http.StatusUnauthorized }

// IsConflict tells whether the server said 409.
func IsConflict(err error) bool { return status(err) == http.StatusConflict }

// IsInvalid tells whether the server refused the input: 400, 413 or 422.
func IsInvalid(err error) bool {
	s := status(err)
	return s == http.StatusBadRequest || s == http.StatusUnprocessableEntity || s == http.StatusRequestEntityTooLarge
}

// IsRetryable tells whether the same call may succeed later without being changed.
func IsRetryable(err error) bool {
	s := status(err)
	return s == 0 || s == http.StatusTooManyRequests || s >= http.StatusInternalServerError
}
