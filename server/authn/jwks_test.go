package authn

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

const edgeIssuer = "https://edge.example"

// issuer is a stand-in for a cluster that signs its ServiceAccounts' tokens and publishes its keys; the real one
// is in test/operator.
type issuer struct {
	t   *testing.T
	now func() time.Time

	mu     sync.Mutex
	keys   map[string]*ecdsa.PrivateKey
	extra  []jose.JSONWebKey // published beside them
	down   error
	looked int
}

func newIssuer(t *testing.T, now func() time.Time) *issuer {
	t.Helper()
	i := &issuer{t: t, now: now, keys: map[string]*ecdsa.PrivateKey{}}
	i.key("one")
	return i
}

func (i *issuer) key(id string) *ecdsa.PrivateKey {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[id] = key
	return key
}

func (i *issuer) withdraw(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.keys, id)
}

func (i *issuer) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = err
}

func (i *issuer) looks() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.looked
}

func (i *issuer) source(context.Context) ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.looked++
	if i.down != nil {
		return nil, i.down
	}
	set := jose.JSONWebKeySet{Keys: i.extra}
	for id, key := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"})
	}
	return json.Marshal(set)
}

// claims are those of ServiceAccount billing-prod in namespace billing, as Kubernetes writes them.
func (i *issuer) claims() map[string]any {
	return map[string]any{
		"iss": edgeIssuer, "sub": "system:serviceaccount:billing:billing-prod", "aud": []string{Audience},
		"iat": i.now().Unix(), "nbf": i.now().Unix(), "exp": i.now().Add(10 * time.Minute).Unix(),
		"kubernetes.io": map[string]any{"namespace": "billing", "serviceaccount": map[string]any{"name": "billing-prod", "uid": "u1"}},
	}
}

