package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/secrets"
)

// The domain is a stand-in in these tests: they are about the edge. test/contract runs the real one.

const goodToken = "skt_good"

type knownTokens struct{}

func (knownTokens) Authenticate(_ context.Context, bearer string) (guard.Caller, error) {
	if bearer != goodToken {
		return guard.Caller{}, fault.New(fault.KindUnauthenticated, fault.CodeTokenInvalid, "this token is not known here")
	}
	return guard.Caller{
		Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:billing:billing-prod",
		Scopes: []string{"secrets:read", "secrets:write"},
	}, nil
}

func (knownTokens) ResolveTenant(_ context.Context, who guard.Caller, requested string) (guard.Caller, error) {
	if requested != "tnt_other" {
		return guard.Caller{}, fault.Forbidden(fault.CodeTenantAccessDenied, "another tenant")
	}
	who.Tenant = requested
	return who, nil
}

type edgeLog struct {
	mu      sync.Mutex
	entries []guard.Entry
	broken  bool
}

func (l *edgeLog) Record(_ context.Context, e guard.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return errors.New("disk full")
	}
	l.entries = append(l.entries, e)
	return nil
}

func (l *edgeLog) last(t *testing.T) guard.Entry {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		t.Fatal("nothing was recorded at the edge")
	}
	return l.entries[len(l.entries)-1]
}

type fixture struct {
	*Server
	edge *edgeLog
	log  *strings.Builder
	now  time.Time
}

// newFixture serves rows; nil means the small table of stand-ins below.
func newFixture(t testing.TB, c Config, build func(*Server) []route) *fixture {
	t.Helper()
	f := &fixture{edge: &edgeLog{}, log: &strings.Builder{}, now: time.Unix(1_700_000_000, 0)}
	if c.Now == nil {
		c.Now = func() time.Time { return f.now }
	}
	if c.Log == nil {
		c.Log = testLogger(f.log)
	}
	if build == nil {
		build = standIns
	}
	s, err := newServer(c, knownTokens{}, f.edge, System{Version: "v0", InstanceID: "inst", Started: f.now}, build)
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	return f
}

type echoed struct {
	Row  string `json:"row"`
	Path string `json:"path"`
}

// echo is an endpoint that says which row was picked, and for which path.
type echo struct{}

func (echo) serve(_ context.Context, _ *Server, x *exchange) {
	body, _ := json.Marshal(echoed{Row: x.row.id, Path: x.path})
	x.answer(http.StatusOK, mediaJSON, body)
}
func (echo) types() (in, out reflect.Type) {
	return reflect.TypeFor[noInput](), reflect.TypeFor[echoed]()
}
func (echo) mediaType() string { return mediaJSON }

// echoTable is the real table with every handler replaced by echo.
func echoTable(s *Server) []route {
	rows := table(s, Services{})
	for i := range rows {
		rows[i].endpoint = echo{}
	}
	return rows
}

type writtenInput struct {
	Path secrets.Path `path:"path"`
	Body vaultapi.WriteRequest
}

// standIns are a few rows with behaviour.
func standIns(s *Server) []route {
	row := func(method, pattern, id string, rate category, e endpoint) route {
		return route{method: method, pattern: pattern, id: id, group: groupSecrets, scope: "secrets:read", rate: rate, action: "x", endpoint: e}
	}
	return append(systemRoutes(systemHandlers{system: System{}, server: s}),
		row("GET", "/v1/secrets/{path...}", "readSecret", rateReadSecrets,
			handle(readStandIn).withEtag(secretEtag).withEncoding(appendSecret)),
		row("PUT", "/v1/secrets/{path...}", "writeSecret", rateWriteSecrets,
			handle(func(_ context.Context, _ *call, in writtenInput) (vaultapi.WriteRequest, error) { return in.Body, nil })),
		row("POST", "/v1/secrets/{path...}/restore", "restoreSecret", rateWriteSecrets,
			handle(func(_ context.Context, _ *call, in writtenInput) (vaultapi.WriteRequest, error) { return in.Body, nil })),
		row("GET", "/v1/secrets", "listSecrets", rateList,
			handle(func(_ context.Context, _ *call, in listInput) (listInput, error) { return in, nil })),
	)
}

const storedValue = `{"url":"postgres://u:hunter2@db/x","big":123456789012345678901234567890,"esc":"\u0041<&>"}`

func readStandIn(ctx context.Context, c *call, in readInput) (secrets.Secret, error) {
	switch in.Path.String() {
	case "panics":
		panic("hunter2")
	case "panics/runtime":
		var none []int
		return secrets.Secret{}, fault.Internal(nil, "%d", none[len(none)])
	case "broken":
		return secrets.Secret{}, errors.New("db said hunter2")
	case "gone":
		return secrets.Secret{}, fault.NotFound(fault.CodeSecretNotFound, "no secret at gone").With("path", "gone")
	case "waits":
		<-ctx.Done()
		return secrets.Secret{}, fault.Unavailable(ctx.Err(), "the call ended")
	}
	return exampleSecret(in.Path.String()), nil
}

func (f *fixture) do(t testing.TB, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// envelope decodes an error answer and checks what every one of them must have.
func envelope(t testing.TB, w *httptest.ResponseRecorder) vaultapi.ErrorBody {
	t.Helper()
	var env vaultapi.ErrorEnvelope
	if err := json.Unmarshal(w.Body.Bytes(), &env); err != nil {
		t.Fatalf("status %d: no envelope: %v: %q", w.Code, err, w.Body)
	}
	if env.Error.Code == "" || env.Error.Message == "" {
		t.Errorf("envelope lacks code or message: %s", w.Body)
	}
	if id := w.Header().Get("X-Request-ID"); id == "" || id != env.Error.RequestID {
		t.Errorf("X-Request-ID %q, error.request_id %q", id, env.Error.RequestID)
	}
	checkHeaders(t, w)
	return env.Error
}

// checkHeaders: what stands on every answer.
func checkHeaders(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	for _, name := range []string{"X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		if w.Header().Get(name) == "" {
			t.Errorf("status %d: header %s is missing", w.Code, name)
		}
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("status %d: Cache-Control %q, X-Content-Type-Options %q", w.Code,
			w.Header().Get("Cache-Control"), w.Header().Get("X-Content-Type-Options"))
	}
}
