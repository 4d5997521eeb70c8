package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// seen is what a server was asked.
type seen struct {
	Method, URI, Body string
	Header            http.Header
}

// serve answers every call with status and body, and keeps the calls.
func serve(t *testing.T, status int, body string) (*client.Client, *[]seen) {
	t.Helper()
	var calls []seen
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls = append(calls, seen{r.Method, r.RequestURI, string(b), r.Header})
		w.Header().Set("X-Request-ID", "req_1")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(srv.Close)
	return newClient(t, client.Options{BaseURL: srv.URL, Token: "skt_token", Retries: -1}), &calls
}

func newClient(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryCallAsTheContractWritesIt(t *testing.T) {
	ctx := t.Context()
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	yes := true
	cases := map[string]struct {
		call func(c *client.Client) error
		want string // method, URI, body
	}{
		"read": {func(c *client.Client) error {
			_, err := c.Secrets.Read(ctx, "app/db/pass word", client.ReadOptions{Version: 2})
			return err
		}, "GET /v1/secrets/app/db/pass%20word?version=2"},
		"write": {func(c *client.Client) error {
			_, err := c.Secrets.Write(ctx, "a/b", vaultapi.WriteRequest{Data: json.RawMessage(`{"n":12345678901234567890,"h":"<&>"}`), SecretType: "kv"})
			return err
		}, `PUT /v1/secrets/a/b {"data":{"n":12345678901234567890,"h":"<&>"},"secret_type":"kv"}`},
		"read metadata": {func(c *client.Client) error {
			_, err := c.Secrets.ReadMetadata(ctx, "a/b")
			return err
		}, "GET /v1/secrets/a/b/metadata"},
		"update metadata": {func(c *client.Client) error {
			_, err := c.Secrets.UpdateMetadata(ctx, "a/b", map[string]any{"tags": []string{"x"}, "owner": nil})
			return err
		}, `PATCH /v1/secrets/a/b/metadata {"metadata":{"owner":null,"tags":["x"]}}`},
		"versions": {func(c *client.Client) error {
			_, err := c.Secrets.Versions(ctx, "a/b")
			return err
		}, "GET /v1/secrets/a/b/versions"},
		"delete": {func(c *client.Client) error {
			_, err := c.Secrets.Delete(ctx, "a/b", client.DeleteOptions{})
			return err
		}, "DELETE /v1/secrets/a/b"},
		"delete for good": {func(c *client.Client) error {
			_, err := c.Secrets.Delete(ctx, "a/b", client.DeleteOptions{Permanent: true})
			return err
		}, "DELETE /v1/secrets/a/b?permanent=true"},
		"restore": {func(c *client.Client) error {
			_, err := c.Secrets.Restore(ctx, "a/b")
			return err
		}, "POST /v1/secrets/a/b/restore"},
		"list": {func(c *client.Client) error {
			_, err := c.Secrets.List(ctx, client.ListOptions{Prefix: "env/", Limit: 200, Cursor: "c", IncludeMetadata: true, ExpiringWithin: "30d"})
			return err
		}, "GET /v1/secrets?cursor=c&expiring_within=30d&include_metadata=true&limit=200&prefix=env%2F"},
		"batch read": {func(c *client.Client) error {
			_, err := c.Secrets.BatchRead(ctx, vaultapi.BatchRequest{Paths: []string{"a", "b"}})
			return err
		}, `POST /v1/secrets/batch {"paths":["a","b"]}`},
		"batch metadata": {func(c *client.Client) error {
			_, err := c.Secrets.BatchMetadata(ctx, vaultapi.BatchRequest{Paths: []string{"a/**"}, ExpandWildcards: true})
			return err
		}, `POST /v1/secrets/batch/metadata {"paths":["a/**"],"expand_wildcards":true}`},
		"create policy": {func(c *client.Client) error {
			_, err := c.Policies.Create(ctx, vaultapi.PolicyWrite{Name: "p", Rules: []vaultapi.Rule{{PathPattern: "a/**", Permissions: []string{"read"}}}})
			return err
		}, `POST /v1/policies {"name":"p","rules":[{"path_pattern":"a/**","permissions":["read"]}]}`},
		"get policy": {func(c *client.Client) error {
			_, err := c.Policies.Get(ctx, "pol_1")
			return err
		}, "GET /v1/policies/pol_1"},
		"who can": {func(c *client.Client) error {
			_, err := c.Policies.List(ctx, client.PolicyFilter{Path: "a/b", Permission: "read", Owner: "k8s:c", IncludeInactive: true})
			return err
		}, "GET /v1/policies?include_inactive=true&owner=k8s%3Ac&path=a%2Fb&permission=read"},
		"replace policy": {func(c *client.Client) error {
			_, err := c.Policies.Replace(ctx, "pol_1", vaultapi.PolicyWrite{Name: "p"})
			return err
		}, `PUT /v1/policies/pol_1 {"name":"p","rules":null}`},
		"patch policy": {func(c *client.Client) error {
			_, err := c.Policies.Patch(ctx, "pol_1", vaultapi.PolicyPatch{IsActive: &yes})
			return err
		}, `PATCH /v1/policies/pol_1 {"is_active":true}`},
		"delete policy": {func(c *client.Client) error {
			return c.Policies.Delete(ctx, "pol_1", client.PolicyDeleteOptions{Force: true, Owner: "o"})
		}, "DELETE /v1/policies/pol_1?force=true&owner=o"},
		"bindings": {func(c *client.Client) error {
			_, err := c.Policies.Bindings(ctx, "pol_1")
			return err
		}, "GET /v1/policies/pol_1/bindings"},
		"bind": {func(c *client.Client) error {
			_, err := c.Policies.Bind(ctx, "pol_1", vaultapi.BindingWrite{IdentityID: "sa:x"})
			return err
		}, `POST /v1/policies/pol_1/bindings {"identity_id":"sa:x"}`},
		"unbind": {func(c *client.Client) error {
			return c.Policies.Unbind(ctx, "pol_1", "bind_1", "")
		}, "DELETE /v1/policies/pol_1/bindings/bind_1"},
		"test policy": {func(c *client.Client) error {
			_, err := c.Policies.Test(ctx, vaultapi.PolicyTest{IdentityID: "sa:x", Path: "a", Permission: "read"})
			return err
		}, `POST /v1/policies/test {"identity_id":"sa:x","path":"a","permission":"read"}`},
		"audit logs": {func(c *client.Client) error {
			no := false
			_, err := c.Audit.Logs(ctx, client.AuditFilter{From: day, Actions: []string{"read", "write"}, PathPrefix: "a/", Success: &no, Limit: 5})
			return err
		}, "GET /v1/audit/logs?action=read%2Cwrite&from=2026-01-02T03%3A04%3A05Z&limit=5&path_prefix=a%2F&success=false"},
		"audit of a secret": {func(c *client.Client) error {
			_, err := c.Audit.SecretTrail(ctx, "a/b", client.AuditFilter{})
			return err
		}, "GET /v1/audit/secrets/a/b"},
		"audit of an identity": {func(c *client.Client) error {
			_, err := c.Audit.IdentityTrail(ctx, "user:alice@acme.example", client.AuditFilter{})
			return err
		}, "GET /v1/audit/identities/user:alice@acme.example"},
		"audit summary": {func(c *client.Client) error {
			_, err := c.Audit.Summary(ctx, day, time.Time{})
			return err
		}, "GET /v1/audit/summary?from=2026-01-02T03%3A04%3A05Z"},
		"audit verify": {func(c *client.Client) error {
			_, err := c.Audit.Verify(ctx)
			return err
		}, "GET /v1/audit/verify"},
		"subscribe": {func(c *client.Client) error {
			_, err := c.Subscriptions.Create(ctx, vaultapi.SubscriptionWrite{Name: "s", Paths: []string{"**"}, Events: []string{"secret.*"}, Delivery: vaultapi.Delivery{Type: "polling"}})
			return err
		}, `POST /v1/subscriptions {"name":"s","paths":["**"],"events":["secret.*"],"delivery":{"type":"polling"}}`},
		"subscriptions": {func(c *client.Client) error {
			_, err := c.Subscriptions.List(ctx, client.SubscriptionFilter{Owner: "o"})
			return err
		}, "GET /v1/subscriptions?owner=o"},
		"subscription": {func(c *client.Client) error {
			_, err := c.Subscriptions.Get(ctx, "sub_1")
			return err
		}, "GET /v1/subscriptions/sub_1"},
		"patch subscription": {func(c *client.Client) error {
			_, err := c.Subscriptions.Patch(ctx, "sub_1", vaultapi.SubscriptionPatch{Paths: &[]string{"a"}})
			return err
		}, `PATCH /v1/subscriptions/sub_1 {"paths":["a"]}`},
		"unsubscribe": {func(c *client.Client) error {
			return c.Subscriptions.Delete(ctx, "sub_1")
		}, "DELETE /v1/subscriptions/sub_1"},
		"poll": {func(c *client.Client) error {
			_, err := c.Subscriptions.Poll(ctx, "sub_1", client.PollOptions{Timeout: 30 * time.Second, SinceEventID: "evt_1", MaxEvents: 7})
			return err
		}, "GET /v1/subscriptions/sub_1/poll?max_events=7&since_event_id=evt_1&timeout=30"},
		"ack": {func(c *client.Client) error {
			return c.Subscriptions.Ack(ctx, "sub_1", "evt_1", "evt_2")
		}, `POST /v1/subscriptions/sub_1/ack {"event_ids":["evt_1","evt_2"]}`},
		"whoami": {func(c *client.Client) error {
			_, err := c.Auth.Whoami(ctx)
			return err
		}, "GET /v1/auth/whoami"},
		"introspect": {func(c *client.Client) error {
			_, err := c.Auth.Introspect(ctx, "skt_other")
			return err
		}, `POST /v1/auth/introspect {"token":"skt_other"}`},
		"exchange": {func(c *client.Client) error {
			_, err := c.Auth.Exchange(ctx, vaultapi.ExchangeRequest{SubjectToken: "eyJ"})
			return err
		}, `POST /v1/auth/exchange {"subject_token":"eyJ"}`},
		"health": {func(c *client.Client) error {
			_, err := c.System.Health(ctx)
			return err
		}, "GET /v1/health"},
		"ready": {func(c *client.Client) error {
			_, err := c.System.Ready(ctx)
			return err
		}, "GET /v1/health/ready"},
		"detailed": {func(c *client.Client) error {
			_, err := c.System.Detailed(ctx)
			return err
		}, "GET /v1/health/detailed"},
		"version": {func(c *client.Client) error {
			_, err := c.System.Version(ctx)
			return err
		}, "GET /v1/version"},
	}
	anonymous := map[string]bool{"exchange": true, "health": true, "ready": true, "version": true}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, calls := serve(t, http.StatusOK, `{"status":"ready"}`)
			if err := tc.call(c); err != nil {
				t.Fatal(err)
			}
			got := (*calls)[0]
			line := strings.TrimSpace(got.Method + " " + got.URI + " " + strings.TrimSpace(got.Body))
			if diff := cmp.Diff(tc.want, line); diff != "" {
				t.Errorf("call (-want +got):\n%s", diff)
			}
			if has := got.Header.Get("Authorization") == "Bearer skt_token"; has == anonymous[name] {
				t.Errorf("Authorization header sent: %v", has)
			}
		})
	}
}

