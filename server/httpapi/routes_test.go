package httpapi

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func allRoutes(t *testing.T) []route {
	t.Helper()
	s, err := New(Config{}, Services{})
	if err != nil {
		t.Fatal(err)
	}
	return s.routes
}

func TestEveryRowIsComplete(t *testing.T) {
	camel := regexp.MustCompile(`^[a-z]+([A-Z][a-z]+)*$`)
	scope := regexp.MustCompile(`^(none|any|admin|[a-z]+:[a-z]+)$`)
	groups := []string{groupSecrets, groupPolicies, groupRotation, groupPKI, groupAudit, groupSubscriptions, groupWebhooks, groupAuth, groupSystem}
	seen := map[string]bool{}
	for _, r := range allRoutes(t) {
		if !slices.Contains(methods(), r.method) || !strings.HasPrefix(r.pattern, "/v1/") || r.summary == "" || r.endpoint == nil {
			t.Errorf("%s %s: method, pattern, summary or handler", r.method, r.pattern)
		}
		if !camel.MatchString(r.id) || seen[r.id] {
			t.Errorf("%s %s: operation id %q", r.method, r.pattern, r.id)
		}
		seen[r.id] = true
		if !scope.MatchString(r.scope) || r.action == "" || !slices.Contains(groups, r.group) {
			t.Errorf("%s: scope %q, action %q, group %q", r.id, r.scope, r.action, r.group)
		}
		if r.rate <= rateNone || r.rate >= categories {
			t.Errorf("%s: no rate category", r.id)
		}
		if in, out := r.endpoint.types(); in == nil || out == nil {
			t.Errorf("%s: no types", r.id)
		}
		if r.scope == scopeNone && r.rate != rateAnonymous && r.rate != rateExchange && r.rate != rateStatus {
			t.Errorf("%s: a call without a token is limited by its source", r.id)
		}
	}
}

// Only these leave no audit entry; another one needs a reason as good as theirs.
func TestRoutesWithoutAuditEntry(t *testing.T) {
	var got []string
	for _, r := range allRoutes(t) {
		if r.action == actionNone {
			got = append(got, r.id)
		}
	}
	slices.Sort(got)
	want := []string{"askOcsp", "askOcspByGet", "health", "healthDetailed", "metrics", "openapi", "readAuthorityDer", "readRevocationList", "ready",
		"testPolicy", "version"}
	if !slices.Equal(got, want) {
		t.Errorf("without audit entry: %v, want %v", got, want)
	}
}

// Only these need no token (contract section 15.1, and the API's own description).
func TestRoutesWithoutToken(t *testing.T) {
	f := newFixture(t, Config{}, echoTable)
	var got []string
	for _, r := range allRoutes(t) {
		target := strings.NewReplacer("{path...}", "a/b", "{id}", "x", "{binding_id}", "y", "{name}", "x", "{role}", "x", "{request}", "x").Replace(r.pattern)
		w := f.do(t, r.method, target, "", "Authorization", "")
		if w.Code == http.StatusOK {
			got = append(got, r.id)
		} else if w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", r.id, w.Code)
		}
	}
	slices.Sort(got)
	if want := []string{"askOcsp", "askOcspByGet", "exchangeToken", "health", "openapi", "readAuthorityDer", "readRevocationList", "ready", "version"}; !slices.Equal(got, want) {
		t.Errorf("without token: %v, want %v", got, want)
	}
}

func TestOpenAPI(t *testing.T) {
	raw, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	again, _ := OpenAPI()
	if string(raw) != string(again) {
		t.Error("two runs give two documents")
	}
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			ID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %s", doc.OpenAPI)
	}
	for _, r := range allRoutes(t) {
		if got := doc.Paths[r.openAPIPath()][strings.ToLower(r.method)].ID; got != r.id {
			t.Errorf("%s %s is documented as %q", r.method, r.openAPIPath(), got)
		}
	}
	f := newFixture(t, Config{}, nil)
	if w := f.do(t, "GET", "/v1/openapi.json", "", "Authorization", ""); w.Code != 200 || !json.Valid(w.Body.Bytes()) {
		t.Errorf("served as %d", w.Code)
	}
}
