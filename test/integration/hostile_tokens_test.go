package integration

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/vault"
)

// whoami asks with a whole Authorization header.
func whoami(s *vault.Composed, authorization string) vault.Answer {
	return s.Do(vault.Request{Path: "/v1/auth/whoami", Anonymous: true, Header: map[string]string{"Authorization": authorization}})
}

// TestTokensThatAreNone: what is not exactly a usable token of this server opens nothing, and says why without
// repeating it.
func TestTokensThatAreNone(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		other := vault.Compose(t, store.SQLite)
		other.Start()
		spec := authn.TokenSpec{Name: "n", Identity: "user:ann", Scopes: []string{"secrets:list"}, Life: time.Hour}
		good, revoked, foreign := s.Person(spec).Token, s.Person(spec), other.Person(spec).Token
		s.Admin(func(ctx context.Context, a *server.Admin) error { return a.RevokeToken(ctx, revoked.ID) })
		flipped := good[:20] + string("ab"[strings.IndexByte("ba", good[20])&1]) + good[21:]
		for name, test := range map[string]struct{ header, code string }{
			"good": {"Bearer " + good, ""}, "scheme in another case": {"bEaReR " + good, ""}, "two blanks": {"Bearer  " + good, ""},
			"revoked": {"Bearer " + revoked.Token, "token_revoked"}, "of another server": {"Bearer " + foreign, "token_invalid"},
			"one letter": {"Bearer " + flipped, "token_invalid"}, "cut": {"Bearer " + good[:len(good)-1], "token_invalid"},
			"longer": {"Bearer " + good + "a", "token_invalid"}, "upper case": {"Bearer " + strings.ToUpper(good), "token_invalid"},
			"two tokens": {"Bearer " + good + " " + good, "token_invalid"}, "a list": {"Bearer " + good + "," + good, "token_invalid"},
			"no scheme": {good, "authentication_required"}, "another scheme": {"Basic " + good, "authentication_required"},
			"quoted": {`Bearer "` + good + `"`, "token_invalid"}, "nothing": {"Bearer ", "authentication_required"}, "huge": {"Bearer skt_" + strings.Repeat("a", 20_000), "token_invalid"},
			"a JWT":         {"Bearer " + s.Cluster.Issue("shop/app", "scaivault"), "token_invalid"},
			"alg none":      {"Bearer " + unsigned("shop/app", "scaivault"), "token_invalid"},
			"id of a token": {"Bearer " + revoked.ID, "token_invalid"}, "UTF-8": {"Bearer skt_ü", "token_invalid"},
		} {
			got := whoami(s, test.header)
			if got.Code() != test.code || (test.code == "") != (got.Status == http.StatusOK) {
				t.Errorf("%s: %d %s, want %q", name, got.Status, got.Body, test.code)
			}
			if test.code != "" && (got.Status != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") == "" || strings.Contains(string(got.Body), "skt_")) {
				t.Errorf("%s: %d %v %s", name, got.Status, got.Header, got.Body)
			}
		}
		for name, r := range map[string]vault.Request{
			"in the query":  {Path: "/v1/auth/whoami?access_token=" + good + "&token=" + good},
			"as a cookie":   {Path: "/v1/auth/whoami", Header: map[string]string{"Cookie": "token=" + good}},
			"as X-Token":    {Path: "/v1/auth/whoami", Header: map[string]string{"X-Vault-Token": good, "X-Token": good}},
			"impersonating": {Path: "/v1/auth/whoami", Header: map[string]string{"X-Remote-User": "user:dev", "Impersonate-User": "user:dev", "X-Forwarded-User": "user:dev"}},
		} {
			r.Anonymous = true
			if got := s.Do(r); got.Code() != "authentication_required" {
				t.Errorf("%s: %d %s", name, got.Status, got.Body)
			}
		}
		if text := s.Log.String(); strings.Contains(text, good) || strings.Contains(text, flipped) {
			t.Error("a token is in the log")
		}
	})
}

func unsigned(account string, audience any) string {
	jwt := vault.JWT(map[string]any{"alg": "none", "typ": "JWT"}, vault.Claims(account, audience))
	return jwt[:strings.LastIndexByte(jwt, '.')+1]
}

