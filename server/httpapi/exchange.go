package httpapi

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/scailabs/scaivault/server/guard"
)

// exchange is one request and its answer. It is the ResponseWriter that travels through the mux, so that what
// the gate found needs no second look; domain code never sees it.
type exchange struct {
	w         http.ResponseWriter
	r         *http.Request
	row       *route       // nil before and without a route
	who       guard.Caller // zero before authentication
	bucket    bucketKey    // what the call was counted against
	start     time.Time
	requestID string
	source    netip.Addr
	tenant    string    // of /v1/t/{tenant}/…
	path      string    // the secret's path, without suffix
	status    int       // 0: nothing answered yet
	text      [6]string // what header values point into: one allocation instead of six
}

const (
	headerRequestID = "X-Request-Id" // canonical forms of the contract's names
	headerLimit     = "X-Ratelimit-Limit"
	headerRemaining = "X-Ratelimit-Remaining"
	headerReset     = "X-Ratelimit-Reset"
	headerTenant    = "X-Tenant-Id"
	headerEtag      = "Etag"

	maxRequestID = 64
	maxUserAgent = 256
)

func (s *Server) open(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{w: w, r: r, start: s.now(), requestID: requestID(r), source: sourceOf(r, s.trusted)}
	h := w.Header()
	x.set(h, 0, headerRequestID, x.requestID)
	h["X-Content-Type-Options"] = s.fixed.nosniff
	h["Cache-Control"] = s.fixed.noStore
	return x
}

// set is Header.Set for canonical names without an allocation of its own.
func (x *exchange) set(h http.Header, slot int, name, value string) {
	x.text[slot] = value
	h[name] = x.text[slot : slot+1 : slot+1]
}

// Header, Write and WriteHeader make an exchange a ResponseWriter; Unwrap gives http.ResponseController its way.
func (x *exchange) Header() http.Header         { return x.w.Header() }
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// WriteHeader remembers the first status.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.w.WriteHeader(status)
}

// Write answers 200 unless a status was given.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.w.Write(b)
}

// answer sends a whole body. A client that is gone cannot be told so; its connection ends by itself.
func (x *exchange) answer(status int, contentType string, body []byte) {
	h := x.Header()
	x.set(h, 1, "Content-Type", contentType)
	x.set(h, 2, "Content-Length", strconv.Itoa(len(body)))
	x.WriteHeader(status)
	_, _ = x.w.Write(body) //nolint:gosec // G705: JSON or metrics text with nosniff, never HTML
}

// limitHeaders tells how far the caller is from its limit; every answer does (contract section 16.2).
func (s *Server) limitHeaders(x *exchange, v verdict) {
	h := x.Header()
	h[headerLimit] = s.fixed.limits[v.category]
	x.set(h, 3, headerRemaining, strconv.FormatInt(v.remaining, 10))
	x.set(h, 4, headerReset, strconv.FormatInt(v.reset, 10))
}

// requestID takes the caller's id if it is fit for headers, logs and audit entries, else makes one.
func requestID(r *http.Request) string {
	if given := r.Header[headerRequestID]; len(given) == 1 && isRequestID(given[0]) {
		return given[0]
	}
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails: the process ends instead
	id := [4 + len(random)]byte{'r', 'e', 'q', '_'}
	for i, b := range random {
		id[4+i] = alphabet[b%32]
	}
	return string(id[:])
}

func isRequestID(s string) bool {
	if s == "" || len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isPathByte(c) && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// userAgent is the header in a form that is safe to record: bounded, valid, without control characters.
func userAgent(r *http.Request) string {
	agent := r.Header.Get("User-Agent")
	if len(agent) > maxUserAgent {
		agent = agent[:maxUserAgent]
	}
	if !utf8.ValidString(agent) {
		agent = strings.ToValidUTF8(agent, "?")
	}
	if strings.ContainsFunc(agent, isControl) {
		agent = strings.Map(func(c rune) rune {
			if isControl(c) {
				return '?'
			}
			return c
		}, agent)
	}
	return agent
}

func isControl(c rune) bool { return c < 0x20 || c == 0x7f }
