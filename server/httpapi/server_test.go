package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/secrets"
)

func testLogger(b *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func exampleSecret(path string) secrets.Secret {
	return secrets.Secret{
		SecretInfo: vaultapi.SecretInfo{
			Path: path, SecretType: "json", Version: 3, Etag: "abc", Tags: []string{"a"},
			Metadata:  map[string]any{"owner": "team:x", "tags": []any{"a"}, "n": json.Number("1e400")},
			CreatedAt: vaultapi.AtMicros(1_700_000_000_000_000), UpdatedAt: vaultapi.AtMicros(1_700_000_001_000_000), RotationStatus: "none",
		},
		Data: seal.NewPlaintext([]byte(storedValue)),
	}
}

func TestRead(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	w := f.do(t, "GET", "/v1/secrets/a/b", "")
	if w.Code != http.StatusOK || w.Header().Get("ETag") != `"abc"` || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, headers %v", w.Code, w.Header())
	}
	checkHeaders(t, w)
	var got vaultapi.Secret
	dec := json.NewDecoder(w.Body)
	dec.UseNumber()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if string(got.Data.Reveal()) != storedValue {
		t.Errorf("the value went out as %s", got.Data.Reveal())
	}
	if len(f.edge.entries) != 0 {
		t.Errorf("the edge recorded %v, although the domain did", f.edge.entries)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	server := httptest.NewServer(f)
	defer server.Close()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, server.URL+"/v1/secrets/a/b", nil)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength < 100 || resp.Header.Get("ETag") == "" {
		t.Errorf("status %d, length %d, ETag %q", resp.StatusCode, resp.ContentLength, resp.Header.Get("ETag"))
	}
}

func TestIfNoneMatch(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	for header, want := range map[string]int{
		`"abc"`: 304, `W/"abc"`: 304, `*`: 304, `"x", "abc"`: 304, `"x"`: 200, `abc`: 200, ``: 200, `"ab"c"`: 200,
	} {
		w := f.do(t, "GET", "/v1/secrets/a/b", "", "If-None-Match", header)
		if w.Code != want || w.Header().Get("ETag") != `"abc"` {
			t.Errorf("If-None-Match %s: status %d, ETag %s", header, w.Code, w.Header().Get("ETag"))
		}
		if want == 304 && w.Body.Len() > 0 {
			t.Errorf("a 304 with body %q", w.Body)
		}
		checkHeaders(t, w)
	}
}

func TestRequestID(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	for given, kept := range map[string]bool{
		"abc-DEF_123": true, strings.Repeat("a", 64): true,
		strings.Repeat("a", 65): false, "a b": false, "a\nb": false, "ü": false, "": false, `"`: false,
	} {
		w := f.do(t, "GET", "/v1/secrets/gone", "", "X-Request-ID", given)
		got := envelope(t, w).RequestID
		if (got == given) != kept {
			t.Errorf("X-Request-ID %q became %q", given, got)
		}
		if !kept && (!strings.HasPrefix(got, "req_") || len(got) != 24) {
			t.Errorf("made id %q", got)
		}
	}
	r := httptest.NewRequest("GET", "/v1/health", nil)
	r.Header["X-Request-Id"] = []string{"a", "b"}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if got := w.Header().Values("X-Request-ID"); len(got) != 1 || !strings.HasPrefix(got[0], "req_") {
		t.Errorf("two ids became %q", got)
	}
}

func TestAuthenticationFailures(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	for header, code := range map[string]string{
		"": fault.CodeAuthenticationRequired, "Bearer": fault.CodeAuthenticationRequired, "Basic dXNlcg==": fault.CodeAuthenticationRequired,
		"Bearer wrong": fault.CodeTokenInvalid, "Bearer a b": fault.CodeTokenInvalid,
	} {
		w := f.do(t, "GET", "/v1/secrets/a/b", "", "Authorization", header)
		if e := envelope(t, w); w.Code != http.StatusUnauthorized || e.Code != code {
			t.Errorf("Authorization %q: %d %s, want %s", header, w.Code, e.Code, code)
		}
		if w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("Authorization %q: no WWW-Authenticate", header)
		}
		if e := f.edge.last(t); e.Action != "auth_failed" || e.Code != code || e.SourceIP != "192.0.2.1" || e.Tenant != guard.DefaultTenant {
			t.Errorf("recorded %+v", e)
		}
	}
}

func TestTenants(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	if w := f.do(t, "GET", "/v1/t/tnt_other/secrets/a/b", ""); w.Code != http.StatusOK {
		t.Errorf("prefix: %d %s", w.Code, w.Body)
	}
	if w := f.do(t, "GET", "/v1/t/tnt_other/secrets/a/b", "", "X-Tenant-ID", "tnt_foreign"); w.Code != http.StatusOK {
		t.Errorf("the prefix goes before the header: %d %s", w.Code, w.Body)
	}
	for _, w := range []*httptest.ResponseRecorder{
		f.do(t, "GET", "/v1/t/tnt_foreign/secrets/a/b", ""),
		f.do(t, "GET", "/v1/secrets/a/b", "", "X-Tenant-ID", "tnt_foreign"),
	} {
		if e := envelope(t, w); e.Code != fault.CodeTenantAccessDenied {
			t.Errorf("code %s", e.Code)
		}
		if e := f.edge.last(t); e.Action != "auth_failed" || e.IdentityID != "sa:billing:billing-prod" {
			t.Errorf("recorded %+v", e)
		}
	}
}

