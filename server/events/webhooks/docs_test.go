package webhooks_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// block returns the nth fenced block of a language in a page.
func block(t *testing.T, page, language string, nth int) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "spec", page))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(raw), "```"+language+"\n")
	if len(parts) <= nth {
		t.Fatalf("%s has %d blocks of %s", page, len(parts)-1, language)
	}
	text, _, _ := strings.Cut(parts[nth], "```")
	return text
}

// The page's ways of checking a signature accept what the server sends and nothing else.
func TestDocumentedCheck(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		w.hook("documented", r)
		w.write("app/db")
		w.until("a request", func() bool { return r.count() == 1 })
		q := r.requests()[0]
		dir := w.TempDir()
		mustWrite(w, filepath.Join(dir, "body"), q.body)
		cmd := exec.CommandContext(w.Context(), "bash", "-euo", "pipefail", "-c", block(t, "webhooks.md", "sh", 2))
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "timestamp="+q.header.Get("X-ScaiVault-Timestamp"), "secret="+signing)
		out, err := cmd.CombinedOutput()
		if err != nil || "sha256="+strings.TrimSpace(string(out)) != q.header.Get("X-ScaiVault-Signature") {
			w.Errorf("by hand: %s, %v", out, err)
		}
		later := q.header.Clone()
		later.Set("X-ScaiVault-Timestamp", "1000000000")
		verdict := runDocumented(t, dir, []documented{
			{q.header, q.body, signing}, {q.header, q.body + " ", signing}, {q.header, q.body, "other"}, {later, q.body, signing}, {http.Header{}, q.body, signing},
		})
		if verdict != "true false false false false" {
			w.Errorf("in Go: %q", verdict)
		}
	})
}

type documented struct {
	Header http.Header
	Body   string
	Secret string
}

// runDocumented builds the page's function into a program that judges requests.
func runDocumented(t *testing.T, dir string, requests []documented) string {
	t.Helper()
	raw, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, "requests.json"), string(raw))
	mustWrite(t, filepath.Join(dir, "go.mod"), "module receiver\n\ngo 1.24\n")
	mustWrite(t, filepath.Join(dir, "genuine.go"), block(t, "webhooks.md", "go", 1))
	mustWrite(t, filepath.Join(dir, "main.go"), `package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	raw, err := os.ReadFile("requests.json")
	if err != nil {
		panic(err)
	}
	var all []struct {
		Header http.Header
		Body   string
		Secret string
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		panic(err)
	}
	for i, r := range all {
		if i > 0 {
			fmt.Print(" ")
		}
		_, ok := genuine(&http.Request{Header: r.Header, Body: io.NopCloser(bytes.NewBufferString(r.Body))}, r.Secret)
		fmt.Print(ok)
	}
}
`)
	cmd := exec.CommandContext(t.Context(), "go", "run", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func mustWrite(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
