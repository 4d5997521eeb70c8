package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/test/vault"
)

// TestRecipesAndWhatTheyMakeAreShownToNobodyElse follows a static value and generated ones through everything that the
// server says: they are in the answers about the one policy, in the preview and in what is read of the secret, and
// not in lists, answers to writes, events, the audit trail, the log at debug level, metrics and the database.
func TestRecipesAndWhatTheyMakeAreShownToNobodyElse(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		var sub vaultapi.Subscription
		s.Must(vault.Request{Method: "POST", Path: "/v1/subscriptions", Body: object{"name": "all", "paths": []string{"**"}, "delivery": object{"type": "polling"}}}, &sub)
		body := object{"name": "db", "fields": []object{
			{"name": "username", "generator": "static", "config": object{"value": canary}}, {"name": "password", "generator": "random"},
		}}
		s.Must(vault.Request{Method: "POST", Path: "/v1/secret-policies", Body: body}, nil)
		s.Must(vault.Request{Method: "PUT", Path: "/v1/secret-policies/db", Body: body}, nil)
		var preview, read struct {
			Fields, Data map[string]string
		}
		s.Must(vault.Request{Method: "POST", Path: "/v1/secret-policies/db/preview"}, &preview)
		body["fields"] = []object{{"name": "u", "generator": "static", "config": object{"value": canary, "x": canary}}}
		broken := s.Do(vault.Request{Method: "PUT", Path: "/v1/secret-policies/db", Body: body})
		write := vault.Request{Method: "PUT", Path: "/v1/secrets/app/db", Body: object{"generate_from": "db"}}
		written := s.Must(write, nil)
		s.Must(vault.Request{Path: "/v1/secrets/app/db"}, &read)
		if preview.Fields["username"] != canary || read.Data["username"] != canary || len(preview.Fields["password"]) != 32 || len(read.Data["password"]) != 32 {
			t.Fatalf("previewed %v, read %v", preview.Fields, read.Data)
		}
		said := map[string]string{"refusal": string(broken.Body), "answer to the write": string(written.Body), "rows": strings.Join(rowsOf(s), "\n")}
		for _, path := range []string{
			"/v1/secret-policies", "/v1/secrets?include_metadata=true", "/v1/secrets/app/db/metadata", "/v1/secrets/app/db/versions",
			"/v1/audit/logs", "/v1/audit/secrets/app/db", "/v1/subscriptions/" + sub.ID + "/poll?timeout=1", "/v1/metrics",
		} {
			said[path] = string(s.Must(vault.Request{Path: path}, nil).Body)
		}
		said["log"] = s.Log.String()
		for where, text := range said {
			for _, value := range []string{canary, preview.Fields["password"], read.Data["password"]} {
				if strings.Contains(text, value) {
					t.Errorf("%s shows %s: %.2000s", where, value, text)
				}
			}
		}
	})
}

// rowsOf is all that the database holds, as text.
func rowsOf(s *vault.Composed) []string {
	var all []string
	for _, rows := range s.Database().Rows() {
		all = append(all, rows...)
	}
	return all
}

// TestPreviewsAreAdministrationAndCounted: a preview costs processor time and shows what a recipe makes.
func TestPreviewsAreAdministrationAndCounted(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		writer := s.As(s.Person(authn.TokenSpec{Name: "writer", Identity: "user:writer", Scopes: []string{"secrets:read", "secrets:write", "secrets:list"}}).Token)
		s.Allow("user:writer", "app/**")
		s.Must(vault.Request{Method: "POST", Path: "/v1/secret-policies", Body: object{"name": "p", "fields": []object{{"name": "k", "generator": "hex"}}}}, nil)
		preview := vault.Request{Method: "POST", Path: "/v1/secret-policies/p/preview"}
		for _, path := range []string{"", "/p", "/none"} {
			if got := writer.Do(vault.Request{Path: "/v1/secret-policies" + path}); got.Code() != "insufficient_scope" {
				t.Errorf("%q for a writer: %d %s", path, got.Status, got.Body)
			}
		}
		if got := writer.Do(preview); got.Code() != "insufficient_scope" {
			t.Errorf("a preview for a writer: %d %s", got.Status, got.Body)
		}
		writer.Must(vault.Request{Method: "PUT", Path: "/v1/secrets/app/k", Body: object{"generate_from": "p"}}, nil)
		if got := writer.Do(vault.Request{Method: "PUT", Path: "/v1/secrets/other/k", Body: object{"generate_from": "p"}}); got.Code() != "access_denied" {
			t.Errorf("a generated write elsewhere: %d %s", got.Status, got.Body)
		}
		s.Stop()
		s.Config.RateLimitOverrides = []string{"secret_policy_preview=1"}
		s.Start()
		s.Must(preview, nil)
		if got := s.Do(preview); got.Status != http.StatusTooManyRequests {
			t.Errorf("a second preview in a minute: %d %s", got.Status, got.Body)
		}
	})
}
