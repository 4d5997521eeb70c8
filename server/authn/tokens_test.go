package authn

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
	"github.com/scailabs/scaivault/test/postgres"
)

func TestTokenIsItsCaller(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		made := f.issue(t, TokenSpec{Scopes: []string{"secrets:read", "admin"}, Roles: []string{RoleTenantAdmin}})
		if !regexp.MustCompile(`^skt_[a-z2-7]{58}$`).MatchString(made.Token) {
			t.Errorf("token has the form %q", made.Token)
		}
		got, err := f.Authenticate(t.Context(), made.Token)
		if err != nil {
			t.Fatal(err)
		}
		want := guard.Caller{
			Tenant: guard.DefaultTenant, Partner: guard.DefaultPartner, Type: guard.TypeUser, ID: "user:ann@example.org",
			DisplayName: "laptop", Scopes: []string{"secrets:read", "admin"}, Roles: []string{RoleTenantAdmin},
			TokenID: made.ID, TokenExpires: f.clock.now().Add(DefaultLife),
		}
		if d := cmp.Diff(want, got, cmpopts()...); d != "" {
			t.Errorf("caller: %s", d)
		}
		if e := f.trail.last(t); e.Action != "token_create" || !e.Success || e.Target != made.ID {
			t.Errorf("entry is %+v", e)
		}
		f.neverHolds(t, made.Token)
	})
}

// cmpopts compares times as instants and addresses as text.
func cmpopts() []cmp.Option {
	return []cmp.Option{
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
}

// neverHolds proves that neither a row nor an audit entry holds the token.
func (f *fixture) neverHolds(t *testing.T, bearer string) {
	t.Helper()
	var row []byte
	if err := f.db.QueryRow(t.Context(), `SELECT hash FROM tokens`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	if len(row) != 32 || bytes.Contains(row, []byte(bearer[4:])) {
		t.Errorf("the database holds %q", row)
	}
	for _, e := range f.trail.entries {
		for _, n := range e.Notes {
			if strings.Contains(n.Value, bearer[4:20]) {
				t.Errorf("entry %+v holds the token", e)
			}
		}
	}
}

func TestTokenEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		made := f.issue(t, TokenSpec{Life: time.Hour})
		f.clock.advance(time.Hour - time.Microsecond)
		if _, err := f.Authenticate(t.Context(), made.Token); err != nil {
			t.Fatalf("before its end: %v", err)
		}
		f.clock.advance(time.Microsecond)
		_, err := f.Authenticate(t.Context(), made.Token)
		wantCode(t, err, fault.CodeTokenExpired)
		if err := f.Revoke(t.Context(), admin(), made.ID); err != nil {
			t.Fatal(err)
		}
		_, err = f.Authenticate(t.Context(), made.Token)
		wantCode(t, err, fault.CodeTokenRevoked)
	})
}

func TestRevocationActsAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		made := f.issue(t, TokenSpec{})
		for range 3 { // the later ones from memory, where there is one
			if _, err := f.Authenticate(t.Context(), made.Token); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // twice is as good as once
			if err := f.Revoke(t.Context(), admin(), made.ID); err != nil {
				t.Fatal(err)
			}
		}
		_, err := f.Authenticate(t.Context(), made.Token)
		wantCode(t, err, fault.CodeTokenRevoked)
		wantCode(t, f.Revoke(t.Context(), admin(), "tok_unknown"), fault.CodeTokenNotFound)
	})
}

// A row that was read before a revocation must not be remembered after it.
func TestCacheForgetsARaceWithRevocation(t *testing.T) {
	c := newTokenCache(10)
	sum := digest{1}
	before := c.generation()
	c.drop(sum[:])
	c.put(sum, &token{id: "stale"}, before)
	if _, ok := c.get(sum); ok {
		t.Error("a stale token is remembered")
	}
	c.put(sum, &token{id: "new"}, c.generation())
	if got, ok := c.get(sum); !ok || got.id != "new" {
		t.Errorf("got %v, %v", got, ok)
	}
}

