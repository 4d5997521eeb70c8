package client_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func TestPathsThatWouldBeCleanedAreNeverSent(t *testing.T) {
	c, calls := serve(t, http.StatusOK, `{}`)
	for _, path := range []string{"", "/", "a//b", "a/../b", "./a", "a/.", "/a", "a/"} {
		if _, err := c.Secrets.Read(t.Context(), path, client.ReadOptions{}); vaultapi.Code(err) != "invalid_path" {
			t.Errorf("path %q: %v", path, err)
		}
	}
	if _, err := c.Policies.Get(t.Context(), ".."); vaultapi.Code(err) != "invalid_request" {
		t.Errorf("id ..: %v", err)
	}
	if len(*calls) != 0 {
		t.Errorf("sent %v", *calls)
	}
}

func TestHostileSegmentsStayInTheirSegment(t *testing.T) {
	c, calls := serve(t, http.StatusOK, `{}`)
	if _, err := c.Secrets.ReadMetadata(t.Context(), "a%2Fb/c?version=1#x"); err != nil {
		t.Fatal(err)
	}
	if got := (*calls)[0].URI; got != "/v1/secrets/a%252Fb/c%3Fversion=1%23x/metadata" {
		t.Errorf("URI %s", got)
	}
}

// TestMistake34TokenGoesToNoOtherHost: a redirect is refused, so the caller's token is not forwarded.
func TestMistake34TokenGoesToNoOtherHost(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/v1/auth/whoami", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	c := newClient(t, client.Options{BaseURL: srv.URL, Token: "skt_token", HTTPClient: srv.Client()})
	_, err := c.Auth.Whoami(t.Context())
	if vaultapi.Code(err) != "redirect_refused" || !strings.Contains(err.Error(), other.URL) {
		t.Errorf("error %v", err)
	}
	if reached {
		t.Error("the redirect was followed")
	}
}

// TestMistake37And38BrokenAnswersDoNotReachErrors: what a decoder complains about may be a value.
func TestMistake37And38BrokenAnswersDoNotReachErrors(t *testing.T) {
	for _, body := range []string{`{"data":hunter2}`, `{"version":"hunter2"}`, `{"version":20221122.5}`, `hunter2`, ``} {
		c, _ := serve(t, http.StatusOK, body)
		_, err := c.Secrets.Read(t.Context(), "a", client.ReadOptions{})
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "20221122") {
			t.Errorf("body %s: error %v", body, err)
		}
	}
	c, calls := serve(t, http.StatusOK, `{}`)
	_, err := c.Secrets.Write(t.Context(), "a", vaultapi.WriteRequest{Data: json.RawMessage(`{"p":hunter2}`)})
	if err == nil || strings.Contains(err.Error(), "hunter2") || len(*calls) != 0 {
		t.Errorf("write: error %v, calls %d", err, len(*calls))
	}
}

// TestMistake47AnswersAreBounded: an endless answer ends at the limit.
func TestMistake47AnswersAreBounded(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte(" "), 1<<20)
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	c := newClient(t, client.Options{BaseURL: srv.URL})
	if _, err := c.System.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error %v", err)
	}
}

