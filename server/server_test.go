package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/postgres"
)

const devToken = "TOKEN"

// process is a server under test.
type process struct {
	t      *testing.T
	base   string
	stop   context.CancelFunc
	ended  chan error
	client *http.Client
	err    *bytes.Buffer
}

func start(t *testing.T, c Config) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan error, 1), client: &http.Client{}, err: &bytes.Buffer{}}
	c.Listen, c.Stderr, c.Version = "127.0.0.1:0", p.err, "test"
	ctx, stop := context.WithCancel(context.Background())
	s, err := New(ctx, c)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	p.stop, p.base = stop, "http://"+s.Addr().String()
	go func() { p.ended <- s.Run(ctx) }()
	t.Cleanup(func() { p.stop() })
	return p
}

func dev(dir string) Config { return Config{Dev: true, DevToken: devToken, DataDir: dir} }

// end stops the server in order.
func (p *process) end() {
	p.t.Helper()
	p.stop()
	select {
	case err := <-p.ended:
		if err != nil {
			p.t.Fatalf("the server ended with %v\n%s", err, p.err)
		}
	case <-time.After(40 * time.Second):
		p.t.Fatal("the server does not end")
	}
}

func (p *process) call(method, path string, body any) (int, []byte) {
	p.t.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			p.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, p.base+path, in)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+devToken)
	req.Header.Set("Content-Type", "application/json")
	answer, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	out, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, out
}

func (p *process) must(status int, method, path string, body any) []byte {
	p.t.Helper()
	got, out := p.call(method, path, body)
	if got != status {
		p.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, out)
	}
	return out
}

// await asks for readiness until ok says yes.
func (p *process) await(what string, ok func(status int, r vaultapi.Readiness) bool) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		status, body := p.call("GET", "/v1/health/ready", nil)
		var r vaultapi.Readiness
		if err := json.Unmarshal(body, &r); err != nil {
			p.t.Fatalf("readiness: %s", body)
		}
		if ok(status, r) {
			return
		}
		select {
		case <-tick.C:
		case err := <-p.ended:
			p.t.Fatalf("%s: the server ended: %v\n%s", what, err, p.err)
		case <-limit:
			p.t.Fatalf("%s: still %d %s\n%s", what, status, body, p.err)
		}
	}
}

func (p *process) ready() *process {
	p.t.Helper()
	p.await("ready", func(status int, _ vaultapi.Readiness) bool { return status == http.StatusOK })
	return p
}

func TestSecretsOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dev(dir)).ready()
	p.must(http.StatusCreated, "PUT", "/v1/secrets/a/b", map[string]any{"data": map[string]any{"k": "v"}})
	var before vaultapi.Version
	decode(t, p.must(http.StatusOK, "GET", "/v1/version", nil), &before)
	p.end()
	p = start(t, dev(dir)).ready()
	if got := p.must(http.StatusOK, "GET", "/v1/secrets/a/b", nil); !bytes.Contains(got, []byte(`"k":"v"`)) {
		t.Errorf("read %s", got)
	}
	var after vaultapi.Version
	decode(t, p.must(http.StatusOK, "GET", "/v1/version", nil), &after)
	if after.InstanceID == "" || after.InstanceID != before.InstanceID {
		t.Errorf("instance %q became %q", before.InstanceID, after.InstanceID)
	}
	var whoami vaultapi.Whoami
	decode(t, p.must(http.StatusOK, "GET", "/v1/auth/whoami", nil), &whoami)
	if whoami.IdentityID != "user:dev" || !strings.Contains(strings.Join(whoami.Roles, " "), "super_admin") {
		t.Errorf("whoami: %+v", whoami)
	}
	p.end()
}

func decode(t *testing.T, raw []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
}