func TestRevocationByAnotherReplica(t *testing.T) {
	url := postgres.Start(t)
	open := func() *store.DB {
		db, err := store.Open(t.Context(), store.Options{DatabaseURL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	one, two := newFixture(t, open()), newFixture(t, open())
	made := one.issue(t, TokenSpec{})
	if _, err := two.Authenticate(t.Context(), made.Token); err != nil {
		t.Fatal(err)
	}
	if err := one.Revoke(t.Context(), admin(), made.ID); err != nil {
		t.Fatal(err)
	}
	_, err := two.Authenticate(t.Context(), made.Token)
	wantCode(t, err, fault.CodeTokenRevoked)
}

func TestForeignTenantsTokensDoNotExist(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		mine := f.issue(t, TokenSpec{})
		foreign := guard.System("administrator", otherTenant)
		wantCode(t, f.Revoke(t.Context(), foreign, mine.ID), fault.CodeTokenNotFound)
		if _, err := f.Authenticate(t.Context(), mine.Token); err != nil {
			t.Errorf("another tenant ended the token: %v", err)
		}
		theirs, err := f.List(t.Context(), foreign)
		if err != nil || len(theirs) != 0 {
			t.Errorf("another tenant sees %v, %v", theirs, err)
		}
		ours, err := f.List(t.Context(), admin())
		if err != nil || len(ours) != 1 || ours[0].ID != mine.ID {
			t.Errorf("list is %v, %v", ours, err)
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	good := TokenSpec{Name: "ci", Identity: "sa:ci", Scopes: []string{"secrets:read"}}
	limited := guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:bob", Scopes: []string{"admin", "secrets:read"}}
	tests := map[string]struct {
		who    guard.Caller
		change func(*TokenSpec)
		code   string
	}{
		"no name":            {admin(), func(s *TokenSpec) { s.Name = "" }, fault.CodeValidation},
		"newline in name":    {admin(), func(s *TokenSpec) { s.Name = "a\nb" }, fault.CodeValidation},
		"system identity":    {admin(), func(s *TokenSpec) { s.Identity = "system:rotation" }, fault.CodeValidation},
		"dynamic identity":   {admin(), func(s *TokenSpec) { s.Identity = "dynamic:pg" }, fault.CodeValidation},
		"group":              {admin(), func(s *TokenSpec) { s.Identity = "group:ops" }, fault.CodeValidation},
		"wildcard":           {admin(), func(s *TokenSpec) { s.Identity = "user:*" }, fault.CodeValidation},
		"space":              {admin(), func(s *TokenSpec) { s.Identity = "user:ann " }, fault.CodeValidation},
		"upper case":         {admin(), func(s *TokenSpec) { s.Identity = "user:Ann" }, fault.CodeValidation},
		"no scope":           {admin(), func(s *TokenSpec) { s.Scopes = nil }, fault.CodeValidation},
		"unknown scope":      {admin(), func(s *TokenSpec) { s.Scopes = []string{"secrets:*"} }, fault.CodeValidation},
		"unknown role":       {admin(), func(s *TokenSpec) { s.Roles = []string{"root"} }, fault.CodeValidation},
		"negative life":      {admin(), func(s *TokenSpec) { s.Life = -1 }, fault.CodeValidation},
		"endless life":       {admin(), func(s *TokenSpec) { s.Life = 100 * 365 * 24 * time.Hour }, fault.CodeValidation},
		"scope one lacks":    {limited, func(s *TokenSpec) { s.Scopes = []string{"secrets:write"} }, fault.CodeForbidden},
		"role by the lesser": {limited, func(s *TokenSpec) { s.Roles = []string{RoleTenantAdmin} }, fault.CodeForbidden},
		"without scope":      {guard.Caller{Tenant: guard.DefaultTenant}, func(*TokenSpec) {}, fault.CodeInsufficientScope},
		"as good as it gets": {limited, func(*TokenSpec) {}, ""},
	}
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := good
			tc.change(&spec)
			_, err := f.Create(t.Context(), tc.who, spec)
			wantCode(t, err, tc.code)
		})
	}
}

func TestAuthenticateRefusesGarbage(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	made := f.issue(t, TokenSpec{}).Token
	none := strings.ReplaceAll(f.jwt(t, map[string]any{"alg": "none"}), "c2lnbmF0dXJl", "")
	tests := map[string]struct{ bearer, code string }{
		"nothing":            {"", fault.CodeAuthenticationRequired},
		"unknown":            {mint(prefixPersonal), fault.CodeTokenInvalid},
		"unknown exchanged":  {mint(prefixExchanged), fault.CodeTokenInvalid},
		"one character less": {made[:len(made)-1], fault.CodeTokenInvalid},
		"one character more": {made + "a", fault.CodeTokenInvalid},
		"upper case":         {strings.ToUpper(made), fault.CodeTokenInvalid},
		"other prefix":       {"skx_" + made[4:], fault.CodeTokenInvalid},
		"prefix alone":       {"skt_", fault.CodeTokenInvalid},
		"short":              {"s", fault.CodeTokenInvalid},
		"space before":       {" " + made, fault.CodeTokenInvalid},
		"space after":        {made + " ", fault.CodeTokenInvalid},
		"NUL":                {made[:10] + "\x00" + made[11:], fault.CodeTokenInvalid},
		"not ASCII":          {"skt_" + strings.Repeat("é", 29), fault.CodeTokenInvalid},
		"huge":               {strings.Repeat("a", 1<<20), fault.CodeTokenInvalid},
		"alg none":           {none, fault.CodeTokenInvalid},
		"signed JWT":         {f.jwt(t, nil), fault.CodeTokenInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			who, err := f.Authenticate(t.Context(), tc.bearer)
			wantCode(t, err, tc.code)
			if who.ID != "" || len(who.Scopes) > 0 {
				t.Errorf("a refusal gives caller %+v", who)
			}
			if tc.bearer != "" && err != nil && len(tc.bearer) > 3 && strings.Contains(err.Error(), tc.bearer) {
				t.Error("the error repeats the token")
			}
		})
	}
}

