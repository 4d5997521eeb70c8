package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server/fault"
)

func TestPass(t *testing.T) {
	long := strings.Repeat("a", 512)
	for _, test := range []struct {
		escaped, tenant, path string
		refused               bool
	}{
		{escaped: "/v1/secrets", path: "/v1/secrets"},
		{escaped: "/v1/secrets/a/b", path: "/v1/secrets/a/b"},
		{escaped: "/v1/secrets/a%2Fb", path: "/v1/secrets/a/b"},
		{escaped: "/v1/secrets/a%2fb%61", path: "/v1/secrets/a/ba"},
		{escaped: "/v1/secrets/" + long, path: "/v1/secrets/" + long},
		{escaped: "/v1/secrets/" + long + "/versions", path: "/v1/secrets/" + long + "/versions"},
		{escaped: "/v1/audit/secrets/a/b", path: "/v1/audit/secrets/a/b"},
		{escaped: "/v1/audit/identities/user:alice@acme.example", path: "/v1/audit/identities/user:alice@acme.example"},
		{escaped: "/v1/audit/identities/user%3AAlice%40acme.example", path: "/v1/audit/identities/user:Alice@acme.example"},
		{escaped: "/v1/t/tnt_x/secrets/a", tenant: "tnt_x", path: "/v1/secrets/a"},
		{escaped: "/v1/t/tnt_x/secrets/a%2Fb", tenant: "tnt_x", path: "/v1/secrets/a/b"},

		{escaped: "", refused: true},
		{escaped: "*", refused: true},
		{escaped: "/", refused: true},
		{escaped: "v1/secrets", refused: true},
		{escaped: "/v1/secrets/", refused: true},
		{escaped: "/v1/secrets/a/", refused: true},
		{escaped: "/v1/secrets//a", refused: true},
		{escaped: "//v1/secrets/a", refused: true},
		{escaped: "/v1//secrets/a", refused: true},
		{escaped: "/v1/secrets/a//b", refused: true},
		{escaped: "/v1/secrets/a%2F%2Fb", refused: true},
		{escaped: "/v1/secrets/a%2F", refused: true},
		{escaped: "/v1/secrets/%2Fa", refused: true},
		{escaped: "/v1/secrets/a/../b", refused: true},
		{escaped: "/v1/secrets/a/./b", refused: true},
		{escaped: "/v1/secrets/%2e%2e/b", refused: true},
		{escaped: "/v1/secrets/a%2F%2E%2E%2Fb", refused: true},
		{escaped: "/v1/secrets/..", refused: true},
		{escaped: "/v1/secrets/a%252Fb", refused: true},
		{escaped: "/v1/secrets/a%25", refused: true},
		{escaped: "/v1/secrets/a%00", refused: true},
		{escaped: "/v1/secrets/a%0A", refused: true},
		{escaped: "/v1/secrets/a%7f", refused: true},
		{escaped: "/v1/secrets/a%5Cb", refused: true},
		{escaped: "/v1/secrets/a%zz", refused: true},
		{escaped: "/v1/secrets/a%2", refused: true},
		{escaped: "/v1/secrets/A", refused: true},
		{escaped: "/v1/secrets/a.b", refused: true},
		{escaped: "/v1/secrets/a;b", refused: true},
		{escaped: "/v1/secrets/a*", refused: true},
		{escaped: "/v1/secrets/%C3%A9", refused: true},
		{escaped: "/v1/secrets/" + long + "aaaaaaaaaa", refused: true},
		{escaped: "/v1/" + strings.Repeat("a", maxEscapedPath), refused: true},
		{escaped: "/v1/%73ecrets/A", refused: true},
		{escaped: "/v1/secrets%2Fa", refused: true},
		{escaped: "/v1/audit/secrets/A", refused: true},
		{escaped: "/v1/policies/a%2Fb", refused: true},
		{escaped: "/v1/policies/%ff", refused: true},
		{escaped: "/v1/t/tnt_x", refused: true},
		{escaped: "/v1/t//secrets/a", refused: true},
		{escaped: "/v1/t/../secrets/a", refused: true},
		{escaped: "/v1/t/TNT/secrets/a", refused: true},
		{escaped: "/v1/t/tnt%5fx/secrets/a", refused: true},
		{escaped: "/v1/t/tnt_x/secrets/../a", refused: true},
	} {
		p, err := pass(test.escaped)
		if refused := err != nil; refused != test.refused {
			t.Errorf("%q: error %v, want refused %v", test.escaped, err, test.refused)
			continue
		}
		if err != nil {
			if !fault.Is(err, fault.CodeInvalidPath) {
				t.Errorf("%q: code %s", test.escaped, fault.Code(err))
			}
			continue
		}
		if p.path != test.path || p.tenant != test.tenant {
			t.Errorf("%q: path %q of tenant %q, want %q of %q", test.escaped, p.path, p.tenant, test.path, test.tenant)
		}
	}
}

