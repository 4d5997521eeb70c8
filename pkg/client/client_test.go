package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