// TestTokensEndByTheClock: personal and exchanged tokens end when they should, whatever was remembered of them,
// and one that was revoked stays so across a restart.
func TestTokensEndByTheClock(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		made := s.Person(authn.TokenSpec{Name: "n", Identity: "user:ann", Scopes: []string{"secrets:list"}, Life: time.Hour})
		exchanged := exchange(t, s, s.Cluster.Issue("shop/app", "scaivault"))
		both := []string{made.Token, exchanged}
		codes := func(want ...string) {
			t.Helper()
			for i, token := range both {
				for range 2 { // from memory as well
					if got := whoami(s, "Bearer "+token); got.Code() != want[i] {
						t.Errorf("token %d: %d %s, want %q", i, got.Status, got.Body, want[i])
					}
				}
			}
		}
		codes("", "")
		s.Shift(11 * time.Minute)
		codes("", "token_expired")
		s.Shift(50 * time.Minute)
		codes("token_expired", "token_expired")
		s.Shift(-61 * time.Minute)
		codes("", "")
		s.Admin(func(ctx context.Context, a *server.Admin) error { return a.RevokeToken(ctx, made.ID) })
		codes("token_revoked", "")
		s.Stop()
		s.Start()
		codes("token_revoked", "")
	})
}

func exchange(t *testing.T, s *vault.Composed, subject string) string {
	t.Helper()
	var out vaultapi.ExchangeResponse
	s.Must(vault.Request{Method: "POST", Path: "/v1/auth/exchange", Body: object{"subject_token": subject}, Anonymous: true}, &out)
	return out.AccessToken
}