func TestServesOnPostgreSQL(t *testing.T) {
	key := newRootKey(t)
	c := dev("")
	c.DatabaseURL, c.RootKeyFile = postgres.Start(t), key
	one, two := start(t, c).ready(), start(t, c).ready()
	one.must(http.StatusCreated, "PUT", "/v1/secrets/a/b", map[string]any{"data": map[string]any{"k": "v"}})
	if got := two.must(http.StatusOK, "GET", "/v1/secrets/a/b", nil); !bytes.Contains(got, []byte(`"k":"v"`)) {
		t.Errorf("the other replica reads %s", got)
	}
	admin, err := OpenAdmin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	made, err := admin.CreateToken(t.Context(), authn.TokenSpec{Name: "ci", Identity: "sa:ci", Scopes: []string{"secrets:list"}})
	if err != nil {
		t.Fatal(err)
	}
	if status := two.as(made.Token); status != http.StatusOK {
		t.Errorf("a new token gets %d", status)
	}
	if err := admin.RevokeToken(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if a, b := one.as(made.Token), two.as(made.Token); a != http.StatusUnauthorized || b != http.StatusUnauthorized {
		t.Errorf("a revoked token gets %d and %d", a, b)
	}
	if err := admin.Close(); err != nil {
		t.Error(err)
	}
	one.end()
	two.end()
}

// as asks whoami with a token.
func (p *process) as(token string) int {
	p.t.Helper()
	req, err := http.NewRequest("GET", p.base+"/v1/auth/whoami", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	answer, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func newRootKey(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.key")
	key, err := seal.NewRootKey()
	if err == nil {
		err = key.Save(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Without the right root key the server lives, says why it is not ready, and touches nothing.
func TestRootKeyMissingThenMounted(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "root.key")
	p := start(t, Config{DataDir: dir, RootKeyFile: file, InsecureHTTP: true})
	p.await("says that the key is missing", func(status int, r vaultapi.Readiness) bool {
		return status == http.StatusServiceUnavailable && r.Errors["encryption"] != "" && r.Checks["database"] == "ok" && r.DatabaseEmpty
	})
	p.must(http.StatusOK, "GET", "/v1/health", nil)
	var e vaultapi.ErrorEnvelope
	decode(t, p.must(http.StatusServiceUnavailable, "GET", "/v1/secrets/a", nil), &e)
	if e.Error.Code != "service_unavailable" || e.Error.RequestID == "" {
		t.Errorf("error: %+v", e)
	}
	source, err := os.ReadFile(newRootKey(t))
	if err == nil {
		err = os.WriteFile(file, source, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.ready()
	p.end()
	if !strings.Contains(p.err.String(), "not ready") {
		t.Errorf("the log says nothing: %s", p.err)
	}
}

func TestWrongRootKeyTouchesNothing(t *testing.T) {
	dir, right := t.TempDir(), newRootKey(t)
	p := start(t, Config{DataDir: dir, RootKeyFile: right, InsecureHTTP: true}).ready()
	p.end()
	before := rowsOf(t, dir)
	p = start(t, Config{DataDir: dir, RootKeyFile: newRootKey(t), InsecureHTTP: true})
	p.await("says that the key is wrong", func(status int, r vaultapi.Readiness) bool {
		return status == http.StatusServiceUnavailable && strings.Contains(r.Errors["encryption"], "not the one") && !r.DatabaseEmpty
	})
	p.end()
	if d := cmp.Diff(before, rowsOf(t, dir)); d != "" {
		t.Errorf("a wrong root key changed the database: %s", d)
	}
	start(t, Config{DataDir: dir, RootKeyFile: right, InsecureHTTP: true}).ready().end()
}

// rowsOf counts what a server writes when it opens.
func rowsOf(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	counts := map[string]int64{}
	for _, table := range []string{"keys", "tenants", "partners", "meta", "policies", "trust_rules", "audit_blocks", "audit_writers", "audit_checkpoints"} {
		var n int64
		if err := db.QueryRow(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		counts[table] = n
	}
	return counts
}

func TestSecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dev(dir)).ready()
	second := start(t, dev(dir))
	if err := <-second.ended; !errors.Is(err, store.ErrInUse) {
		t.Errorf("error is %v", err)
	}
	p.must(http.StatusOK, "GET", "/v1/auth/whoami", nil)
	p.end()
}

func TestShutdownEndsLongPolls(t *testing.T) {
	p := start(t, dev(t.TempDir())).ready()
	var sub vaultapi.Subscription
	decode(t, p.must(http.StatusCreated, "POST", "/v1/subscriptions", map[string]any{
		"name": "watch", "paths": []string{"**"}, "events": []string{"secret.*"}, "delivery": map[string]any{"type": "polling"},
	}), &sub)
	polled := make(chan int, 1)
	go func() {
		status, _ := p.call("GET", "/v1/subscriptions/"+sub.ID+"/poll?timeout=60", nil)
		polled <- status
	}()
	p.awaitActivePoll()
	begun := time.Now()
	p.end()
	if took := time.Since(begun); took > drainWithin/2 {
		t.Errorf("the shutdown took %s", took)
	}
	if status := <-polled; status != http.StatusOK {
		t.Errorf("the poll got %d", status)
	}
}

// awaitActivePoll waits until the server answers two requests at once: the poll, and the question.
func (p *process) awaitActivePoll() {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		metrics := p.must(http.StatusOK, "GET", "/v1/metrics", nil)
		if bytes.Contains(metrics, []byte(`scaivault_active_requests{path_category="subscriptions"} 1`)) {
			return
		}
		<-tick.C
	}
	p.t.Fatal("the poll never began")
}

// A poll of 60 seconds must not be cut by the connection's own limits.
func TestDeadlinesOutlastPolls(t *testing.T) {
	const longestPoll = 60 * time.Second
	if readTimeout < longestPoll+10*time.Second || writeTimeout < longestPoll+10*time.Second {
		t.Errorf("read %s and write %s are too short", readTimeout, writeTimeout)
	}
}

func TestAdminWithAndWithoutServer(t *testing.T) {
	dir := t.TempDir()
	c := dev(dir)
	first := withAdmin(t, c, func(a *Admin) authn.IssuedToken { // no server runs, no root key exists
		made, err := a.CreateToken(t.Context(), authn.TokenSpec{Name: "first", Identity: "user:ann", Scopes: []string{"admin"}})
		if err != nil {
			t.Fatal(err)
		}
		return made
	})
	p := start(t, c).ready()
	if status := p.as(first.Token); status != http.StatusOK {
		t.Errorf("the first administrator's token gets %d", status)
	}
	withAdmin(t, c, func(a *Admin) struct{} { // over the socket
		if err := a.RevokeToken(t.Context(), first.ID); err != nil {
			t.Fatal(err)
		}
		var api *vaultapi.Error
		if err := a.RevokeToken(t.Context(), "tok_none"); !errors.As(err, &api) || api.Code != "token_not_found" {
			t.Errorf("error is %v", err)
		}
		if _, err := a.CreateTrustRule(t.Context(), vaultapi.TrustRuleWrite{Name: "all"}); err != nil {
			t.Error(err)
		}
		rules, err := a.TrustRules(t.Context())
		if err != nil || len(rules) != 1 || rules[0].Identity != authn.TemplateHome {
			t.Errorf("rules: %+v, %v", rules, err)
		}
		if err := a.DeleteTrustRule(t.Context(), "all"); err != nil {
			t.Error(err)
		}
		return struct{}{}
	})
	if status := p.as(first.Token); status != http.StatusUnauthorized {
		t.Errorf("the revoked token gets %d", status)
	}
	if info, err := os.Stat(filepath.Join(dir, adminSocket)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info, err)
	}
	p.end()
	tokens := withAdmin(t, c, func(a *Admin) []authn.TokenInfo {
		list, err := a.Tokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list
	})
	if len(tokens) != 1 || tokens[0].RevokedAt == nil || tokens[0].LastUsedAt == nil {
		t.Errorf("tokens: %+v", tokens)
	}
}

func withAdmin[T any](t *testing.T, c Config, do func(*Admin) T) T {
	t.Helper()
	a, err := OpenAdmin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	out := do(a)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPeerOfSocketIsKnown(t *testing.T) {
	dir := t.TempDir()
	l, err := listenAdmin(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dialAdmin(t.Context(), filepath.Join(dir, adminSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if uid, err := peerUID(conn); err != nil || uid != os.Geteuid() {
		t.Errorf("peer is %d, %v", uid, err)
	}
	if _, err := peerUID(&net.TCPConn{}); err == nil {
		t.Error("a connection without a peer has one")
	}
}

func TestTLSFilesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePair(t, certFile, keyFile, "one")
	c, err := newCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := c.reload(); changed || err != nil {
		t.Errorf("nothing changed: %v, %v", changed, err)
	}
	oldKey, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	writePair(t, certFile, keyFile, "two")
	newKey, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	write(t, keyFile, oldKey) // half of the change has arrived
	if changed, err := c.reload(); changed || err == nil {
		t.Errorf("took a pair that does not fit: %v, %v", changed, err)
	}
	if got := c.name(t); got != "one" {
		t.Errorf("serves %s in the meantime", got)
	}
	write(t, keyFile, newKey)
	if changed, err := c.reload(); !changed || err != nil {
		t.Errorf("the other half: %v, %v", changed, err)
	}
	if got := c.name(t); got != "two" {
		t.Errorf("serves %s", got)
	}
}

func TestServesTLS(t *testing.T) {
	dir := t.TempDir()
	c := dev(t.TempDir())
	c.TLSCertFile, c.TLSKeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pool := x509.NewCertPool()
	cert := writePair(t, c.TLSCertFile, c.TLSKeyFile, "localhost")
	pool.AddCert(cert)
	p := start(t, c)
	p.base = "https" + strings.TrimPrefix(p.base, "http")
	p.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}, ForceAttemptHTTP2: true}
	p.ready().must(http.StatusOK, "GET", "/v1/auth/whoami", nil)
	metrics := string(p.must(http.StatusOK, "GET", "/v1/metrics", nil))
	_, end, _ := strings.Cut(metrics, "\nscaivault_tls_certificate_expiry_timestamp_seconds ")
	end, _, _ = strings.Cut(end, "\n")
	if seconds, err := strconv.ParseFloat(end, 64); err != nil || int64(seconds) != cert.NotAfter.Unix() {
		t.Errorf("the certificate ends at %d, the metric says %q", cert.NotAfter.Unix(), end)
	}
	p.end()
}

func (c *certificate) name(t *testing.T) string {
	t.Helper()
	pair, err := c.config().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.Subject.CommonName
}

// writePair makes a certificate that signs itself.
func writePair(t *testing.T, certFile, keyFile, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