func (i *issuer) token(change func(claims map[string]any)) string {
	i.t.Helper()
	c := i.claims()
	if change != nil {
		change(c)
	}
	return sign(i.t, jose.ES256, jose.JSONWebKey{Key: i.keys["one"], KeyID: "one"}, c)
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(raw)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestJWKSVerifiesWholeTokens(t *testing.T) {
	c := newClock()
	i := newIssuer(t, c.now)
	public, err := x509.MarshalPKIXPublicKey(i.keys["one"].Public())
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.extra = []jose.JSONWebKey{{Key: []byte("symmetric-key-of-thirty-two-bytes"), KeyID: "symmetric"}, {Key: weak.Public(), KeyID: "encryption", Use: "enc"}}
	set := func(key string, v any) func(map[string]any) {
		return func(c map[string]any) {
			if c[key] = v; v == nil {
				delete(c, key)
			}
		}
	}
	kubernetes := func(namespace, name, uid string) func(map[string]any) {
		return set("kubernetes.io", map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": name, "uid": uid}})
	}
	tests := map[string]struct{ token, code string }{
		"as Kubernetes makes it":   {i.token(nil), ""},
		"audience as text":         {i.token(set("aud", Audience)), ""},
		"a day of life":            {i.token(set("exp", c.now().Add(24*time.Hour).Unix())), ""},
		"more than a day of life":  {i.token(set("exp", c.now().Add(24*time.Hour+time.Second).Unix())), fault.CodeTokenInvalid},
		"no beginning":             {i.token(set("iat", nil)), fault.CodeTokenInvalid},
		"no end":                   {i.token(set("exp", nil)), fault.CodeTokenExpired},
		"expired":                  {i.token(set("exp", c.now().Add(-time.Second).Unix())), fault.CodeTokenExpired},
		"of tomorrow":              {i.token(set("nbf", c.now().Add(time.Hour).Unix())), fault.CodeTokenInvalid},
		"another audience":         {i.token(set("aud", "https://kubernetes.default.svc")), fault.CodeTokenInvalid},
		"another issuer":           {i.token(set("iss", "https://kubernetes.default.svc.cluster.local")), fault.CodeTokenInvalid},
		"a person":                 {i.token(set("sub", "ann")), fault.CodeTokenInvalid},
		"two names":                {i.token(kubernetes("billing", "other", "u1")), fault.CodeTokenInvalid},
		"two namespaces":           {i.token(kubernetes("kube-system", "billing-prod", "u1")), fault.CodeTokenInvalid},
		"no UID":                   {i.token(kubernetes("billing", "billing-prod", "")), fault.CodeTokenInvalid},
		"no Kubernetes":            {i.token(set("kubernetes.io", nil)), fault.CodeTokenInvalid},
		"key of nobody":            {sign(t, jose.ES256, jose.JSONWebKey{Key: newIssuer(t, c.now).keys["one"], KeyID: "one"}, i.claims()), fault.CodeTokenInvalid},
		"unknown key id":           {sign(t, jose.ES256, jose.JSONWebKey{Key: i.keys["one"], KeyID: "two"}, i.claims()), fault.CodeTokenInvalid},
		"no key id":                {sign(t, jose.ES256, i.keys["one"], i.claims()), ""},
		"public key as password":   {sign(t, jose.HS256, jose.JSONWebKey{Key: public, KeyID: "one"}, i.claims()), fault.CodeTokenInvalid},
		"symmetric key of the set": {sign(t, jose.HS256, jose.JSONWebKey{Key: []byte("symmetric-key-of-thirty-two-bytes"), KeyID: "symmetric"}, i.claims()), fault.CodeTokenInvalid},
		"key for encryption":       {sign(t, jose.RS256, jose.JSONWebKey{Key: weak, KeyID: "encryption"}, i.claims()), fault.CodeTokenInvalid},
		"no signature":             {i.token(nil)[:strings.LastIndexByte(i.token(nil), '.')+1], fault.CodeTokenInvalid},
		"garbage":                  {"a.b.c", fault.CodeTokenInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := NewJWKS(edgeIssuer, i.source, c.now).Review(t.Context(), tc.token, Audience)
			wantCode(t, err, tc.code)
			if want := (ServiceAccount{Namespace: "billing", Name: "billing-prod", UID: "u1"}); tc.code == "" && got != want || tc.code != "" && got != (ServiceAccount{}) {
				t.Errorf("account %+v", got)
			}
		})
	}
}

// Keys are looked at again when they have aged and when an unknown one is named, and not more often than that,
// whatever is sent. A key that is no longer published ends within ten minutes.
func TestJWKSFollowsTheKeys(t *testing.T) {
	c := newClock()
	i := newIssuer(t, c.now)
	j := NewJWKS(edgeIssuer, i.source, c.now)
	review := func(code string, token string) {
		t.Helper()
		_, err := j.Review(t.Context(), token, Audience)
		wantCode(t, err, code)
	}
	first := i.token(func(claims map[string]any) { claims["exp"] = c.now().Add(5 * time.Hour).Unix() })
	for range 20 {
		review("", first)
		review(fault.CodeTokenInvalid, sign(t, jose.ES256, jose.JSONWebKey{Key: i.keys["one"], KeyID: rand.Text()}, i.claims()))
	}
	if n := i.looks(); n != 1 {
		t.Errorf("looked %d times at the keys", n)
	}
	second := sign(t, jose.ES256, jose.JSONWebKey{Key: i.key("two"), KeyID: "two"}, i.claims())
	review(fault.CodeTokenInvalid, second)
	c.advance(keysPause)
	review("", second)
	i.withdraw("one")
	c.advance(keysFresh + time.Second)
	review("", i.tokenOf("two"))
	review(fault.CodeTokenInvalid, first)
	i.fail(errors.New("unreachable"))
	c.advance(keysFresh + time.Second)
	review("", i.tokenOf("two"))
	c.advance(keysStale)
	review(fault.CodeUnavailable, i.tokenOf("two"))
	i.fail(nil)
	review(fault.CodeUnavailable, i.tokenOf("two"))
	c.advance(keysPause)
	review("", i.tokenOf("two"))
}

func (i *issuer) tokenOf(key string) string {
	i.t.Helper()
	return sign(i.t, jose.ES256, jose.JSONWebKey{Key: i.keys[key], KeyID: key}, i.claims())
}

func TestKeysAreDue(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, tc := range map[string]struct {
		loaded, tried time.Time
		known, want   bool
	}{
		"never looked":                 {time.Time{}, time.Time{}, false, true},
		"fresh":                        {ago(time.Minute), ago(time.Minute), true, false},
		"fresh, unknown key":           {ago(time.Minute), ago(time.Minute), false, true},
		"unknown key, looked just now": {ago(time.Second), ago(time.Second), false, false},
		"aged":                         {ago(keysFresh + time.Second), ago(keysFresh + time.Second), true, true},
		"aged, failed just now":        {ago(time.Hour), ago(time.Second), true, false},
		"failed once, never read":      {time.Time{}, ago(keysPause), false, true},
	} {
		if got := due(now, tc.loaded, tc.tried, tc.known); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A look that takes its time is one look for everybody, and does not end with whoever began it.
func TestJWKSLooksOnceForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, time.Now)
		slow := func(ctx context.Context) ([]byte, error) {
			select {
			case <-time.After(time.Second):
				return i.source(ctx)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		j, token := NewJWKS(edgeIssuer, slow, nil), i.token(nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 11)
		go func() { _, err := j.Review(ctx, token, Audience); done <- err }()
		synctest.Wait()
		cancel()
		for range 10 {
			go func() { _, err := j.Review(t.Context(), token, Audience); done <- err }()
		}
		for range 11 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if i.looks() != 1 {
			t.Errorf("looked %d times", i.looks())
		}
	})
}

// The workloads of a second cluster are verified by its keys and become its identities, never those of home.
func TestSecondClusterByItsKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var edge *issuer
		f := newFixture(t, db, func(o *Options) {
			edge = newIssuer(t, o.Now)
			o.Clusters = append(o.Clusters, Cluster{Name: "edge", Issuer: edgeIssuer, Reviewer: NewJWKS(edgeIssuer, edge.source, o.Now)})
		})
		f.trust(t, TrustRule{Name: "home"})
		_, err := f.exchange(t, edge.token(nil))
		wantCode(t, err, fault.CodeAccessDenied) // no rule speaks of the cluster
		f.trust(t, TrustRule{Name: "edge", Cluster: "edge"})
		out, err := f.exchange(t, edge.token(nil))
		if err != nil || out.IdentityID != "sa:edge:billing:billing-prod" {
			t.Errorf("became %q, %v", out.IdentityID, err)
		}
		who, err := f.Authenticate(t.Context(), out.AccessToken)
		if err != nil || who.Cluster != "edge" || who.Namespace != "billing" {
			t.Errorf("caller %+v, %v", who, err)
		}
		if f.cluster.asked != 0 {
			t.Error("home was asked about a token of edge")
		}
	})
}

