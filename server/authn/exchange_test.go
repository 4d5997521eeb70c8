package authn

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestWorkloadExchangesItsToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.trust(t, TrustRule{Name: "home"})
		f.cluster.vouchFor("billing", "billing-prod")
		out, err := f.exchange(t, f.jwt(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		want := vaultapi.ExchangeResponse{
			AccessToken: out.AccessToken, TokenType: "Bearer", ExpiresIn: 600, IdentityID: "sa:billing:billing-prod",
			Scope: "secrets:read secrets:list secrets:rotate pki:issue dynamic:generate",
		}
		if d := cmp.Diff(want, out); d != "" || !strings.HasPrefix(out.AccessToken, "skx_") {
			t.Errorf("answer: %s", d)
		}
		e := f.trail.last(t)
		if e.Action != "auth_exchange" || !e.Success || e.IdentityID != "sa:billing:billing-prod" || e.SourceIP != "10.1.2.3" || e.RequestID != "req_1" {
			t.Errorf("entry: %+v", e)
		}
		who, err := f.Authenticate(t.Context(), out.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		if who.Type != guard.TypeServiceAccount || who.Namespace != "billing" || who.Cluster != HomeCluster || who.Tenant != guard.DefaultTenant || len(who.Roles) > 0 {
			t.Errorf("caller: %+v", who)
		}
		f.clock.advance(10 * time.Minute)
		_, err = f.Authenticate(t.Context(), out.AccessToken)
		wantCode(t, err, fault.CodeTokenExpired)
	})
}

func TestExchangeRefusesBeforeAskingTheCluster(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	f.trust(t, TrustRule{Name: "home"})
	f.cluster.vouchFor("billing", "billing-prod")
	tests := map[string]struct {
		token  string
		change func(*vaultapi.ExchangeRequest)
		code   string
	}{
		"no token":           {"", nil, fault.CodeInvalidRequest},
		"garbage":            {"garbage", nil, fault.CodeTokenInvalid},
		"two parts":          {"a.b", nil, fault.CodeTokenInvalid},
		"not base64":         {"!.!.!", nil, fault.CodeTokenInvalid},
		"not JSON":           {"YQ.YQ.YQ", nil, fault.CodeTokenInvalid},
		"huge":               {strings.Repeat("a", maxBearer+1), nil, fault.CodeTokenInvalid},
		"alg none":           {f.jwt(t, map[string]any{"alg": "none"}), nil, fault.CodeTokenInvalid},
		"alg None":           {f.jwt(t, map[string]any{"alg": "None"}), nil, fault.CodeTokenInvalid},
		"alg absent":         {f.jwt(t, map[string]any{"alg": ""}), nil, fault.CodeTokenInvalid},
		"alg symmetric":      {f.jwt(t, map[string]any{"alg": "HS256"}), nil, fault.CodeTokenInvalid},
		"no signature":       {strings.TrimSuffix(f.jwt(t, nil), "c2lnbmF0dXJl"), nil, fault.CodeTokenInvalid},
		"expired":            {f.jwt(t, map[string]any{"exp": f.clock.now().Add(-2 * time.Minute).Unix()}), nil, fault.CodeTokenExpired},
		"without end":        {f.jwt(t, map[string]any{"exp": nil}), nil, fault.CodeTokenExpired},
		"end as text":        {f.jwt(t, map[string]any{"exp": "tomorrow"}), nil, fault.CodeTokenInvalid},
		"other audience":     {f.jwt(t, map[string]any{"aud": "vault"}), nil, fault.CodeTokenInvalid},
		"no audience":        {f.jwt(t, map[string]any{"aud": nil}), nil, fault.CodeTokenInvalid},
		"a person":           {f.jwt(t, map[string]any{"sub": "ann"}), nil, fault.CodeTokenInvalid},
		"a node":             {f.jwt(t, map[string]any{"sub": "system:node:n1"}), nil, fault.CodeTokenInvalid},
		"other grant type":   {f.jwt(t, nil), func(r *vaultapi.ExchangeRequest) { r.GrantType = "password" }, fault.CodeInvalidRequest},
		"other token type":   {f.jwt(t, nil), func(r *vaultapi.ExchangeRequest) { r.SubjectTokenType = "saml" }, fault.CodeInvalidRequest},
		"other audience ask": {f.jwt(t, nil), func(r *vaultapi.ExchangeRequest) { r.Audience = "vault" }, fault.CodeInvalidRequest},
		"allowed paths":      {f.jwt(t, nil), func(r *vaultapi.ExchangeRequest) { r.AllowedPaths = []string{"a/**"} }, fault.CodeInvalidRequest},
		"no allowed paths":   {f.jwt(t, nil), func(r *vaultapi.ExchangeRequest) { r.AllowedPaths = []string{} }, fault.CodeInvalidRequest}, // mistake 11
		"two roles":          {f.jwt(t, nil), func(r *vaultapi.ExchangeRequest) { r.Role, r.RequestedRole = "a", "b" }, fault.CodeInvalidRequest},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := f.exchange(t, tc.token, func(r *vaultapi.ExchangeRequest) {
				if tc.change != nil {
					tc.change(r)
				}
			})
			wantCode(t, err, tc.code)
			if e := f.trail.last(t); e.Action != "auth_failed" || e.Success || e.Code != tc.code {
				t.Errorf("entry: %+v", e)
			}
		})
	}
	if f.cluster.asked != 0 {
		t.Errorf("the cluster was asked %d times", f.cluster.asked)
	}
}

