package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/test/script"
)

const rootToken = "root-token"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"scaivault": main})
}

// TestScripts runs testdata/script, each against a server of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Setup: serve, RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": script.Exits, "token": newToken, "mode": mode, "until": until, "capture": capture},
	})
}

// serve starts a server for one script.
func serve(env *testscript.Env) error {
	dir, err := os.MkdirTemp("", "vault") // short: a Unix socket goes there
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var log bytes.Buffer
	s, err := server.New(ctx, server.Config{
		Dev: true, DevToken: rootToken, DataDir: dir, Listen: "127.0.0.1:0", Stderr: &log, LogLevel: "error", Version: "v0-test",
	})
	if err != nil {
		stop()
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	env.Defer(func() {
		stop()
		if err := errors.Join(<-done, os.RemoveAll(dir)); err != nil {
			env.T().Log("server:", err, log.String())
			env.T().FailNow()
		}
	})
	env.Setenv("SCAIVAULT_URL", "http://"+s.Addr().String())
	env.Setenv("SCAIVAULT_TOKEN", rootToken)
	env.Setenv("DATA_DIR", dir)
	env.Setenv("HOME", env.WorkDir+"/home")
	return errors.Join(os.Mkdir(env.WorkDir+"/home", 0o700), reachable(s.Addr()))
}

// reachable waits until the server listens and its database is open.
func reachable(addr net.Addr) error {
	a := &app{now: time.Now, Console: console.Console{
		Out: &bytes.Buffer{}, Errors: &bytes.Buffer{},
		Home: func() (string, error) { return "/nowhere", nil },
		Getenv: func(name string) string {
			return map[string]string{"SCAIVAULT_URL": "http://" + addr.String(), "SCAIVAULT_TOKEN": rootToken}[name]
		},
	}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for a.run(context.Background(), []string{"health"}) != console.OK {
		select {
		case <-tick.C:
		case <-end.C:
			return errors.New("the server is not ready in a minute")
		}
	}
	return nil
}

// newToken makes a token and uses it from here on: token IDENTITY SCOPE,SCOPE
func newToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: token IDENTITY SCOPE,SCOPE")
	}
	admin, err := server.OpenAdmin(context.Background(), server.Config{Dev: true, DevToken: rootToken, DataDir: ts.Getenv("DATA_DIR")})
	ts.Check(err)
	made, err := admin.CreateToken(context.Background(), authn.TokenSpec{
		Identity: args[0], Name: args[0], Scopes: strings.Split(args[1], ","), Life: time.Hour,
	})
	ts.Check(errors.Join(err, admin.Close()))
	ts.Setenv("SCAIVAULT_TOKEN", made.Token)
}

// mode checks the permissions of a file: mode 0600 FILE
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode PERMISSIONS FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := "0" + strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// capture sets a variable to the first match in what the last program printed: capture NAME PATTERN
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	found := regexp.MustCompile(args[1]).FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], found)
}

// until repeats a program until its standard output has a text: until TEXT PROGRAM ARG...
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT PROGRAM ARG...")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		select {
		case <-tick.C:
		case <-end.C:
			ts.Fatalf("no %q in a minute", args[0])
		}
	}
}
