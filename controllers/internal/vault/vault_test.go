package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time       { return c.t }
func (c *clock) pass(d time.Duration) { c.t = c.t.Add(d) }
func newClock() *clock                { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

type server struct {
	is    vaultapi.Version
	err   error
	asked int
}

func (s *server) Version(context.Context) (*vaultapi.Version, error) {
	s.asked++
	return &s.is, s.err
}

type memoryPin struct{ pin *Pin }

func (m *memoryPin) Load(context.Context) (*Pin, error)  { return m.pin, nil }
func (m *memoryPin) Save(_ context.Context, p Pin) error { m.pin = &p; return nil }

// The first vault is pinned; another one, or an older state of it, passes no more until it is accepted; an
// outage is no replacement.
func TestGuard(t *testing.T) {
	c, v, store := newClock(), &server{is: vaultapi.Version{InstanceID: "a", RestoreEpoch: 1}}, &memoryPin{}
	g := NewGuard(v, store, c.now)
	check := func(want string) {
		t.Helper()
		if got := reconcile.ReasonOf(g.Check(t.Context())); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	check("")
	if store.pin == nil || *store.pin != (Pin{"a", 1}) {
		t.Fatalf("pinned %v", store.pin)
	}
	check("")
	if v.asked != 1 {
		t.Errorf("asked %d times within seconds", v.asked)
	}
	v.is.InstanceID = "empty"
	g.Doubt()
	check(v1alpha1.ReasonVaultReplaced)
	v.is = vaultapi.Version{InstanceID: "a", RestoreEpoch: 2}
	c.pass(trustFor)
	check(v1alpha1.ReasonVaultReplaced)
	store.pin = &Pin{"a", 2} // accept-vault
	c.pass(trustFor)
	check("")
	v.err = &vaultapi.Error{Status: http.StatusServiceUnavailable, Code: "service_unavailable"}
	c.pass(trustFor)
	check(v1alpha1.ReasonVaultUnavailable)
	v.err = nil
	c.pass(doubtFor)
	check("")
	if err := g.Saw(Pin{"b", 2}); !IsReplaced(err) {
		t.Error(err)
	}
	check(v1alpha1.ReasonVaultReplaced)
	if err := g.CheckNow(t.Context()); err != nil {
		t.Errorf("a fresh look sees the pinned vault: %v", err)
	}
	v.is.InstanceID = ""
	if err := g.CheckNow(t.Context()); err == nil {
		t.Error("a vault without a name passes")
	}
}

// A source is absent by an event of the vault, or when two looks half a minute apart agree.
func TestAbsences(t *testing.T) {
	a, c := NewAbsences(), newClock()
	missing := func(path string) bool { return a.Missing("uid-1", []string{path}, c.now()) }
	if missing("p") {
		t.Error("one look")
	}
	c.pass(secondLook - time.Second)
	if missing("p") {
		t.Error("two looks too close")
	}
	c.pass(time.Second)
	if !missing("p") {
		t.Error("two looks")
	}
	a.Present("uid-1")
	if missing("p") {
		t.Error("it was there in between")
	}
	a.Saw(vaultapi.Event{EventType: eventDeleted, Path: "q"})
	if !missing("q") {
		t.Error("an event said so")
	}
	a.Saw(vaultapi.Event{EventType: "secret.restored", Path: "q"})
	a.Present("uid-1")
	if missing("q") {
		t.Error("restored")
	}
	for i := range absencesLimit + 10 {
		a.Saw(vaultapi.Event{EventType: eventDeleted, Path: "many/" + time.Duration(i).String()})
	}
	if len(a.gone) > absencesLimit || len(a.order) > absencesLimit {
		t.Errorf("%d remembered", len(a.gone))
	}
}

type exchange struct {
	count int
	err   error
}

func (e *exchange) Exchange(_ context.Context, r vaultapi.ExchangeRequest) (*vaultapi.ExchangeResponse, error) {
	e.count++
	if e.err != nil {
		return nil, e.err
	}
	return &vaultapi.ExchangeResponse{AccessToken: r.SubjectToken + string(rune('0'+e.count)), ExpiresIn: 600, IdentityID: "sa:n:app"}, nil
}

// Mistake 60 (renewal lost after a change of leader): whoever needs a token finds it fresh. It is used until a
// fifth of its life is left, and not after the vault refused it.
func TestMistake60TokenIsRenewed(t *testing.T) {
	c, e := newClock(), &exchange{}
	b := &bearer{mint: func(context.Context) (string, error) { return "jwt", nil }, vault: e, now: c.now}
	get := func(want string) {
		t.Helper()
		if got, id, err := b.get(t.Context()); got != want || id != "sa:n:app" || err != nil {
			t.Fatalf("%s %s %v, want %s", got, id, err, want)
		}
	}
	get("jwt1")
	c.pass(479 * time.Second)
	get("jwt1")
	c.pass(time.Second)
	get("jwt2")
	b.drop("jwt1") // an older one
	get("jwt2")
	b.drop("jwt2")
	get("jwt3")
	b.reset()
	e.err = errors.New("down")
	if _, _, err := b.get(t.Context()); err == nil {
		t.Error("a token without the vault")
	}
}

func TestTokenUID(t *testing.T) {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"kubernetes.io":{"serviceaccount":{"name":"a","uid":"u-1"}}}`))
	for token, want := range map[string]string{"h." + claims + ".s": "u-1", "x": "", "a.b.c": "", "a." + base64.RawURLEncoding.EncodeToString([]byte(`{}`)) + ".c": ""} {
		if got := tokenUID(token); string(got) != want {
			t.Errorf("%s: %q", token, got)
		}
	}
}

// What a refusal or a failure of the vault means, and that no text of an unreadable answer passes.
func TestExplain(t *testing.T) {
	status := func(s int, code string) error { return &vaultapi.Error{Status: s, Code: code, Message: "public"} }
	type result struct {
		reason  string
		stalled bool
	}
	cases := []struct {
		err  error
		want result
		says string
	}{
		{status(429, "rate_limited"), result{v1alpha1.ReasonVaultUnavailable, false}, "public"},
		{status(503, "service_unavailable"), result{v1alpha1.ReasonVaultUnavailable, false}, "public"},
		{errors.New("invalid character 'h' in hunter2"), result{v1alpha1.ReasonVaultUnavailable, false}, "cannot be read"},
		{&url.Error{Op: "Get", URL: "http://x", Err: errors.New("connection refused")}, result{v1alpha1.ReasonVaultUnavailable, false}, "connection refused"},
		{Denied("sa:n:app", "a/b", "access_denied"), result{v1alpha1.ReasonAccessDenied, true}, "sa:n:app may not read a/b"},
		{exchangeFailed(status(403, "access_denied"), "n", "app"), result{v1alpha1.ReasonAccessDenied, true}, "n/app"},
		{exchangeFailed(status(503, "service_unavailable"), "n", "app"), result{v1alpha1.ReasonVaultUnavailable, false}, "n/app"},
	}
	for _, c := range cases {
		got := Explain(c.err, "read a/b")
		if diff := cmp.Diff(c.want, result{reconcile.ReasonOf(got), reconcile.IsStalled(got)}, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%v: %s", c.err, diff)
		}
		if !strings.Contains(got.Error(), c.says) || strings.Contains(got.Error(), "hunter2") {
			t.Errorf("%v gives %v", c.err, got)
		}
	}
	if Explain(nil, "x") != nil {
		t.Error("an error of nothing")
	}
}

// The operator's own refused reads are events too; following them would wake it for ever.
func TestMistake62FeedDoesNotHearItself(t *testing.T) {
	for _, e := range feedEvents() {
		if e == "policy.violation" || e == "secret.accessed" || strings.Contains(e, "*") {
			t.Errorf("follows %s", e)
		}
	}
}