// What passes the gate means to the mux what it means to the gate, and nothing is ever redirected.
func FuzzPass(f *testing.F) {
	for _, seed := range []string{
		"/v1/secrets/a/b", "/v1/secrets/a%2Fb", "/v1/secrets/%2e%2e/b", "/v1/secrets/a//b", "/v1/t/x/secrets/a",
		"/v1/audit/identities/user:a@b", "/v1/audit/secrets", "/v1/secrets/a/metadata", "/%76%31/secrets/a", "*", "/v1/secrets/a%25",
	} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH", "CONNECT"} {
			f.Add(method, seed)
		}
	}
	s := newFixture(f, Config{Limits: Limits{Profile: "unlimited"}}, echoTable)
	f.Fuzz(func(t *testing.T, method, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.URL = method, u
		r.Header.Set("Authorization", "Bearer "+goodToken)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 300 && w.Code < 400 {
			t.Fatalf("%s %q was redirected to %q", method, target, w.Header().Get("Location"))
		}
		p, err := pass(u.EscapedPath())
		if err != nil {
			if w.Code != http.StatusBadRequest {
				t.Fatalf("%s %q: refused by the gate, answered with %d", method, target, w.Code)
			}
			return
		}
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			return
		}
		var got echoed
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Path == "" {
			return
		}
		if strings.ContainsAny(got.Path, "%.\\") || strings.Contains("/"+got.Path+"/", "//") || got.Path != strings.ToLower(got.Path) {
			t.Fatalf("%s %q: the handler saw path %q", method, target, got.Path)
		}
		if !strings.Contains(p.path, got.Path) {
			t.Fatalf("%s %q: the gate judged %q, the handler saw %q", method, target, p.path, got.Path)
		}
	})
}

func TestSplitSuffix(t *testing.T) {
	s, err := New(Config{}, Services{})
	if err != nil {
		t.Fatal(err)
	}
	below := map[string]*wildRoutes{}
	for i := range s.routes {
		if base, suffix, ok := strings.Cut(s.routes[i].pattern, secretWildcard); ok {
			if below[base] == nil {
				below[base] = &wildRoutes{}
			}
			below[base].rows = append(below[base].rows, wildRow{suffix, &s.routes[i]})
		}
	}
	for _, test := range []struct{ method, path, name, suffix string }{
		{"GET", "a/b", "a/b", ""},
		{"GET", "a/metadata", "a", "/metadata"},
		{"GET", "metadata", "metadata", ""},
		{"GET", "a/versions/metadata", "a/versions", "/metadata"},
		{"GET", "a/restore", "a/restore", ""},
		{"GET", "a/rotate", "a/rotate", ""},
		{"PUT", "a/metadata", "a/metadata", ""},
		{"DELETE", "a/versions", "a/versions", ""},
		{"PATCH", "a/metadata", "a", "/metadata"},
		{"POST", "a/restore", "a", "/restore"},
		{"POST", "a/metadata", "a/metadata", ""},
		{"POST", "a/rotate", "a", "/rotate"},
		{"POST", "restore", "restore", ""},
		{"PUT", "a/grace", "a/grace", ""},
	} {
		if name, suffix := below[prefixSecrets].split(test.method, test.path); name != test.name || suffix != test.suffix {
			t.Errorf("%s %s: %q and %q, want %q and %q", test.method, test.path, name, suffix, test.name, test.suffix)
		}
	}
	assigned := below[prefixRotation+"{id}/secrets/"]
	if name, suffix := assigned.split("PUT", "a/grace"); name != "a" || suffix != "/grace" {
		t.Errorf("PUT of a grace: %q and %q", name, suffix)
	}
	if name, suffix := assigned.split("DELETE", "a/grace"); name != "a/grace" || suffix != "" {
		t.Errorf("DELETE of a secret named grace: %q and %q", name, suffix)
	}
}