// Item 26 of the peers' mistakes: `aud` as a string and as a list were compared differently.
func TestMistake26AudienceStringAndList(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	tests := map[string]struct {
		aud  any
		code string
	}{
		"string":           {"scaivault", ""},
		"list":             {[]string{"scaivault"}, ""},
		"one of a list":    {[]string{"api", "scaivault"}, ""},
		"other string":     {"api", fault.CodeTokenInvalid},
		"other list":       {[]string{"api"}, fault.CodeTokenInvalid},
		"empty list":       {[]string{}, fault.CodeTokenInvalid},
		"empty string":     {"", fault.CodeTokenInvalid},
		"part of it":       {"scai", fault.CodeTokenInvalid},
		"more than it":     {"scaivault2", fault.CodeTokenInvalid},
		"joined":           {"api scaivault", fault.CodeTokenInvalid},
		"joined in a list": {[]string{"api,scaivault"}, fault.CodeTokenInvalid},
		"upper case":       {"ScaiVault", fault.CodeTokenInvalid},
		"object":           {map[string]any{"scaivault": true}, fault.CodeTokenInvalid},
		"nested list":      {[]any{[]string{"scaivault"}}, fault.CodeTokenInvalid},
		"list with number": {[]any{"scaivault", 1}, fault.CodeTokenInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := peek(f.jwt(t, map[string]any{"aud": tc.aud}), Audience, f.clock.now())
			wantCode(t, err, tc.code)
		})
	}
}

// What a review answers is believed only whole; item 26 on the cluster's side of it as well.
func TestReviewIsJudged(t *testing.T) {
	good := authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{Audience},
		User: authenticationv1.UserInfo{Username: "system:serviceaccount:billing:app", UID: "u1", Groups: []string{"system:serviceaccounts", "system:authenticated"}},
	}
	tests := map[string]struct {
		change func(*authenticationv1.TokenReviewStatus)
		ok     bool
	}{
		"good":                     {func(*authenticationv1.TokenReviewStatus) {}, true},
		"not authenticated":        {func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false }, false},
		"authenticated and error":  {func(s *authenticationv1.TokenReviewStatus) { s.Error = "expired" }, false},
		"no audience":              {func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil }, false},
		"other audience":           {func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"https://kubernetes.default.svc"} }, false},
		"a person":                 {func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "ann" }, false},
		"person who looks like it": {func(s *authenticationv1.TokenReviewStatus) { s.User.Groups = []string{"system:authenticated"} }, false},
		"a node":                   {func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:node:n1" }, false},
		"a part more":              {func(s *authenticationv1.TokenReviewStatus) { s.User.Username += ":x" }, false},
		"no name":                  {func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:billing:" }, false},
		"wildcard":                 {func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:billing:*" }, false},
		"prefix in other case":     {func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "System:serviceaccount:billing:app" }, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			status := *good.DeepCopy()
			tc.change(&status)
			got, err := judge(status, Audience)
			if tc.ok != (err == nil) {
				t.Fatalf("error is %v", err)
			}
			if err != nil && got != (ServiceAccount{}) {
				t.Errorf("a refusal names %+v", got)
			}
		})
	}
}

