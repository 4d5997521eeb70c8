package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/script"
	"github.com/scailabs/scaivault/test/vault"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubectl-scaivault": main, completer: main})
}

// TestScripts runs testdata/script against one server, without a cluster. A value of the server's secrets holds
// the word canary; no script but revealed.txtar may print it.
func TestScripts(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	for path, fields := range map[string]any{
		"environments/production/billing/database": map[string]any{"url": "postgres://canary@db", "port": 5432},
		"environments/production/billing/stripe":   map[string]any{"api_key": "canary-stripe"},
	} {
		s.Must(vault.Request{Method: http.MethodPut, Path: "/v1/secrets/" + path, Body: map[string]any{"data": fields}}, nil)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SCAIVAULT_URL", s.URL)
			env.Setenv("SCAIVAULT_TOKEN", s.Token)
			env.Setenv("HOME", env.WorkDir+"/home")
			env.Setenv("KUBECONFIG", env.WorkDir+"/no-kubeconfig")
			return errors.Join(os.Mkdir(env.WorkDir+"/home", 0o700))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": script.Exits, "secret": secret},
	})
}

// secret fails if the output of the last program holds a value: secret
func secret(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: secret")
	}
	for _, out := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(out), "canary") {
			ts.Fatalf("%s holds a value", out)
		}
	}
}
