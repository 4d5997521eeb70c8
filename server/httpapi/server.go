package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Server answers /v1. It is made by New.
type Server struct {
	auth          Authenticator
	edge          Edge
	routes        []route
	mux           *http.ServeMux
	limiter       *limiter
	limits        [categories]limitRow
	metrics       *metrics
	trusted       []netip.Prefix
	now           func() time.Time
	log           *slog.Logger
	fixed         fixedHeaders
	buffers       *buffers
	publicMetrics bool
}

// fixedHeaders are header values that all answers share; nobody changes them.
type fixedHeaders struct {
	nosniff, noStore []string
	limits           [categories][]string
}

// newServer puts a route table behind gate and adapter.
func newServer(c Config, auth Authenticator, edge Edge, system System, build func(*Server) []route) (*Server, error) {
	c = c.withDefaults()
	limits, err := c.Limits.table()
	if err != nil {
		return nil, err
	}
	s := &Server{
		auth: auth, edge: edge, limits: limits, limiter: newLimiter(limits), trusted: c.TrustedProxies, now: c.Now, log: c.Log,
		buffers: newBuffers(), publicMetrics: c.PublicMetrics, fixed: fixedHeaders{nosniff: []string{"nosniff"}, noStore: []string{"no-store"}},
	}
	for i, row := range limits {
		s.fixed.limits[i] = []string{strconv.Itoa(row.perMinute)}
	}
	s.metrics = newMetrics(c.Collectors, system, limits)
	s.routes = s.finish(build(s))
	s.mux = s.newMux()
	return s, nil
}

// ServeHTTP answers one request: gate, mux, adapter.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := s.open(w, r)
	defer s.close(r.Context(), x)
	escaped := r.URL.EscapedPath()
	p, err := pass(escaped)
	if err != nil {
		s.refuse(r.Context(), x, s.anonymous(x, rateAnonymous), err)
		return
	}
	x.tenant = p.tenant
	if p.escaped != escaped {
		r = withPath(r, p)
		x.r = r
	}
	s.mux.ServeHTTP(x, r)
}

// withPath is the request as it is routed: without its tenant prefix.
func withPath(r *http.Request, p passage) *http.Request {
	short, u := *r, *r.URL
	u.Path, u.RawPath = p.path, p.escaped
	short.URL = &u
	return &short
}

// close counts the answer and turns a panic into an internal error. Neither log nor answer shows the panic's
// value unless the Go runtime made it: it could hold a secret.
func (s *Server) close(ctx context.Context, x *exchange) {
	p := recover()
	if p != nil {
		s.panicked(ctx, x, p)
	}
	s.metrics.answered(x, s.now().Sub(x.start))
	if p != nil && x.status != http.StatusInternalServerError {
		panic(http.ErrAbortHandler) // half an answer must not look whole
	}
}

func (s *Server) panicked(ctx context.Context, x *exchange, p any) {
	var known runtime.Error
	what := fmt.Sprintf("%T", p)
	if err, ok := p.(error); ok && errors.As(err, &known) {
		what = known.Error()
	}
	s.log.ErrorContext(ctx, "panic", "request_id", x.requestID, "panic", what, "stack", string(debug.Stack()))
	if x.status == 0 {
		s.fail(ctx, x, fault.New(fault.KindInternal, fault.CodeInternal, "internal error"))
	}
}

// refuse answers a request that got no further than the edge; an empty bucket goes before other reasons.
func (s *Server) refuse(ctx context.Context, x *exchange, v verdict, err error) {
	s.limitHeaders(x, v)
	if !v.ok {
		err = s.limited(v)
	}
	s.reject(ctx, x, err)
}

// reject records and answers a refusal at the edge.
func (s *Server) reject(ctx context.Context, x *exchange, err error) {
	s.fail(ctx, x, s.record(ctx, x, err))
}

// record writes a refusal at the edge into the audit trail and returns what the caller may be told: the refusal,
// or nothing of it if it could not be recorded.
func (s *Server) record(ctx context.Context, x *exchange, err error) error {
	f := fault.From(err)
	e := guard.Entry{
		Tenant: x.who.Tenant, Time: x.start, Action: edgeAction(f), IdentityType: x.who.Type, IdentityID: x.who.ID,
		UserAgent: userAgent(x.r), RequestID: x.requestID, Code: f.Code, Duration: s.now().Sub(x.start), Count: 1,
	}
	if e.Tenant == "" {
		e.Tenant = guard.DefaultTenant
	}
	if x.source.IsValid() {
		e.SourceIP = x.source.String()
	}
	if rerr := s.edge.Record(ctx, e); rerr != nil {
		return fault.Unavailable(rerr, "the audit trail cannot be written now; nothing is answered without it")
	}
	return err
}

// edgeAction is the audit action of a refusal at the edge (contract section 25).
func edgeAction(f *fault.Error) string {
	switch f.Kind {
	case fault.KindLimited:
		return "rate_limited"
	case fault.KindUnauthenticated, fault.KindForbidden:
		return "auth_failed"
	}
	return "request_invalid"
}