// Item 28 of the peers' mistakes: a plugin returned an identity and an error, and the identity got its token.
func TestMistake28IdentityBesideAnError(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	f.trust(t, TrustRule{Name: "home"})
	f.cluster.account = ServiceAccount{Namespace: "billing", Name: "billing-prod"}
	for _, err := range []error{errBroken, notAWorkload("no"), fault.Unavailable(errBroken, "down")} {
		f.cluster.err = err
		out, got := f.exchange(t, f.jwt(t, nil))
		if got == nil || out != (vaultapi.ExchangeResponse{}) {
			t.Errorf("answer %+v with error %v", out, got)
		}
	}
	var tokens int64
	if err := f.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM tokens`).Scan(&tokens); err != nil || tokens != 0 {
		t.Errorf("%d tokens were made, %v", tokens, err)
	}
}

// Item 6 of the peers' mistakes: metacharacters in identity values were expanded into templates.
func TestMistake06NoMetacharactersInIdentities(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	f.trust(t, TrustRule{Name: "home"})
	for _, value := range []string{"*", "**", "a*", "a/b", "a+b", "a,b", "{name}", "a:b", "A", "a b", "..", ".", "-a", "a-", "", "a\x00", "ä", strings.Repeat("a", 254)} {
		for _, sa := range []ServiceAccount{{Namespace: value, Name: "app"}, {Namespace: "billing", Name: value}} {
			f.cluster.account, f.cluster.err = sa, nil
			if out, err := f.exchange(t, f.jwt(t, nil), func(*vaultapi.ExchangeRequest) {}); err == nil {
				t.Errorf("%+v became %s", sa, out.IdentityID)
			}
			f.clock.advance(time.Minute) // the failures are not what is tested
		}
		rule := TrustRule{Name: "x", Cluster: HomeCluster, Namespace: "billing", ServiceAccount: "app", Identity: "sa:" + value}.withDefaults()
		if rule.validate() == nil {
			t.Errorf("a rule may give identity sa:%q", value)
		}
	}
}

// Item 22 of the peers' mistakes: binding rules matched across namespaces.
func TestMistake22RulesStayInTheirNamespace(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	f.trust(t, TrustRule{Name: "alias", Namespace: "billing", ServiceAccount: "billing-prod", Identity: "sa:billing-prod"})
	for _, sa := range []ServiceAccount{
		{Namespace: "evil", Name: "billing-prod"}, {Namespace: "billing-prod", Name: "billing"}, {Namespace: "billing", Name: "other"},
		{Namespace: "billing2", Name: "billing-prod"},
	} {
		f.cluster.vouchFor(sa.Namespace, sa.Name)
		_, err := f.exchange(t, f.jwt(t, nil), func(r *vaultapi.ExchangeRequest) { r.RequestedRole = "sa:billing-prod" })
		wantCode(t, err, fault.CodeAccessDenied)
	}
	f.cluster.vouchFor("billing", "billing-prod")
	out, err := f.exchange(t, f.jwt(t, nil))
	if err != nil || out.IdentityID != "sa:billing-prod" {
		t.Errorf("the one it is for: %+v, %v", out, err)
	}
	other := newFixture(t, f.db, func(o *Options) { o.Clusters = []Cluster{{Name: "edge", Reviewer: f.cluster}} })
	_, err = other.exchange(t, f.jwt(t, nil))
	wantCode(t, err, fault.CodeAccessDenied) // the same names in another cluster are somebody else
}

func TestMostSpecificRuleDecidesAlone(t *testing.T) {
	home := TrustRule{ID: "home", Cluster: HomeCluster}.withDefaults()
	space := TrustRule{ID: "space", Cluster: HomeCluster, Namespace: "billing", Scopes: []string{"secrets:list"}}.withDefaults()
	exact := TrustRule{ID: "exact", Cluster: HomeCluster, Namespace: "billing", ServiceAccount: "app", Identity: "sa:billing-prod"}.withDefaults()
	second := TrustRule{ID: "second", Cluster: HomeCluster, Namespace: "billing", ServiceAccount: "app"}.withDefaults()
	edge := TrustRule{ID: "edge", Cluster: "edge"}.withDefaults()
	app := ServiceAccount{Namespace: "billing", Name: "app"}
	tests := map[string]struct {
		rules   []TrustRule
		cluster string
		role    string
		want    string
		id      string
		code    string
	}{
		"any":                              {[]TrustRule{home}, HomeCluster, "", "home", "sa:billing:app", ""},
		"namespace over any":               {[]TrustRule{home, space}, HomeCluster, "", "space", "sa:billing:app", ""},
		"exact over namespace":             {[]TrustRule{exact, home, space}, HomeCluster, "", "exact", "sa:billing-prod", ""},
		"role of the exact":                {[]TrustRule{exact, second, home}, HomeCluster, "sa:billing:app", "second", "sa:billing:app", ""},
		"two exact and no role":            {[]TrustRule{exact, second}, HomeCluster, "", "", "", fault.CodeInvalidRequest},
		"role of a less specific":          {[]TrustRule{exact, home}, HomeCluster, "sa:billing:app", "", "", fault.CodeAccessDenied},
		"role of nobody":                   {[]TrustRule{home}, HomeCluster, "sa:root", "", "", fault.CodeAccessDenied},
		"system role":                      {[]TrustRule{home}, HomeCluster, "system:audit", "", "", fault.CodeAccessDenied},
		"no rule":                          {nil, HomeCluster, "", "", "", fault.CodeAccessDenied},
		"other cluster's rule":             {[]TrustRule{edge}, HomeCluster, "", "", "", fault.CodeAccessDenied},
		"other cluster says so":            {[]TrustRule{edge, home}, "edge", "", "edge", "sa:edge:billing:app", ""},
		"home's identity from another one": {[]TrustRule{edge, home}, "edge", "sa:billing:app", "", "", fault.CodeAccessDenied},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rule, id, err := choose(tc.rules, tc.cluster, app, tc.role)
			wantCode(t, err, tc.code)
			if rule.ID != tc.want || id != tc.id {
				t.Errorf("rule %q gives %q, want %q and %q", rule.ID, id, tc.want, tc.id)
			}
		})
	}
}

func TestTrustRuleIsChecked(t *testing.T) {
	exact := TrustRule{Name: "r", Cluster: HomeCluster, Namespace: "billing", ServiceAccount: "app"}
	tests := map[string]struct {
		change func(*TrustRule)
		field  string
	}{
		"defaults":                   {func(*TrustRule) {}, ""},
		"alias":                      {func(r *TrustRule) { r.Identity = "sa:billing-prod" }, ""},
		"alias for a namespace":      {func(r *TrustRule) { r.Identity, r.ServiceAccount = "sa:billing-prod", "" }, "identity"},
		"alias for all":              {func(r *TrustRule) { r.Identity, r.ServiceAccount, r.Namespace = "sa:x", "", "" }, "identity"},
		"alias that is another's":    {func(r *TrustRule) { r.Identity = "sa:kube-system:admin" }, "identity"},
		"half a template":            {func(r *TrustRule) { r.Identity = "sa:{namespace}" }, "identity"},
		"home template elsewhere":    {func(r *TrustRule) { r.Cluster, r.Identity = "edge", TemplateHome }, "identity"},
		"cluster template elsewhere": {func(r *TrustRule) { r.Cluster, r.Identity = "edge", TemplateCluster }, ""},
		"system":                     {func(r *TrustRule) { r.Identity = "system:audit" }, "identity"},
		"dynamic":                    {func(r *TrustRule) { r.Identity = "dynamic:pg" }, "identity"},
		"user":                       {func(r *TrustRule) { r.Identity = "user:ann@example.org" }, "identity"},
		"group":                      {func(r *TrustRule) { r.Identity = "group:ops" }, "identity"},
		"name without namespace":     {func(r *TrustRule) { r.Namespace = "" }, "namespace"},
		"wildcard namespace":         {func(r *TrustRule) { r.Namespace = "team-*" }, "namespace"},
		"wildcard account":           {func(r *TrustRule) { r.ServiceAccount = "*" }, "service_account"},
		"no cluster is home":         {func(r *TrustRule) { r.Cluster = "" }, ""},
		"bad cluster":                {func(r *TrustRule) { r.Cluster = "Edge" }, "cluster"},
		"unknown scope":              {func(r *TrustRule) { r.Scopes = []string{"everything"} }, "scopes"},
		"a second of life":           {func(r *TrustRule) { r.Life = time.Second }, "life"},
		"a day of life":              {func(r *TrustRule) { r.Life = 24 * time.Hour }, "life"},
		"no name":                    {func(r *TrustRule) { r.Name = "" }, "name"},
		"name that is a path":        {func(r *TrustRule) { r.Name = "a/b" }, "name"},
		"name that is two dots":      {func(r *TrustRule) { r.Name = ".." }, "name"},
		"name like an id":            {func(r *TrustRule) { r.Name = "trust_x" }, "name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rule := exact
			tc.change(&rule)
			err := rule.withDefaults().validate()
			if tc.field == "" {
				if err != nil {
					t.Fatalf("refused: %v", fault.From(err).Details)
				}
				return
			}
			fields, _ := fault.From(err).Details["fields"].(map[string]string)
			if fields[tc.field] == "" {
				t.Errorf("error is %v with %v", err, fields)
			}
		})
	}
}

func TestScopesOnlyNarrow(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	f.trust(t, TrustRule{Name: "home"})
	f.cluster.vouchFor("billing", "app")
	ask := func(scope string) (vaultapi.ExchangeResponse, error) {
		return f.exchange(t, f.jwt(t, nil), func(r *vaultapi.ExchangeRequest) { r.Scope = scope })
	}
	out, err := ask("secrets:read  secrets:read")
	if err != nil || out.Scope != "secrets:read" {
		t.Errorf("narrowed to %q, %v", out.Scope, err)
	}
	for _, more := range []string{"admin", "secrets:read admin", "secrets:write", "*"} {
		_, err := ask(more)
		wantCode(t, err, fault.CodeInsufficientScope)
	}
}

func TestClusterOf(t *testing.T) {
	home, edge := Cluster{Name: HomeCluster}, Cluster{Name: "edge", Issuer: "https://edge"}
	tests := map[string]struct {
		clusters []Cluster
		issuer   string
		want     string
	}{
		"its own issuer":        {[]Cluster{home, edge}, "https://edge", "edge"},
		"an issuer of no other": {[]Cluster{edge, home}, "https://kubernetes.default.svc", HomeCluster},
		"no issuer":             {[]Cluster{edge}, "", ""},
		"nobody's issuer":       {[]Cluster{edge}, "https://evil", ""},
		"no cluster":            {nil, "https://edge", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := clusterOf(tc.clusters, tc.issuer); got.Name != tc.want || ok != (tc.want != "") {
				t.Errorf("got %q, %v", got.Name, ok)
			}
		})
	}
}

func TestFailedExchangesAreLimited(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)), func(o *Options) {
		o.Limits = FailureLimits{PerSource: 3, PerIssuer: 4}
	})
	f.trust(t, TrustRule{Name: "home"})
	from := func(ip, token string) error {
		src := source()
		src.IP = netip.MustParseAddr(ip)
		_, err := f.Exchange(t.Context(), vaultapi.ExchangeRequest{SubjectToken: token}, src)
		return err
	}
	good := f.jwt(t, nil)
	f.cluster.vouchFor("billing", "app")
	for range 20 { // success costs nothing
		if err := from("10.0.0.1", good); err != nil {
			t.Fatal(err)
		}
	}
	f.cluster.err = notAWorkload("no")
	for range 3 {
		wantCode(t, from("10.0.0.2", good), fault.CodeTokenInvalid)
	}
	err := from("10.0.0.2", good)
	wantCode(t, err, fault.CodeRateLimited)
	if wait, _ := fault.From(err).Details["retry_after"].(int64); wait != 20 {
		t.Errorf("retry_after is %v, want 20 s at 3 a minute", fault.From(err).Details["retry_after"])
	}
	if e := f.trail.last(t); e.Action != "rate_limited" {
		t.Errorf("entry: %+v", e)
	}
	wantCode(t, from("10.0.0.3", good), fault.CodeTokenInvalid) // the issuer's fourth
	wantCode(t, from("10.0.0.3", good), fault.CodeRateLimited)
	f.cluster.err = nil
	if err := from("10.0.0.1", good); err != nil {
		t.Errorf("a source without failures is locked out by others: %v", err)
	}
	f.clock.advance(20 * time.Second)
	if err := from("10.0.0.2", good); err != nil {
		t.Errorf("after waiting: %v", err)
	}
}

func TestIPv6SourcesShareTheirNetwork(t *testing.T) {
	a, b := sourceKey(netip.MustParseAddr("2001:db8::1")), sourceKey(netip.MustParseAddr("2001:db8::ffff:1"))
	if a != b || a == sourceKey(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Errorf("keys are %v and %v", a, b)
	}
	if sourceKey(netip.MustParseAddr("::ffff:10.0.0.1")) != sourceKey(netip.MustParseAddr("10.0.0.1")) {
		t.Error("a mapped IPv4 address is another source")
	}
	if sourceKey(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("the unknown address has a network")
	}
}

// A cluster that does not answer is nobody's failure.
func TestUnavailableClusterCountsAgainstNobody(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)), func(o *Options) { o.Limits = FailureLimits{PerSource: 1, PerIssuer: 1} })
	f.trust(t, TrustRule{Name: "home"})
	f.cluster.err = fault.Unavailable(errBroken, "down")
	for range 3 {
		_, err := f.exchange(t, f.jwt(t, nil))
		wantCode(t, err, fault.CodeUnavailable)
	}
	f.cluster.vouchFor("billing", "app")
	if _, err := f.exchange(t, f.jwt(t, nil)); err != nil {
		t.Error(err)
	}
}

func TestNothingIsAnsweredWithoutARecord(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	f.trail.fail = errBroken
	_, err := f.exchange(t, "garbage")
	wantCode(t, err, fault.CodeUnavailable)
	if !errors.Is(err, errBroken) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestReviewsAreBounded(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	synctest.Test(t, func(t *testing.T) {
		slow := &slowReviewer{release: make(chan struct{})}
		jammed, other := Cluster{Name: "jammed", Issuer: "j", Reviewer: slow}, Cluster{Name: HomeCluster, Reviewer: &reviewer{}}
		s := New(Options{DB: f.db, Guard: f.guard, Edge: f.trail, Clusters: []Cluster{jammed, other}})
		done := make(chan struct{}, 3*maxReviews)
		for range 3 * maxReviews {
			go func() {
				_, _ = s.review(t.Context(), jammed, "x")
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		if got := slow.asked.Load(); got != maxReviews {
			t.Errorf("%d reviews at once", got)
		}
		if _, err := s.review(t.Context(), other, "x"); err != nil { // a cluster that is slow holds up no other
			t.Error(err)
		}
		close(slow.release)
		for range 3 * maxReviews {
			<-done
		}
	})
}

func FuzzPeek(f *testing.F) {
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOlsic2NhaXZhdWx0Il0sImV4cCI6OTk5OTk5OTk5OSwic3ViIjoic3lzdGVtOnNlcnZpY2VhY2NvdW50OmE6YiJ9.YQ")
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, token string) {
		c, err := peek(token, Audience, now)
		if err != nil {
			return
		}
		if _, _, ok := parseUsername(c.Subject); !ok || len(c.Audience) == 0 || strings.Count(token, ".") != 2 {
			t.Fatalf("took %q as %s", token, fmt.Sprint(c))
		}
	})
}
