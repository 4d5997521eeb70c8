package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/postgres"
)

// errInjected is what a commit fails with while Fail asks for it.
var errInjected = errors.New("injected: the commit fails")

// Composed is the whole server in this process, on a real listener, with its clock and its commits in the hands
// of the test. It runs until the test ends or Stop is called; Start runs it again on the same database.
type Composed struct {
	Caller // with the all-powerful token

	Engine  store.Engine
	Cluster *Cluster // the stand-in whose workloads may exchange their tokens
	Log     Output   // what the server logs, at debug level
	Config  server.Config

	tb     testing.TB
	stop   context.CancelFunc
	ended  chan error
	commit atomic.Pointer[func() error]
	skew   atomic.Int64 // of the clock, in nanoseconds
	trap   atomic.Pointer[any]
	asks   string // asker's token, once there is one
}

// Each runs a test on a server on each engine.
func Each(t *testing.T, test func(t *testing.T, s *Composed)) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			s := Compose(t, engine)
			s.Start()
			test(t, s)
		})
	}
}

// Compose prepares a server on an empty database; Start runs it.
func Compose(tb testing.TB, engine store.Engine) *Composed {
	tb.Helper()
	s := &Composed{Engine: engine, Cluster: NewCluster(tb), tb: tb}
	s.Config = server.Config{
		Dev: true, DevToken: Token, Listen: "127.0.0.1:0", Version: "test", Stderr: &s.Log, LogLevel: "debug",
		KubernetesAuth: true, Kubeconfig: s.Cluster.Kubeconfig, OperatorAccount: OperatorAccount,
		Now: s.Now, BeforeCommit: s.beforeCommit, PublicMetrics: true,
	}
	if engine == store.SQLite {
		s.Config.DataDir = filepath.Join(tb.TempDir(), "vault")
	} else {
		s.Config.DatabaseURL, s.Config.RootKeyFile = postgres.Start(tb), RootKey(tb)
	}
	tb.Cleanup(s.Stop)
	return s
}

// RootKey makes a root key and gives its file.
func RootKey(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "root.key")
	key, err := seal.NewRootKey()
	if err == nil {
		err = key.Save(file)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

// Twin is another server on the same PostgreSQL database.
func (s *Composed) Twin() *Composed {
	s.tb.Helper()
	t := &Composed{Engine: s.Engine, Cluster: s.Cluster, tb: s.tb, Config: s.Config}
	t.Config.Now, t.Config.BeforeCommit, t.Config.Stderr = t.Now, t.beforeCommit, &t.Log
	s.tb.Cleanup(t.Stop)
	t.Start()
	return t
}

// Start runs the server and waits until it is ready.
func (s *Composed) Start() {
	s.tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	v, err := server.New(ctx, s.Config)
	if err != nil {
		stop()
		s.tb.Fatal(err)
	}
	s.stop, s.ended = stop, make(chan error, 1)
	s.Caller = Caller{TB: s.tb, URL: "http://" + v.Addr().String(), Token: Token, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	go func() { s.ended <- v.Run(ctx) }()
	s.Eventually("the server is ready", func() bool {
		select {
		case err := <-s.ended:
			s.ended <- err
			s.tb.Fatalf("the server ended: %v\n%s", err, s.Log.Tail())
		default:
		}
		return s.Do(Request{Path: "/v1/health/ready"}).Status == http.StatusOK
	})
}

// Stop ends the server in order.
func (s *Composed) Stop() {
	if s.stop == nil {
		return
	}
	s.Succeed()
	s.trap.Store(nil)
	s.HTTP.CloseIdleConnections()
	s.stop()
	s.stop = nil
	if err := <-s.ended; err != nil {
		s.tb.Errorf("the server ended with %v\n%s", err, s.Log.Tail())
	}
}

// Fail has every commit fail from now on.
func (s *Composed) Fail() { s.Commits(func() error { return errInjected }) }

// Succeed ends what Fail and Commits began.
func (s *Composed) Succeed() { s.commit.Store(nil) }

// Commits has do decide on every commit; it may wait.
func (s *Composed) Commits(do func() error) { s.commit.Store(&do) }

func (s *Composed) beforeCommit() error {
	if do := s.commit.Load(); do != nil {
		return (*do)()
	}
	return nil
}

// Shift moves the server's clock.
func (s *Composed) Shift(by time.Duration) { s.skew.Add(int64(by)) }

// Now is the server's clock. While Panic is armed it panics for whoever asks from within a request.
func (s *Composed) Now() time.Time {
	if v := s.trap.Load(); v != nil && inRequest() {
		panic(*v)
	}
	return time.Now().Add(time.Duration(s.skew.Load()))
}

// Panic has every request panic with v once it asks for the time inside domain code; nil ends it.
func (s *Composed) Panic(v any) {
	if v == nil {
		s.trap.Store(nil)
		return
	}
	s.trap.Store(&v)
}

// inRequest tells whether the caller works on a request, inside the guard.
func inRequest() bool {
	stack := debug.Stack()
	return bytes.Contains(stack, []byte("server/httpapi.")) && bytes.Contains(stack, []byte("server/guard."))
}

// Eventually waits until ok, at most a minute.
func (c *Caller) Eventually(what string, ok func() bool) {
	c.TB.Helper()
	limit, tick := time.NewTimer(time.Minute), time.NewTicker(10*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			c.TB.Fatalf("not within a minute: %s", what)
		}
	}
}

// Output keeps what is written to it.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String is everything so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Tail is the end of it.
func (o *Output) Tail() string {
	lines := strings.Split(strings.TrimSpace(o.String()), "\n")
	return fmt.Sprint(strings.Join(lines[max(0, len(lines)-30):], "\n"))
}
