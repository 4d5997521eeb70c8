package operator

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/scailabs/scaivault/test/controlplane"
)

// Call is one request of the operator.
type Call struct{ Method, Path string }

func (c Call) String() string { return c.Method + " " + c.Path }

// Writes tells whether the call changes something, by its method.
func (c Call) Writes() bool {
	return c.Method != http.MethodGet && c.Method != http.MethodHead && c.Method != "WATCH"
}

// Gate stands between the operator and the server that it talks to, changes nothing, and takes note. It can cut
// all connections, and end the operator at a chosen step.
type Gate struct {
	// URL is where the operator finds it.
	URL string

	server  *httptest.Server
	proxy   *httputil.ReverseProxy
	closing chan struct{}

	mu    sync.Mutex
	calls []Call
	trap  *trap
	shut  bool
}

// trap waits for one request.
type trap struct {
	match    func(Call) bool
	after    bool
	spring   func()        // nil: the request is held
	released chan struct{} // until when it is held
	passed   chan struct{} // when it is through
	sprung   chan Call
}

// NewGate opens a gate in front of a server.
func NewGate(tb testing.TB, target string, via http.RoundTripper) *Gate {
	tb.Helper()
	u, err := url.Parse(target)
	if err != nil {
		tb.Fatal(err)
	}
	g := &Gate{closing: make(chan struct{}), proxy: &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		Transport:     via,
		FlushInterval: -1, // a watch shows each event at once
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}}
	g.server = httptest.NewUnstartedServer(g)
	g.server.Config.ErrorLog = log.New(io.Discard, "", 0) // a killed operator ends its connections as it may
	return g
}

// NewVaultGate opens a gate in front of a vault that serves plain HTTP.
func NewVaultGate(tb testing.TB, target string) *Gate {
	tb.Helper()
	g := NewGate(tb, target, &http.Transport{MaxIdleConnsPerHost: 64})
	g.server.Start()
	g.URL = g.server.URL
	tb.Cleanup(g.close)
	return g
}

// NewAPIGate opens a gate in front of the API server and returns, beside it, a kubeconfig that goes through it
// with a token.
func NewAPIGate(tb testing.TB, plane *controlplane.Plane, token string) (*Gate, string) {
	tb.Helper()
	ca, err := os.ReadFile(plane.Config.CAFile)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	g := NewGate(tb, plane.URL, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true})
	g.server.EnableHTTP2 = true
	g.server.StartTLS()
	g.URL = g.server.URL
	tb.Cleanup(g.close)
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.server.Certificate().Raw})
	return g, Kubeconfig(tb, g.URL, own, token)
}

// Kubeconfig writes a kubeconfig with a token for a server whose authority is given as PEM.
func Kubeconfig(tb testing.TB, server string, authority []byte, token string) string {
	tb.Helper()
	dir := tb.TempDir()
	ca, path := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: test, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
`, server, ca, token)
	for file, content := range map[string][]byte{ca: authority, path: []byte(text)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return path
}

func (g *Gate) close() {
	close(g.closing)
	g.server.CloseClientConnections()
	g.server.Close()
}

// Cut breaks all connections; new ones are let through.
func (g *Gate) Cut() { g.server.CloseClientConnections() }

// Shut breaks all connections and refuses new ones until Open: the server is there for others.
func (g *Gate) Shut() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.Cut()
}

// Open ends Shut.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}

// Forget drops what was noted.
func (g *Gate) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = nil
}

// Calls returns what was asked since Forget and matches, in order.
func (g *Gate) Calls(match func(Call) bool) []Call {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Call
	for _, c := range g.calls {
		if match(c) {
			out = append(out, c)
		}
	}
	return out
}

// Trap calls spring at the next request that matches: before it reaches the server, or after the server did what
// it asks and before the operator learns of it. The request is never answered. The channel gets what was caught.
func (g *Gate) Trap(after bool, match func(Call) bool, spring func()) <-chan Call {
	t := &trap{match: match, after: after, spring: spring, sprung: make(chan Call, 1)}
	g.set(t)
	return t.sprung
}

// Hold keeps the next request that matches, or its answer on the way back, until release is called once, which waits
// until the rest of the way is gone: so long can a network take. The channel gets what is held.
func (g *Gate) Hold(after bool, match func(Call) bool) (held <-chan Call, release func()) {
	t := &trap{match: match, after: after, released: make(chan struct{}), passed: make(chan struct{}), sprung: make(chan Call, 1)}
	g.set(t)
	return t.sprung, func() {
		close(t.released)
		<-t.passed
	}
}

func (g *Gate) set(t *trap) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trap = t
}

// Disarm takes a trap away and tells whether nothing had fallen into it.
func (g *Gate) Disarm() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	set := g.trap != nil
	g.trap = nil
	return set
}

func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := Call{Method: r.Method, Path: strings.TrimSuffix(r.URL.Path, "/")}
	if r.URL.Query().Get("watch") != "" {
		c.Method = "WATCH"
	}
	t, shut := g.note(c)
	switch {
	case t != nil:
		g.caught(t, c, w, r)
	case shut:
		panic(http.ErrAbortHandler)
	default:
		g.proxy.ServeHTTP(w, r)
	}
}

// caught lets a trap do to a request what it was set for.
func (g *Gate) caught(t *trap, c Call, w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	if t.after {
		g.proxy.ServeHTTP(answer, r)
	}
	if t.spring != nil {
		t.spring()
		t.sprung <- c
		panic(http.ErrAbortHandler)
	}
	defer close(t.passed)
	t.sprung <- c
	select {
	case <-t.released:
	case <-g.closing:
	}
	if !t.after {
		g.proxy.ServeHTTP(w, r)
		return
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = answer.Body.WriteTo(w) // who asked may be gone
}

func (g *Gate) note(c Call) (*trap, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, c)
	t := g.trap
	if t == nil || g.shut || !t.match(c) {
		return nil, g.shut
	}
	g.trap = nil
	return t, false
}
