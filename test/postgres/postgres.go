// Package postgres gives tests a real PostgreSQL server: Debian's, on a Unix socket in a temporary directory,
// started once per test process and gone with it.
package postgres

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// bound is how long starting the server or making a database may take on a busy machine.
const bound = time.Minute

// Start returns the URL of a database of its own, empty, which goes when tb ends. The server runs without
// fsync: what tests durability against a crash of the machine needs another. TEST_POSTGRES_URL names a server
// to use instead; its user must be able to create databases.
func Start(tb testing.TB) string {
	tb.Helper()
	server, err := shared()
	if err != nil {
		tb.Fatalf("PostgreSQL (apt-get install postgresql): %v", err)
	}
	name, err := server.take()
	if err != nil {
		tb.Fatalf("create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := server.give(name); err != nil {
			tb.Errorf("drop database: %v", err)
		}
	})
	return server.at(name)
}

// instance is the server that the tests of this process share.
type instance struct {
	maintenance url.URL
	ours        bool // started by us, so that databases may stay
	mu          sync.Mutex
	free        []string // emptied databases; making one takes long, emptying it does not
}

func (s *instance) at(database string) string {
	u := s.maintenance
	u.Path = "/" + database
	return u.String()
}

func (s *instance) take() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		name := s.free[n-1]
		s.free = s.free[:n-1]
		return name, nil
	}
	name := "test_" + strings.ToLower(rand.Text())
	return name, run(s.maintenance.String(), "CREATE DATABASE "+name+" TEMPLATE template0")
}

// give takes a database back, without whoever may still be connected to it.
func (s *instance) give(name string) error {
	if !s.ours {
		return run(s.maintenance.String(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	}
	err := run(s.at(name), "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
		"DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, name)
	return nil
}

// Exec runs one statement in the server's maintenance database, as its administrator: to end connections
// of another database, for example.
func Exec(tb testing.TB, statement string) {
	tb.Helper()
	server, err := shared()
	if err == nil {
		err = run(server.maintenance.String(), statement)
	}
	if err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

func run(address string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return errors.Join(err, conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

var shared = sync.OnceValues(func() (*instance, error) {
	given := os.Getenv("TEST_POSTGRES_URL")
	if given == "" {
		return launch()
	}
	u, err := url.Parse(given)
	if err != nil {
		return nil, errors.New("TEST_POSTGRES_URL is not a URL")
	}
	return &instance{maintenance: *u}, nil
})

// supervise starts the server, says so, and takes everything away when its input ends: that happens when the
// test process ends, however it does.
const supervise = `
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --no-locale -N >"$2/log" 2>&1 &&
"$1/pg_ctl" -w -D "$2/data" -l "$2/log" -o "-k $2 -c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=32MB -c autovacuum_naptime=10" start >/dev/null 2>&1 &&
echo ready || exit
cat >/dev/null
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null 2>&1
rm -rf "$2"
`

func launch() (*instance, error) {
	programs, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "scaivault-postgres-") // a socket's path must be short
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", supervise, "postgres", programs, dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal ends the test first
	if err := demote(cmd, dir); err != nil {
		return nil, err
	}
	if err := await(cmd); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, log), os.RemoveAll(dir))
	}
	return &instance{ours: true, maintenance: url.URL{
		Scheme: "postgres", User: url.User("postgres"), Path: "/postgres",
		RawQuery: url.Values{"host": {dir}, "sslmode": {"disable"}}.Encode(),
	}}, nil
}

// await starts the supervisor and waits until it says that the server is ready. The pipe to its input stays
// open as long as this process lives.
func await(cmd *exec.Cmd) error {
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(out).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = errors.New("the server did not start")
		}
		line <- err
		_ = cmd.Wait() // its own end takes the server with it; what it would say comes too late
	}()
	select {
	case err := <-line:
		return err
	case <-time.After(bound):
		return fmt.Errorf("the server was not ready within %v", bound)
	}
}

// demote has the server run as the user postgres where the tests run as root, whom it refuses.
func demote(cmd *exec.Cmd, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(dir, int(uid), int(gid))
}

// programs finds the directory of the newest server: Debian keeps it off the PATH.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, newer)), nil
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", err
	}
	return filepath.Dir(initdb), nil
}

func newer(a, b string) int { return version(a) - version(b) }

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 for a name that is no version
	return n
}