func TestBearer(t *testing.T) {
	tests := map[string]struct {
		headers []string
		want    string
		code    string
	}{
		"plain":               {[]string{"Bearer x"}, "x", ""},
		"lower case":          {[]string{"bearer x"}, "x", ""},
		"two spaces":          {[]string{"Bearer  x"}, "x", ""},
		"trailing space":      {[]string{"Bearer x "}, "x", ""},
		"absent":              {nil, "", fault.CodeAuthenticationRequired},
		"empty":               {[]string{""}, "", fault.CodeAuthenticationRequired},
		"no token":            {[]string{"Bearer"}, "", fault.CodeAuthenticationRequired},
		"blank token":         {[]string{"Bearer   "}, "", fault.CodeAuthenticationRequired},
		"basic":               {[]string{"Basic eDp5"}, "", fault.CodeAuthenticationRequired},
		"token without kind":  {[]string{"skt_abc"}, "", fault.CodeAuthenticationRequired},
		"tab":                 {[]string{"Bearer\tx"}, "", fault.CodeAuthenticationRequired},
		"two tokens":          {[]string{"Bearer x y"}, "", fault.CodeTokenInvalid},
		"two headers":         {[]string{"Bearer x", "Bearer x"}, "", fault.CodeTokenInvalid},
		"not ASCII":           {[]string{"Bearer é"}, "", fault.CodeTokenInvalid},
		"control character":   {[]string{"Bearer a\x01b"}, "", fault.CodeTokenInvalid},
		"huge":                {[]string{"Bearer " + strings.Repeat("a", maxBearer+1)}, "", fault.CodeTokenInvalid},
		"as long as possible": {[]string{"Bearer " + strings.Repeat("a", maxBearer)}, strings.Repeat("a", maxBearer), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Bearer(tc.headers)
			wantCode(t, err, tc.code)
			if got != tc.want {
				t.Errorf("got %.40q, want %.40q", got, tc.want)
			}
		})
	}
}

