package integration

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/vault"
)

// The mistakes of others that concern every operation at once (docs/security/mistakes.md). The operations and their
// inputs come from the OpenAPI document, so that a new one cannot be forgotten.

// TestMistake10NoPageWithoutEnd: limit=0 or negative skipped the page limit (OpenBao issue 3518).
func TestMistake10NoPageWithoutEnd(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	w := s.World(s.Caller, "w", "v")
	met := 0
	for _, o := range s.Operations() {
		for _, input := range o.Inputs {
			if input != "limit" && input != "max_events" {
				continue
			}
			met++
			for _, n := range []string{"0", "-1", "-9223372036854775808", "1001", "9223372036854775807", "99999999999999999999"} {
				path, query, _ := strings.Cut(w.Call(o).Path, "?")
				kept := slices.DeleteFunc(strings.Split(query, "&"), func(q string) bool { return strings.HasPrefix(q, input+"=") })
				got := s.Do(vault.Request{Path: path + "?" + strings.Join(append(kept, input+"="+n), "&")})
				if got.Status/100 != 4 {
					t.Errorf("%s with %s=%s: %d %.200s", o.ID, input, n, got.Status, got.Body)
				}
			}
		}
	}
	if met < 6 {
		t.Errorf("only %d operations have pages: the test looks in the wrong place", met)
	}
}

// TestMistake29And31AdministrationIsNotServed: internal operations were reachable from outside and made tokens
// (GHSA-rh46-vc3j-w2w3); strangers could cancel a rekey (CVE-2025-4656, CVE-2026-5807). What the server's socket
// answers without asking who it is, the network answers to nobody.
func TestMistake29And31AdministrationIsNotServed(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	reader := s.As(s.Person(authn.TokenSpec{Name: "reader", Identity: "user:reader", Scopes: []string{"secrets:read"}}).Token)
	body := object{"name": "x", "identity": "user:eve", "scopes": []string{"admin"}}
	for _, call := range []string{
		"POST /tokens", "GET /tokens", "DELETE /tokens/x", "POST /trust-rules", "GET /trust-rules", "DELETE /trust-rules/x",
		"POST /root-key", "POST /rekey", "DELETE /rekey", "POST /seal", "PUT /sys/generate-root/attempt", "GET /debug/pprof/heap",
	} {
		method, path, _ := strings.Cut(call, " ")
		for _, prefix := range []string{"", "/admin", "/v1", "/v1/admin", "/v1/system", "/v1/t/tnt_default"} {
			for name, by := range map[string]vault.Caller{"reader": reader, "stranger": s.As("skt_none")} {
				got := by.Do(vault.Request{Method: method, Path: prefix + path, Body: body})
				if got.Status/100 != 4 {
					t.Errorf("%s %s%s for a %s: %d %s", method, prefix, path, name, got.Status, got.Body)
				}
			}
		}
	}
	s.Admin(func(ctx context.Context, a *server.Admin) error {
		tokens, err := a.Tokens(ctx)
		if len(tokens) != 1 {
			t.Errorf("%d tokens were made", len(tokens)-1)
		}
		return err
	})
}

// TestMistake41NoCallNamesAFileOrAnAddress: an audit device made over the API wrote a file of chosen name, beginning
// and mode, which was then run (CVE-2025-6000, -54997). Where anything is written to or sent is said at the server's
// start and nowhere else; an input that names such a place fails this test until it is said here what guards it.
func TestMistake41NoCallNamesAFileOrAnAddress(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	place := regexp.MustCompile(`(?i)(file|dir|url|uri|endpoint|address|host|port|socket|device|sink|plugin|command|mode|path)`)
	ofTheVault := []string{ // they name secrets
		"path", "paths[]", "path_prefix", "rules[].path_pattern", "allowed_paths[]", "secret_path", "secret_paths[]", "filters.path_prefix",
	}
	ofCertificates := []string{"allowed_uris[]", "max_path_length"} // what certificates may say; nothing calls them
	ofReceivers := []string{"url", "delivery.url"}                  // server/egress judges them: public addresses by TLS only, and the one that was judged
	operations := s.Operations()
	for _, o := range operations {
		for _, input := range o.Inputs {
			sends := slices.Contains(ofReceivers, input) && (strings.HasPrefix(o.Path, "/v1/webhooks") || strings.HasPrefix(o.Path, "/v1/subscriptions"))
			if place.MatchString(input) && !slices.Contains(ofTheVault, input) && !slices.Contains(ofCertificates, input) && !sends {
				t.Errorf("%s takes %s: does it name where the server reads, writes or sends?", o.ID, input)
			}
		}
		if strings.HasPrefix(o.Path, "/v1/audit/") && o.Method != http.MethodGet {
			t.Errorf("%s %s changes the audit trail", o.Method, o.Path)
		}
	}
	if len(operations) < 30 {
		t.Errorf("only %d operations were met", len(operations))
	}
}

// byPolicy are the operations on which policies decide, path by path, and not the token's scope alone.
func byPolicy(o vault.Operation) bool {
	return strings.HasPrefix(o.Path, "/v1/secrets") || o.ID == "pollSubscription" ||
		slices.Contains([]string{"issueCertificate", "signCertificate", "renewCertificate"}, o.ID)
}

// TestMistake55EveryEntryIsJudged: one way in skipped the authorization that the others run (CVE-2025-44005,
// GO-2025-4181). Whatever the operation, a token without its scope is refused; and where policies decide, a token
// with every scope and no policy changes nothing and sees nothing.
func TestMistake55EveryEntryIsJudged(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		poor := s.As(s.Person(authn.TokenSpec{Name: "poor", Identity: "user:poor", Scopes: []string{"federation:read"}}).Token)
		bare := s.As(s.Person(authn.TokenSpec{Name: "bare", Identity: "user:bare", Scopes: authn.Scopes()}).Token)
		s.Allow("user:poor", "**")
		w := s.World(s.Caller, "w", canary)
		before := w.View()
		for _, o := range s.Operations() {
			got := poor.Do(w.Call(o))
			if open := public(o) || o.ID == "whoami" || o.ID == "validateCertificate"; open != (got.Status/100 == 2) {
				t.Errorf("%s without its scope: %d %s", o.ID, got.Status, got.Body)
			} else if !open && got.Code() != "insufficient_scope" {
				t.Errorf("%s without its scope: %s", o.ID, got.Code())
			}
			if !byPolicy(o) {
				continue
			}
			got = bare.Do(w.Call(o))
			if strings.Contains(string(got.Body), canary) || got.Status/100 == 2 && strings.Contains(string(got.Body), `"version"`) {
				t.Errorf("%s without a policy shows: %d %s", o.ID, got.Status, got.Body)
			}
			if got.Status/100 == 2 && !slices.Contains([]string{"batchRead", "batchMetadata", "listSecrets"}, o.ID) {
				t.Errorf("%s without a policy: %d %s", o.ID, got.Status, got.Body)
			}
		}
		if after := w.View(); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}