// TestMistake26AudiencesAtTheExchange: `aud` is a text or a list, and means the same in both forms; everything
// else is refused before the cluster is asked. The cluster never sees a token that is not a workload's.
func TestMistake26AudiencesAtTheExchange(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	for _, audience := range []any{"scaivault", []string{"scaivault"}, []string{"other", "scaivault"}} {
		if token := exchange(t, s, s.Cluster.Issue("shop/app", audience)); !strings.HasPrefix(token, "skx_") {
			t.Errorf("audience %v: %s", audience, token)
		}
	}
	asked := s.Cluster.Asked()
	refuse := func(name, subject string) {
		t.Helper()
		got := s.Do(vault.Request{Method: "POST", Path: "/v1/auth/exchange", Body: object{"subject_token": subject}, Anonymous: true})
		if got.Status != http.StatusUnauthorized || strings.Contains(string(got.Body), "skx_") || strings.Contains(string(got.Body), "access_token") {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	for _, audience := range []any{"other", "scaivault2", "scaivault ", " scaivault", "SCAIVAULT", "", "scaivault,other", []string{"other"}, []string{"scaivault2"}, []string{},
		[]any{[]string{"scaivault"}}, []any{"scaivault", 1}, map[string]any{"scaivault": true}, 7, true, nil} {
		refuse("audience", s.Cluster.Issue("shop/app", audience))
	}
	issued := s.Cluster.Issue("shop/app", "scaivault")
	expired := vault.Claims("shop/app", "scaivault")
	expired["exp"] = time.Now().Add(-time.Hour).Unix()
	endless := vault.Claims("shop/app", "scaivault")
	delete(endless, "exp")
	stranger := vault.Claims("shop/app", "scaivault")
	stranger["iss"] = "https://evil.example"
	person := vault.Claims("shop/app", "scaivault")
	person["sub"] = "system:admin"
	rs256 := map[string]any{"alg": "RS256"}
	for name, subject := range map[string]string{
		"alg none": unsigned("shop/app", "scaivault"), "alg None": vault.JWT(map[string]any{"alg": "None"}, vault.Claims("shop/app", "scaivault")),
		"alg HS256": vault.JWT(map[string]any{"alg": "HS256"}, vault.Claims("shop/app", "scaivault")), "no alg": vault.JWT(map[string]any{}, vault.Claims("shop/app", "scaivault")),
		"alg of a list": vault.JWT(map[string]any{"alg": []string{"RS256"}}, vault.Claims("shop/app", "scaivault")), "signature cut": issued[:strings.LastIndexByte(issued, '.')+1],
		"expired": vault.JWT(rs256, expired), "without end": vault.JWT(rs256, endless),
		"a person": vault.JWT(rs256, person), "two dots": "..", "four parts": issued + ".x", "a personal token": s.Person(authn.TokenSpec{Name: "n", Identity: "user:ann", Scopes: []string{"admin"}}).Token,
		"the dev token": vault.Token, "an exchanged token": exchange(t, s, issued), "huge": strings.Repeat("a.", 10_000),
	} {
		refuse(name, subject)
	}
	if n := s.Cluster.Asked(); n != asked+1 { // for the exchanged token
		t.Errorf("the cluster was shown %d tokens that are none of a workload's", n-asked-1)
	}
	refuse("never issued", vault.JWT(rs256, vault.Claims("shop/app", "scaivault")))
	refuse("another issuer", vault.JWT(rs256, stranger))
}

// TestExchangedTokenIsNarrow: a workload gets what its rule gives it, and asks for no more.
func TestExchangedTokenIsNarrow(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	var who vaultapi.Whoami
	workload := s.As(exchange(t, s, s.Cluster.Issue("shop/app", "scaivault")))
	workload.Must(vault.Request{Path: "/v1/auth/whoami"}, &who)
	if who.IdentityID != "sa:shop:app" || who.Namespace != "shop" || len(who.Roles) != 0 {
		t.Errorf("%+v", who)
	}
	for _, scope := range []string{"admin", "policies:write", "secrets:write", "secrets:read admin", "*", "secrets:*"} {
		got := s.Do(vault.Request{Method: "POST", Path: "/v1/auth/exchange", Anonymous: true, Body: object{"subject_token": s.Cluster.Issue("shop/app", "scaivault"), "scope": scope}})
		if got.Status/100 != 4 {
			t.Errorf("scope %q: %d %s", scope, got.Status, got.Body)
		}
	}
	for _, role := range []string{"sa:scaivault-system:scaivault-operator", "sa:other:app", "user:dev", "system:root", "dynamic:x", "sa:shop:*", "sa:shop:app/../x"} {
		got := s.Do(vault.Request{Method: "POST", Path: "/v1/auth/exchange", Anonymous: true, Body: object{"subject_token": s.Cluster.Issue("shop/app", "scaivault"), "requested_role": role}})
		if got.Status != http.StatusForbidden {
			t.Errorf("role %q: %d %s", role, got.Status, got.Body)
		}
	}
	for _, o := range []vault.Request{
		{Method: "PUT", Path: "/v1/secrets/a", Body: object{"data": object{}}}, {Method: "POST", Path: "/v1/policies", Body: object{"name": "x", "rules": []object{}}},
		{Path: "/v1/audit/logs"}, {Path: "/v1/health/detailed"}, {Method: "POST", Path: "/v1/auth/introspect", Body: object{"token": "x"}},
	} {
		if got := workload.Do(o); got.Code() != "insufficient_scope" {
			t.Errorf("%s %s as a workload: %d %s", o.Method, o.Path, got.Status, got.Body)
		}
	}
}

// TestMistake30HeadersSayNothingOfTheSource: who is no trusted proxy is where it is, whatever its headers say.
func TestMistake30HeadersSayNothingOfTheSource(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	s.Do(vault.Request{Path: "/v1/secrets/none", Header: map[string]string{
		"X-Request-ID": "spoofed", "X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7", "X-Forwarded-Host": "evil.example",
		"True-Client-IP": "203.0.113.7", "CF-Connecting-IP": "203.0.113.7", "X-Client-IP": "203.0.113.7",
	}})
	var trail vaultapi.AuditList
	got := s.Must(vault.Request{Path: "/v1/audit/logs?request_id=spoofed"}, &trail)
	if len(trail.Logs) != 1 || trail.Logs[0].SourceIP != "127.0.0.1" || strings.Contains(string(got.Body), "203.0.113") {
		t.Errorf("%s", got.Body)
	}
}
