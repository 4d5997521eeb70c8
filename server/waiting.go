package server

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// waiting answers while the server is not ready: it lives, it says what it waits for, and it does nothing else.
type waiting struct {
	now   func() time.Time
	mu    sync.Mutex
	state vaultapi.Readiness
}

const (
	checkDatabase   = "database"
	checkEncryption = "encryption"
)

func newWaiting(now func() time.Time) *waiting {
	w := &waiting{now: now}
	w.set(checkDatabase, "the database is being opened", false)
	return w
}

// set says which check keeps the server from being ready; the checks before it have passed.
func (w *waiting) set(check, why string, empty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = vaultapi.Readiness{
		Status: "not_ready", Checks: map[string]string{checkDatabase: "ok", checkEncryption: "error"},
		Errors: map[string]string{check: why}, DatabaseEmpty: empty,
	}
	w.state.Checks[check] = "error"
	if check == checkDatabase {
		w.state.Errors[checkEncryption] = "the key chain is opened after the database"
	}
}

func (w *waiting) readiness() vaultapi.Readiness {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// ServeHTTP answers health and readiness; every other call is service_unavailable.
func (w *waiting) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	id := "req_" + strings.ToLower(rand.Text())
	out.Header().Set("X-Request-Id", id)
	switch r.URL.EscapedPath() {
	case "/v1/health":
		writeJSON(out, http.StatusOK, vaultapi.Health{Status: "healthy", Timestamp: vaultapi.At(w.now())})
	case "/v1/health/ready":
		writeJSON(out, http.StatusServiceUnavailable, w.readiness())
	default:
		out.Header().Set("Retry-After", "1")
		writeJSON(out, http.StatusServiceUnavailable, vaultapi.ErrorEnvelope{Error: vaultapi.ErrorBody{
			Code: fault.CodeUnavailable, Message: "the server is not ready: GET /v1/health/ready says why", RequestID: id,
		}})
	}
}

// writeJSON sends a small answer; a client that is gone cannot be told so.
func writeJSON(out http.ResponseWriter, status int, body any) {
	out.Header().Set("Content-Type", "application/json")
	out.Header().Set("Cache-Control", "no-store")
	out.WriteHeader(status)
	_ = json.NewEncoder(out).Encode(body)
}