func TestRouting(t *testing.T) {
	f := newFixture(t, Config{}, echoTable)
	for _, test := range []struct {
		method, target string
		status         int
		row, path      string
		allow          []string
	}{
		{"GET", "/v1/secrets/a/b", 200, "readSecret", "a/b", nil},
		{"GET", "/v1/secrets/a%2Fb", 200, "readSecret", "a/b", nil},
		{"HEAD", "/v1/secrets/a/b", 200, "readSecret", "a/b", nil},
		{"GET", "/v1/secrets/a/b?version=2", 200, "readSecret", "a/b", nil},
		{"GET", "/v1/secrets/a/b/metadata", 200, "readMetadata", "a/b", nil},
		{"GET", "/v1/secrets/a/b?view=metadata", 200, "readMetadata", "a/b", nil},
		{"GET", "/v1/secrets/a/b?view=versions", 200, "listVersions", "a/b", nil},
		{"GET", "/v1/secrets/a/metadata?view=metadata", 200, "readMetadata", "a/metadata", nil},
		{"PATCH", "/v1/secrets/a/b", 200, "patchSecret", "a/b", nil},
		{"PATCH", "/v1/secrets/a/b/metadata", 200, "updateMetadata", "a/b", nil},
		{"PUT", "/v1/secrets/a/b", 200, "writeSecret", "a/b", nil},
		{"PUT", "/v1/secrets/a/metadata", 200, "writeSecret", "a/metadata", nil},
		{"POST", "/v1/secrets/a/b/restore", 200, "restoreSecret", "a/b", nil},
		{"POST", "/v1/secrets/batch", 200, "batchRead", "", nil},
		{"GET", "/v1/secrets/batch", 200, "readSecret", "batch", nil},
		{"POST", "/v1/secrets/batch/metadata", 200, "batchMetadata", "", nil},
		{"GET", "/v1/secrets/batch/metadata", 200, "readMetadata", "batch", nil},
		{"GET", "/v1/secrets", 200, "listSecrets", "", nil},
		{"GET", "/v1/audit/secrets/a/b", 200, "auditSecret", "a/b", nil},
		{"GET", "/v1/audit/secrets/a/versions", 200, "auditSecret", "a/versions", nil},
		{"GET", "/v1/audit/identities/user:alice@acme.example", 200, "auditIdentity", "", nil},
		{"POST", "/v1/policies/test", 200, "testPolicy", "", nil},

		{"POST", "/v1/secrets/a/rotate", 200, "rotateSecret", "a", nil},
		{"PUT", "/v1/secrets/a/grace", 200, "writeSecret", "a/grace", nil},
		{"DELETE", "/v1/rotation/policies/p/secrets/a%2Fb", 200, "detachSecret", "a/b", nil},
		{"DELETE", "/v1/rotation/policies/p/secrets/a/b/grace", 200, "detachSecret", "a/b/grace", nil},
		{"PUT", "/v1/rotation/policies/p/secrets/a%2Fb/grace", 200, "moveGrace", "a/b", nil},
		{"GET", "/v1/rotation/policies/p/secrets", 200, "listAssignments", "", nil},
		{"GET", "/v1/rotation/policies/p/secrets/a", 405, "", "", []string{"DELETE"}},
		{"GET", "/v1/nope", 404, "", "", nil},
		{"GET", "/v1/audit/secrets", 404, "", "", nil},
		{"GET", "/health", 404, "", "", nil},
		{"POST", "/v1/secrets/a/b", 405, "", "", []string{"DELETE", "GET", "HEAD", "PATCH", "PUT"}},
		{"POST", "/v1/secrets/a/metadata", 405, "", "", []string{"DELETE", "GET", "HEAD", "PATCH", "PUT"}},
		{"DELETE", "/v1/secrets", 405, "", "", []string{"GET", "HEAD"}},
		{"PUT", "/v1/health", 405, "", "", []string{"GET", "HEAD"}},
		{"TRACE", "/v1/secrets/a", 405, "", "", []string{"DELETE", "GET", "HEAD", "PATCH", "PUT"}},
		{"OPTIONS", "/v1/secrets/a", 405, "", "", []string{"DELETE", "GET", "HEAD", "PATCH", "PUT"}},
		{"HEAD", "/v1/secrets/batch", 200, "readSecret", "batch", nil},
		{"HEAD", "/v1/auth/introspect", 405, "", "", []string{"POST"}},
	} {
		w := f.do(t, test.method, test.target, "")
		if w.Code != test.status {
			t.Errorf("%s %s: status %d, want %d", test.method, test.target, w.Code, test.status)
			continue
		}
		if test.status != http.StatusOK {
			e := envelope(t, w)
			want := map[int]string{404: fault.CodeRouteNotFound, 405: fault.CodeMethodNotAllowed}[test.status]
			allow := strings.Split(w.Header().Get("Allow"), ", ")
			slices.Sort(allow)
			if e.Code != want || test.allow != nil && !slices.Equal(allow, test.allow) {
				t.Errorf("%s %s: code %s, Allow %v, want %s, %v", test.method, test.target, e.Code, allow, want, test.allow)
			}
			continue
		}
		var got echoed
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Row != test.row || got.Path != test.path {
			t.Errorf("%s %s: row %s, path %q, want %s, %q", test.method, test.target, got.Row, got.Path, test.row, test.path)
		}
	}
}

// The path of a secret below a rotation policy is gated as one: neither cleaned nor decoded twice.
func TestPathsBelowRotationPolicies(t *testing.T) {
	for target, allowed := range map[string]bool{
		"/v1/rotation/policies/p/secrets/a%2Fb/grace": true, "/v1/rotation/policies/p/secrets/a/b": true,
		"/v1/rotation/policies/p/secrets/a%2F..%2Fb": false, "/v1/rotation/policies/p/secrets/A": false,
		"/v1/rotation/policies/p/secrets/a%252Fb": false, "/v1/rotation/policies/p/secrets/a//b": false,
		"/v1/rotation/policies/p%2Fsecrets%2Fa": false, "/v1/rotation/policies/p/s%65crets/a": false,
	} {
		if _, err := pass(target); (err == nil) != allowed {
			t.Errorf("%s: %v", target, err)
		}
	}
}