func TestKeySources(t *testing.T) {
	body := []byte(`{"keys":[]}`)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/keys":
			_, _ = w.Write(body)
		case "/large":
			_, _ = w.Write(bytes.Repeat([]byte(" "), maxKeySet+1))
		case "/elsewhere":
			http.Redirect(w, r, "/keys", http.StatusFound)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer s.Close()
	dir := t.TempDir()
	file, ca := filepath.Join(dir, "keys.json"), filepath.Join(dir, "ca.crt")
	for name, content := range map[string][]byte{file: body, ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		where, ca string
		made, ok  bool
	}{
		"file":                {file, "", true, true},
		"URL":                 {s.URL + "/keys", ca, true, true},
		"of nobody's vouched": {s.URL + "/keys", "", true, false},
		"refused":             {s.URL + "/none", ca, true, false},
		"too large":           {s.URL + "/large", ca, true, false},
		"sent elsewhere":      {s.URL + "/elsewhere", ca, true, false},
		"no file":             {filepath.Join(dir, "none"), "", false, false},
		"plain HTTP":          {"http://edge.example/keys", "", false, false},
		"credentials":         {"https://a:b@edge.example/keys", "", false, false},
		"authority of a file": {file, ca, false, false},
		"no authority":        {s.URL + "/keys", file, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := NewKeySource(tc.where, tc.ca)
			if (err == nil) != tc.made {
				t.Fatalf("made: %v", err)
			}
			if err != nil {
				return
			}
			got, err := source(t.Context())
			if (err == nil) != tc.ok || tc.ok && !bytes.Equal(got, body) {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"none"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := parseKeys(raw)
		if err == nil && len(keys) == 0 {
			t.Fatal("no key and no error")
		}
		for _, k := range keys {
			if !k.IsPublic() || !verifies(k.Key) {
				t.Fatalf("took a %T", k.Key)
			}
		}
	})
}
