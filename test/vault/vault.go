// Package vault runs the real scaivault-server as a process of its own: built once per test process, on a free
// loopback port, to be killed, stopped and started again. It dies with the test process.
package vault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
)

// Token is the all-powerful token of every server that this package starts.
const Token = "test-token-of-the-fixture"

// startLimit is how long a server may take until it is ready on a loaded two-core machine.
const startLimit = 60 * time.Second

// Server is one scaivault-server process at a time, always at the same address.
type Server struct {
	URL  string // http://127.0.0.1:port
	Data string // directory of the log and, in vault/, of the embedded database
	Log  string // file that all its runs append to
	// Prefix is put before the server's command line, such as strace and its flags.
	Prefix []string
	// Args are added to the command line.
	Args []string
	// CA is the file with the authority of a server that speaks TLS.
	CA string
	// Env is added to the environment.
	Env []string

	tb       testing.TB
	database []string // flags that name it
	command  *exec.Cmd
	exited   chan struct{}
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "scaivault-server-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "scaivault-server")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", path, "./cmd/scaivault-server")
	cmd.Dir = root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build scaivault-server: %w\n%s", err, out)
	}
	return path, nil
})

// Binary is the path of scaivault-server, built at the first call.
func Binary() (string, error) { return binary() }

func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// New prepares a server with a data directory and a port of its own; Start runs it.
func New(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := prepare(tb, args)
	s.database = []string{"--data-dir", s.Vault()}
	return s
}

// NewTLS prepares a server that speaks TLS at https://localhost:port, with the files of a directory: tls.crt, tls.key,
// ca.crt.
func NewTLS(tb testing.TB, dir string, args ...string) *Server {
	tb.Helper()
	s := New(tb, append(args, "--tls-cert-file", filepath.Join(dir, "tls.crt"), "--tls-key-file", filepath.Join(dir, "tls.key"))...)
	s.URL = strings.Replace(s.URL, "http://127.0.0.1", "https://localhost", 1)
	s.CA = filepath.Join(dir, "ca.crt")
	return s
}

// NewReplica prepares one of the servers that share a PostgreSQL database and a root key.
func NewReplica(tb testing.TB, databaseURL, rootKeyFile string, args ...string) *Server {
	tb.Helper()
	s := prepare(tb, args)
	s.database = []string{"--root-key-file", rootKeyFile}
	s.Env = []string{"DATABASE_URL=" + databaseURL}
	return s
}

// Vault is the data directory of a server on the embedded database.
func (s *Server) Vault() string { return filepath.Join(s.Data, "vault") }

func prepare(tb testing.TB, args []string) *Server {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{URL: "http://" + l.Addr().String(), Data: tb.TempDir(), Args: args, tb: tb}
	s.Log = filepath.Join(s.Data, "server.log")
	_ = l.Close()
	tb.Cleanup(s.Stop)
	return s
}

// Start runs the server and waits until it is ready.
func (s *Server) Start() {
	s.tb.Helper()
	if err := s.Launch(); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.Ready(); err != nil {
		s.tb.Fatal(err)
	}
}

// Launch runs the server and does not wait.
func (s *Server) Launch() error {
	path, err := binary()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	line := append(append([]string{}, s.Prefix...), path, "--dev", "--dev-token", Token,
		"--listen", s.URL[strings.Index(s.URL, "//")+2:])
	line = append(append(line, s.database...), s.Args...)
	s.exited = make(chan struct{})
	started := make(chan error, 1)
	go s.run(line, log, s.exited, started)
	return <-started
}

// run keeps its thread: the kernel kills the child when the thread that made it ends.
func (s *Server) run(line []string, log *os.File, exited chan<- struct{}, started chan<- error) {
	runtime.LockOSThread()
	defer close(exited)
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(context.Background(), line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	s.command = cmd
	started <- nil
	_ = cmd.Wait()
}

// Ready waits until the server answers that it is ready.
func (s *Server) Ready() error {
	c := s.Client()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if r, err := c.System.Ready(context.Background()); err == nil && r.Status == "ready" {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("scaivault-server ended:\n%s", s.tail())
		case <-limit.C:
			return fmt.Errorf("scaivault-server is not ready after %s:\n%s", startLimit, s.tail())
		case <-tick.C:
		}
	}
}

// Kill ends the process group with SIGKILL and waits for the end.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the server as Kubernetes would, with SIGTERM, and waits for the end.
func (s *Server) Stop() { s.signal(syscall.SIGTERM) }

func (s *Server) signal(sig syscall.Signal) {
	if s.command == nil {
		return
	}
	if err := syscall.Kill(-s.command.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.tb.Errorf("signal scaivault-server: %v", err)
	}
	<-s.exited
	s.command = nil
}

// Running tells whether the process has not ended.
func (s *Server) Running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// PID is the server's process id, or its tracer's where Prefix names one.
func (s *Server) PID() int { return s.command.Process.Pid }

// Client is a client with the all-powerful token that does not retry.
func (s *Server) Client() *client.Client { return s.ClientFor(Token) }

// ClientFor is a client with another token.
func (s *Server) ClientFor(token string) *client.Client {
	c, err := client.New(client.Options{BaseURL: s.URL, CAFile: s.CA, Token: token, Retries: -1})
	if err != nil {
		s.tb.Fatal(err)
	}
	return c
}

func (s *Server) tail() string {
	b, err := os.ReadFile(s.Log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}