func TestUnknownErrorsSayNothing(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	for _, path := range []string{"broken", "panics", "panics/runtime"} {
		w := f.do(t, "GET", "/v1/secrets/"+path, "")
		if e := envelope(t, w); w.Code != http.StatusInternalServerError || e.Code != fault.CodeInternal || e.Details != nil {
			t.Errorf("%s: %d %+v", path, w.Code, e)
		}
		if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "index") {
			t.Errorf("%s: the answer tells the cause: %s", path, w.Body)
		}
	}
	log := f.log.String()
	if !strings.Contains(log, "index out of range") || !strings.Contains(log, "db said") {
		t.Errorf("the log lacks a cause: %s", log)
	}
	if strings.Contains(log, "panic=hunter2") || strings.Contains(log, `panic="hunter2`) || !strings.Contains(log, "panic=string") {
		t.Errorf("the log shows a panic's value: %s", log)
	}
}

// A refusal that cannot be recorded is not explained either.
func TestNoEntryNoAnswer(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	f.edge.broken = true
	for _, w := range []*httptest.ResponseRecorder{
		f.do(t, "GET", "/v1/secrets/a/b", "", "Authorization", "Bearer wrong"),
		f.do(t, "GET", "/v1/secrets/A", ""),
		f.do(t, "GET", "/v1/secrets/a?version=x", ""),
	} {
		if e := envelope(t, w); w.Code != http.StatusServiceUnavailable || e.Code != fault.CodeUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%d %+v", w.Code, e)
		}
	}
}

func TestStrictQueries(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	for query, want := range map[string]struct{ code, parameter string }{
		"limit=0":                   {fault.CodeInvalidRequest, "limit"},
		"limit=-1":                  {fault.CodeInvalidRequest, "limit"},
		"limit=1001":                {fault.CodeInvalidRequest, "limit"},
		"limit=abc":                 {fault.CodeInvalidRequest, "limit"},
		"limit=1e3":                 {fault.CodeInvalidRequest, "limit"},
		"limit=1&limit=2":           {fault.CodeInvalidRequest, "limit"},
		"include_metadata=yes":      {fault.CodeInvalidRequest, "include_metadata"},
		"expiring_within=soon":      {fault.CodeInvalidDuration, "expiring_within"},
		"expiring_within=-1h":       {fault.CodeInvalidDuration, "expiring_within"},
		"limit=%zz":                 {fault.CodeInvalidRequest, ""},
		"limit=1;cursor=2":          {fault.CodeInvalidRequest, ""},
		"limit=9223372036854775808": {fault.CodeInvalidRequest, "limit"},
	} {
		w := f.do(t, "GET", "/v1/secrets?"+query, "")
		e := envelope(t, w)
		if w.Code != http.StatusBadRequest || e.Code != want.code {
			t.Errorf("%s: %d %s", query, w.Code, e.Code)
		}
		if want.parameter != "" && e.Details["parameter"] != want.parameter && e.Details["field"] != want.parameter {
			t.Errorf("%s: details %v do not name %s", query, e.Details, want.parameter)
		}
		if got := f.edge.last(t).Action; got != "request_invalid" {
			t.Errorf("%s: recorded as %s", query, got)
		}
	}
	w := f.do(t, "GET", "/v1/secrets?prefix=a/&limit=200&include_metadata=true&expiring_within=30d&unknown=1", "")
	var got listInput
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := listInput{Prefix: "a/", Limit: 200, IncludeMetadata: true, ExpiringWithin: 30 * 24 * 3600 * 1e9}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w := f.do(t, "GET", "/v1/secrets", ""); !strings.Contains(w.Body.String(), `"Limit":100`) {
		t.Errorf("no default limit: %s", w.Body)
	}
	if w := f.do(t, "GET", "/v1/secrets/a?view=everything", ""); w.Code != http.StatusBadRequest {
		t.Errorf("an unknown view: %d", w.Code)
	}
}

func TestCancelledClient(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest("GET", "/v1/secrets/waits", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	done := make(chan *httptest.ResponseRecorder)
	go func() {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		done <- w
	}()
	cancel()
	if w := <-done; w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

func TestSourceOf(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:1234", "", "192.0.2.1"},
		{"192.0.2.1:1234", "203.0.113.9", "192.0.2.1"},
		{"10.0.0.1:1", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:1", "1.2.3.4, 203.0.113.9, 10.0.0.2", "203.0.113.9"},
		{"10.0.0.1:1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "203.0.113.9, nonsense", "10.0.0.1"},
		{"10.0.0.1:1", "203.0.113.9:8080", "203.0.113.9"},
		{"[::ffff:192.0.2.1]:1", "", "192.0.2.1"},
		{"[fe80::1%eth0]:1", "", "fe80::1"},
		{"10.0.0.1:1", "[2001:db8::1]", "2001:db8::1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = test.remote
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		if got := sourceOf(r, trusted).String(); got != test.want {
			t.Errorf("%s forwarded %q: %s, want %s", test.remote, test.forwarded, got, test.want)
		}
	}
}