func TestReadKeepsNumbersAndRedacts(t *testing.T) {
	c, _ := serve(t, http.StatusOK, `{"path":"a","version":3,"etag":"e3","tags":["x"],"metadata":{"size":12345678901234567890},
		"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","expires_at":null,"data":{"n":12345678901234567890}}`)
	s, err := c.Secrets.Read(t.Context(), "a", client.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(s.Data.Reveal()); got != `{"n":12345678901234567890}` {
		t.Errorf("data %s", got)
	}
	if got := fmt.Sprint(s.Metadata["size"]); got != "12345678901234567890" {
		t.Errorf("metadata number %s", got)
	}
	if printed := fmt.Sprintf("%v %+v %#v", *s, *s, s.Data); strings.Contains(printed, `"n"`) {
		t.Errorf("the value prints: %s", printed)
	}
	if s.ExpiresAt != nil || s.Version != 3 || s.Etag != "e3" {
		t.Errorf("read %+v", s.SecretInfo)
	}
}

func TestNotModified(t *testing.T) {
	c, calls := serve(t, http.StatusNotModified, "")
	_, err := c.Secrets.Read(t.Context(), "a", client.ReadOptions{IfNoneMatch: "e3"})
	if !errors.Is(err, client.ErrNotModified) {
		t.Fatalf("error %v", err)
	}
	if got := (*calls)[0].Header.Get("If-None-Match"); got != `"e3"` {
		t.Errorf("If-None-Match %s", got)
	}
}

func TestErrorEnvelope(t *testing.T) {
	c, _ := serve(t, http.StatusNotFound, `{"error":{"code":"secret_not_found","message":"no","details":{"path":"a"},"request_id":"req_1"}}`)
	_, err := c.Secrets.Read(t.Context(), "a", client.ReadOptions{})
	want := &vaultapi.Error{Status: 404, Code: "secret_not_found", Message: "no", Details: map[string]any{"path": "a"}, RequestID: "req_1"}
	var got *vaultapi.Error
	if !errors.As(err, &got) {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

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

// script answers call after call and keeps the time of each.
type script struct {
	answers []answer
	at      []time.Duration
	start   time.Time
}

type answer struct {
	status     int
	retryAfter string
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.at = append(s.at, time.Since(s.start))
	a := s.answers[min(len(s.at), len(s.answers))-1]
	h := http.Header{}
	if a.retryAfter != "" {
		h.Set("Retry-After", a.retryAfter)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
}

func TestRetries(t *testing.T) {
	read := func(ctx context.Context, c *client.Client) error {
		_, err := c.Secrets.Read(ctx, "a", client.ReadOptions{})
		return err
	}
	write := func(ctx context.Context, c *client.Client) error {
		_, err := c.Secrets.Write(ctx, "a", vaultapi.WriteRequest{Data: json.RawMessage(`{}`)})
		return err
	}
	cases := map[string]struct {
		call    func(context.Context, *client.Client) error
		answers []answer
		timeout time.Duration
		calls   int
		status  int // of the error; 0: none
		atLeast time.Duration
	}{
		"503 then success":            {read, []answer{{503, ""}, {200, ""}}, 0, 2, 0, 100 * time.Millisecond},
		"429 waits as told":           {read, []answer{{429, "7"}, {200, ""}}, 0, 2, 0, 7 * time.Second},
		"bounded":                     {read, []answer{{503, ""}}, 0, 4, 503, 700 * time.Millisecond},
		"too long a wait is told":     {read, []answer{{429, "3600"}}, 0, 1, 429, 0},
		"no wait beyond the deadline": {read, []answer{{429, "7"}}, 5 * time.Second, 1, 429, 0},
		"500 is not repeated":         {read, []answer{{500, ""}}, 0, 1, 500, 0},
		"404 is not repeated":         {read, []answer{{404, ""}}, 0, 1, 404, 0},
		"a write is not repeated":     {write, []answer{{503, ""}}, 0, 1, 503, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tc.answers, start: time.Now()}
				c := newClient(t, client.Options{BaseURL: "http://vault", HTTPClient: &http.Client{Transport: s}})
				ctx := t.Context()
				if tc.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.timeout)
					defer cancel()
				}
				err := tc.call(ctx, c)
				var failed *vaultapi.Error
				if errors.As(err, &failed); (tc.status == 0) != (err == nil) || failed != nil && failed.Status != tc.status {
					t.Errorf("error %v", err)
				}
				if len(s.at) != tc.calls {
					t.Errorf("%d calls, want %d", len(s.at), tc.calls)
				}
				if last := s.at[len(s.at)-1]; last < tc.atLeast || last > tc.atLeast*2+time.Second {
					t.Errorf("last call after %v, want about %v", last, tc.atLeast)
				}
			})
		})
	}
}

func TestCancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{429, "30"}}, start: time.Now()}
		c := newClient(t, client.Options{BaseURL: "http://vault", HTTPClient: &http.Client{Transport: s}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := c.Auth.Whoami(ctx)
		if took := time.Since(s.start); took != time.Second || vaultapi.Code(err) == "" {
			t.Errorf("took %v, error %v", took, err)
		}
	})
}