func TestDevToken(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)), func(o *Options) { o.DevToken = "TOKEN" })
	who, err := f.Authenticate(t.Context(), "TOKEN")
	if err != nil || !who.HasRole(guard.RoleSuperAdmin) || !who.HasScope("secrets:write") || !who.HasScope("trust:manage") {
		t.Errorf("caller %+v, %v", who, err)
	}
	for _, wrong := range []string{"TOKE", "TOKENN", "token"} {
		_, err := f.Authenticate(t.Context(), wrong)
		wantCode(t, err, fault.CodeTokenInvalid)
	}
	var stored int64
	if err := f.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM tokens`).Scan(&stored); err != nil || stored != 0 {
		t.Errorf("%d tokens are stored, %v", stored, err)
	}
	without := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	_, err = without.Authenticate(t.Context(), "")
	wantCode(t, err, fault.CodeAuthenticationRequired)
}

// Item 33 of the peers' mistakes: a token is found by its hash and compared in constant time.
func TestMistake33ComparesInConstantTime(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	made := f.issue(t, TokenSpec{})
	err := f.db.Update(t.Context(), func(tx *store.Tx) error { // a row that answers to the hash but is another token's
		_, err := tx.Exec(`UPDATE tokens SET hash = $1 WHERE id = $2`, bytes.Repeat([]byte{7}, 32), made.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Authenticate(t.Context(), made.Token)
	wantCode(t, err, fault.CodeTokenInvalid)
	source, err := os.ReadFile("authenticate.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte("subtle.ConstantTimeCompare(")); n != 2 {
		t.Errorf("authenticate.go compares in constant time %d times, want stored token and development token", n)
	}
	if bytes.Contains(source, []byte("bytes.Equal")) {
		t.Error("authenticate.go compares tokens in another way")
	}
}

func TestLastUseIsWrittenLater(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		made := f.issue(t, TokenSpec{})
		if _, err := f.Authenticate(t.Context(), made.Token); err != nil {
			t.Fatal(err)
		}
		if got := f.lastUsed(t); got != nil {
			t.Fatalf("written by the request itself: %v", *got)
		}
		if err := f.FlushLastUsed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.lastUsed(t); got == nil || *got != f.clock.now().UnixMicro() {
			t.Fatalf("last use is %v", got)
		}
		f.used.mark(made.ID, f.clock.now().Add(-time.Hour)) // another replica's later use stays
		if err := f.FlushLastUsed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.lastUsed(t); *got != f.clock.now().UnixMicro() {
			t.Errorf("last use moved backwards to %v", *got)
		}
	})
}

func (f *fixture) lastUsed(t *testing.T) (at *int64) {
	t.Helper()
	if err := f.db.QueryRow(t.Context(), `SELECT last_used_at FROM tokens`).Scan(&at); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestLastUseSurvivesAFailedFlush(t *testing.T) {
	var commits storetest.Commits
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite), commits.Option))
	made := f.issue(t, TokenSpec{})
	if _, err := f.Authenticate(t.Context(), made.Token); err != nil {
		t.Fatal(err)
	}
	commits.Fail(errBroken)
	if err := f.FlushLastUsed(t.Context()); err == nil {
		t.Fatal("a failed commit is not told")
	}
	commits.Fail(nil)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := f.Run(ended); err != nil { // the end of Run flushes
		t.Fatal(err)
	}
	if f.lastUsed(t) == nil {
		t.Error("the use is lost")
	}
}

func TestPurge(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		old := f.issue(t, TokenSpec{Life: time.Hour})
		kept := f.issue(t, TokenSpec{Life: 100 * 24 * time.Hour})
		f.clock.advance(keepPersonal)
		if err := f.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all, err := f.List(t.Context(), admin()); err != nil || len(all) != 2 {
			t.Fatalf("%d tokens are left, %v", len(all), err)
		}
		f.clock.advance(2 * time.Hour)
		if err := f.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := f.List(t.Context(), admin())
		if err != nil || len(all) != 1 || all[0].ID != kept.ID {
			t.Errorf("left: %v, %v (old was %s)", all, err, old.ID)
		}
	})
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer x")
	f.Add("bearer  " + mint(prefixPersonal))
	f.Fuzz(func(t *testing.T, header string) {
		token, err := Bearer([]string{header})
		if (err == nil) != (token != "") {
			t.Fatalf("token %q with error %v", token, err)
		}
		if err == nil && checkBearer(token) != nil {
			t.Fatalf("took %q", token)
		}
		wellFormed(header)
	})
}