func TestLogHoldsNeitherTokenNorValue(t *testing.T) {
	var buf bytes.Buffer
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"path":"a/b","data":{"p":"hunter2"}}`)
	}))
	defer srv.Close()
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := newClient(t, client.Options{BaseURL: srv.URL, Token: "skt_token", Log: log})
	if _, err := c.Secrets.Read(t.Context(), "a/b", client.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Secrets.Write(t.Context(), "a/b", vaultapi.WriteRequest{Data: json.RawMessage(`{"p":"hunter2"}`)}); err != nil {
		t.Fatal(err)
	}
	got := buf.String()
	if !strings.Contains(got, "path=/v1/secrets/a/b") || !strings.Contains(got, "status=200") {
		t.Errorf("log %s", got)
	}
	if strings.Contains(got, "hunter2") || strings.Contains(got, "skt_") {
		t.Errorf("log tells too much: %s", got)
	}
}

func TestReady(t *testing.T) {
	c, _ := serve(t, http.StatusServiceUnavailable, `{"status":"not_ready","checks":{"database":"error"},"errors":{"database":"gone"}}`)
	r, err := c.System.Ready(t.Context())
	if err != nil || r.Status != "not_ready" || r.Errors["database"] != "gone" {
		t.Errorf("ready %+v, %v", r, err)
	}
	c, _ = serve(t, http.StatusServiceUnavailable, `{"error":{"code":"service_unavailable"}}`)
	if _, err := c.System.Ready(t.Context()); vaultapi.Code(err) != "service_unavailable" {
		t.Errorf("error %v", err)
	}
}

func TestAllFollowsCursors(t *testing.T) {
	pages := map[string]string{
		"":   `{"secrets":[{"path":"a"},{"path":"b"}],"cursor":"c1","has_more":true}`,
		"c1": `{"secrets":[],"cursor":"c2","has_more":true}`,
		"c2": `{"secrets":[{"path":"c"}],"cursor":null,"has_more":false}`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, pages[r.URL.Query().Get("cursor")])
	}))
	defer srv.Close()
	c := newClient(t, client.Options{BaseURL: srv.URL})
	var got []string
	for item, err := range c.Secrets.All(t.Context(), client.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item.Path)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestWithTokenSharesConnections(t *testing.T) {
	c, calls := serve(t, http.StatusOK, `{}`)
	other := c.WithToken(func(context.Context) (string, error) { return "skt_other", nil })
	for _, one := range []*client.Client{other, c} {
		if _, err := one.Auth.Whoami(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := []string{(*calls)[0].Header.Get("Authorization"), (*calls)[1].Header.Get("Authorization")}
	if diff := cmp.Diff([]string{"Bearer skt_other", "Bearer skt_token"}, got); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	failing := c.WithToken(func(context.Context) (string, error) { return "", errors.New("no token yet") })
	if _, err := failing.Auth.Whoami(t.Context()); err == nil || !strings.Contains(err.Error(), "no token yet") {
		t.Errorf("error %v", err)
	}
}

func TestCAFile(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"healthy"}`) }))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, client.Options{BaseURL: srv.URL, CAFile: file}).System.Health(t.Context()); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	if _, err := newClient(t, client.Options{BaseURL: srv.URL}).System.Health(t.Context()); err == nil {
		t.Error("without its authority the server was believed")
	}
}

// An authority that is renewed is believed by a client that runs on, and one that is withdrawn is not.
func TestCAFileIsReadAgain(t *testing.T) {
	var protocol int
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol = r.ProtoMajor
		fmt.Fprint(w, `{"status":"healthy"}`)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	hold := func(der []byte) {
		t.Helper()
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hold(stranger(t))
	c := newClient(t, client.Options{BaseURL: srv.URL, CAFile: file, Retries: -1})
	for _, step := range []struct {
		holds []byte
		ok    bool
	}{{stranger(t), false}, {srv.Certificate().Raw, true}, {stranger(t), false}} {
		hold(step.holds)
		c.CloseIdleConnections()
		if _, err := c.System.Health(t.Context()); (err == nil) != step.ok {
			t.Errorf("believed: %v, want %t", err, step.ok)
		}
	}
	if protocol != 2 {
		t.Errorf("spoke HTTP/%d", protocol)
	}
}

// stranger is the certificate of an authority that vouches for nobody.
func stranger(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestNewRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	source := func(context.Context) (string, error) { return "", nil }
	for name, o := range map[string]client.Options{
		"no url":            {},
		"no scheme":         {BaseURL: "vault.example.com"},
		"other scheme":      {BaseURL: "ftp://vault.example.com"},
		"credentials":       {BaseURL: "https://a:b@vault.example.com"},
		"query":             {BaseURL: "https://vault.example.com?x=1"},
		"two tokens":        {BaseURL: "https://v", Token: "a", TokenSource: source},
		"absent CA file":    {BaseURL: "https://v", CAFile: empty + ".not"},
		"empty CA file":     {BaseURL: "https://v", CAFile: empty},
		"CA and own client": {BaseURL: "https://v", CAFile: empty, HTTPClient: &http.Client{}},
	} {
		if _, err := client.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
