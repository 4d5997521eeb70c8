package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/server/fault"
)

// secretParam is the wildcard that holds a secret's path. ServeMux wants it last; what the table writes behind
// it (such as /metadata) is split off by wildRoutes.
const (
	secretParam    = "path"
	secretWildcard = "{" + secretParam + "...}"
)

// newMux makes the mux. Every request ends in one of our handlers: ServeMux itself would redirect to a path with
// a trailing slash and answer 404 and 405 in plain text.
func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	nowhere := http.HandlerFunc(s.nowhere)
	mux.Handle("/", nowhere)
	wild := map[string]*wildRoutes{}
	for i := range s.routes {
		row := &s.routes[i]
		base, suffix, ok := strings.Cut(row.pattern, secretWildcard)
		if !ok {
			mux.Handle(row.method+" "+row.pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.enter(r.Context(), exchangeOf(w, r), row)
			}))
			continue
		}
		if wild[base] == nil {
			wild[base] = &wildRoutes{s: s}
			mux.Handle(base+secretWildcard, wild[base])
			mux.Handle(strings.TrimSuffix(base, "/"), nowhere)
		}
		wild[base].rows = append(wild[base].rows, wildRow{suffix: suffix, row: row})
	}
	return mux
}

// exchangeOf gets back what ServeHTTP gave to the mux, with the request that carries the path's wildcards.
func exchangeOf(w http.ResponseWriter, r *http.Request) *exchange {
	x, ok := w.(*exchange)
	if !ok {
		panic("httpapi: a route was served without its gate")
	}
	x.r = r
	return x
}

// nowhere answers what no route takes: 405 with Allow where other methods would do, else 404.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(w, r)
	var allowed []string
	for _, method := range methods() {
		probe := *r
		probe.Method = method
		if _, pattern := s.mux.Handler(&probe); strings.HasPrefix(pattern, method+" ") {
			allowed = append(allowed, method)
		}
	}
	s.noRoute(r.Context(), x, allowed)
}

func (s *Server) noRoute(ctx context.Context, x *exchange, allowed []string) {
	err := routeNotFound()
	if len(allowed) > 0 {
		if slices.Contains(allowed, http.MethodGet) {
			allowed = append(allowed, http.MethodHead)
		}
		x.Header().Set("Allow", strings.Join(allowed, ", "))
		err = fault.NotFound(fault.CodeMethodNotAllowed, "this route does not take this method")
	}
	s.refuse(ctx, x, s.anonymous(x, rateAnonymous), err)
}

func methods() []string {
	return []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
}

// wildRoutes are the rows of one pattern that ends in a secret's path.
type wildRoutes struct {
	s    *Server
	rows []wildRow
}

type wildRow struct {
	suffix string
	row    *route
}

// ServeHTTP picks the row by method and suffix.
func (t *wildRoutes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(w, r)
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path := r.PathValue(secretParam)
	suffix := t.viewed(method, r)
	if suffix == "" {
		path, suffix = t.split(method, path)
	}
	x.path = path
	if row := t.find(method, suffix); row != nil {
		t.s.enter(r.Context(), x, row)
		return
	}
	var allowed []string
	for _, m := range methods() {
		_, suffix := t.split(m, r.PathValue(secretParam))
		if t.find(m, suffix) != nil {
			allowed = append(allowed, m)
		}
	}
	t.s.noRoute(r.Context(), x, allowed)
}

// split divides what follows a pattern into a path and what is asked of it: a suffix that the method has a row for.
// metadata and versions are reserved as a secret's last segment. A secret may end in the others: they belong to methods
// that no secret is read or written with.
func (t *wildRoutes) split(method, path string) (name, suffix string) {
	for _, w := range t.rows {
		if w.suffix == "" || w.row.method != method {
			continue
		}
		if name, ok := strings.CutSuffix(path, w.suffix); ok {
			return name, w.suffix
		}
	}
	return path, ""
}

func (t *wildRoutes) find(method, suffix string) *route {
	for _, w := range t.rows {
		if w.row.method == method && w.suffix == suffix {
			return w.row
		}
	}
	return nil
}

// viewed gives the suffix that ?view= stands for: the form that always works, also for a federated path whose
// last segment is `metadata` (contract OC-4). An unknown view is left to the read route to refuse.
func (t *wildRoutes) viewed(method string, r *http.Request) string {
	if method != http.MethodGet || !strings.Contains(r.URL.RawQuery, "view=") {
		return ""
	}
	suffix := "/" + r.URL.Query().Get("view")
	if suffix != suffixMetadata && suffix != suffixVersions || t.find(method, suffix) == nil {
		return ""
	}
	return suffix
}

// The suffixes of a secret's path (contract OC-4).
const (
	suffixMetadata = "/metadata"
	suffixVersions = "/versions"
	suffixRestore  = "/restore"
	suffixRotate   = "/rotate"
	suffixGrace    = "/grace" // of a secret's place under a rotation policy
)
