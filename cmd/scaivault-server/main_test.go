package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/authn"
)

// run executes a command line with an environment and returns what it printed.
func run(t *testing.T, env map[string]string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot(func(name string) string { return env[name] }, &out, &out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestServeSaysWhatIsMissing(t *testing.T) {
	_, err := run(t, nil)
	var config *server.ConfigError
	if !errors.As(err, &config) || len(config.Problems) != 3 {
		t.Fatalf("error is %v", err)
	}
	if text := explain(err); !strings.Contains(text, "--help") || !strings.Contains(text, "TLS is missing") {
		t.Errorf("explained as %s", text)
	}
}

func TestEnvironmentFillsWhatFlagsLeaveOpen(t *testing.T) {
	env := map[string]string{"DATA_DIR": "/from/env", "ROOT_KEY_FILE": "/key", "BIND_ADDRESS": "nonsense", "INSECURE_HTTP": "true"}
	_, err := run(t, env)
	var config *server.ConfigError
	if !errors.As(err, &config) || len(config.Problems) != 1 || !strings.Contains(config.Problems[0], "nonsense") {
		t.Errorf("error is %v, want one about the address", err)
	}
	_, err = run(t, env, "--listen", "other")
	if !errors.As(err, &config) || !strings.Contains(config.Problems[0], "other") {
		t.Errorf("the flag does not win: %v", err)
	}
	if _, err := run(t, map[string]string{"INSECURE_HTTP": "maybe"}); err == nil || !strings.Contains(err.Error(), "INSECURE_HTTP") {
		t.Errorf("error is %v", err)
	}
}

func TestHelpShowsNoValueOfTheEnvironment(t *testing.T) {
	out, err := run(t, map[string]string{"DATABASE_URL": "postgres://u:hunter2@h/d", "SCAIVAULT_DEV_TOKEN": "hunter2"}, "--help")
	if err != nil || strings.Contains(out, "hunter2") || !strings.Contains(out, "DATABASE_URL") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTokenCommands(t *testing.T) {
	env := map[string]string{"DATA_DIR": t.TempDir()}
	out, err := run(t, env, "token", "create", "--identity", "sa:ci", "--scopes", "secrets:read,secrets:list", "--expires-in", "30d", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var made authn.IssuedToken
	if err := json.Unmarshal([]byte(out), &made); err != nil || !strings.HasPrefix(made.Token, "skt_") || made.Name != "sa:ci" {
		t.Fatalf("made %s: %v", out, err)
	}
	if life := made.ExpiresAt.Sub(made.CreatedAt.Time).Hours(); life != 30*24 {
		t.Errorf("lives %v h", life)
	}
	list, err := run(t, env, "token", "list")
	if err != nil || !strings.Contains(list, made.ID) || !strings.Contains(list, "active") || strings.Contains(list, made.Token) {
		t.Errorf("list: %s %v", list, err)
	}
	if _, err := run(t, env, "token", "revoke", made.ID); err != nil {
		t.Fatal(err)
	}
	if list, err = run(t, env, "token", "list"); err != nil || !strings.Contains(list, "revoked") {
		t.Errorf("list: %s %v", list, err)
	}
	admin, err := run(t, env, "token", "create", "--admin")
	if err != nil || !strings.HasPrefix(admin, "skt_") || !strings.Contains(admin, "user:admin") {
		t.Errorf("first administrator: %s %v", admin, err)
	}
}

func TestTokenCommandsExplainRefusals(t *testing.T) {
	env := map[string]string{"DATA_DIR": t.TempDir()}
	tests := map[string]struct {
		args []string
		want string
	}{
		"no scope":     {[]string{"token", "create"}, "scopes: at least one scope"},
		"bad identity": {[]string{"token", "create", "--admin", "--identity", "system:x"}, "identity: user:<mail> or sa:<name>"},
		"bad life":     {[]string{"token", "create", "--admin", "--expires-in", "soon"}, "--expires-in"},
		"unknown id":   {[]string{"token", "revoke", "tok_none"}, "token_not_found"},
		"bad rule":     {[]string{"trust", "add", "x", "--identity", "user:ann"}, "identity:"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, env, tc.args...)
			if err == nil || !strings.Contains(explain(err), tc.want) {
				t.Errorf("explained as %q, want something about %q", explain(err), tc.want)
			}
		})
	}
	if _, err := run(t, nil, "token", "list"); err == nil || !strings.Contains(explain(err), "--data-dir") {
		t.Errorf("without a database: %v", err)
	}
}

func TestTrustCommands(t *testing.T) {
	env := map[string]string{"DATA_DIR": t.TempDir()}
	if _, err := run(t, env, "trust", "add", "billing", "--namespace", "billing", "--service-account", "app", "--identity", "sa:billing-prod", "--life", "5m"); err != nil {
		t.Fatal(err)
	}
	list, err := run(t, env, "trust", "list")
	if err != nil || !strings.Contains(list, "sa:billing-prod") || !strings.Contains(list, "5m") {
		t.Errorf("list: %s %v", list, err)
	}
	if _, err := run(t, env, "trust", "remove", "billing"); err != nil {
		t.Error(err)
	}
	if list, err = run(t, env, "trust", "list"); err != nil || strings.Contains(list, "billing") {
		t.Errorf("list: %s %v", list, err)
	}
}

func TestRootKeyCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.key")
	out, err := run(t, nil, "root-key", "generate", "--out", file)
	if err != nil || !strings.Contains(out, "Keep a copy") {
		t.Fatalf("%s %v", out, err)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, strings.TrimSpace(strings.Split(string(want), "\n")[1])) {
		t.Error("generating prints the key")
	}
	if out, err = run(t, nil, "root-key", "export", "--root-key-file", file); err != nil || out != string(want) {
		t.Errorf("exported %q, %v", out, err)
	}
	if _, err := run(t, nil, "root-key", "generate", "--out", file); err == nil {
		t.Error("an existing key was replaced")
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, want) {
		t.Errorf("the file changed: %v", err)
	}
}

func TestExplain(t *testing.T) {
	if got := explain(&vaultapi.Error{Code: "token_not_found", Message: "there is none"}); got != "token_not_found: there is none" {
		t.Errorf("got %q", got)
	}
	if got := explain(errors.New("x")); got != "error: x" {
		t.Errorf("got %q", got)
	}
}
