package chaos

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/vault"
)

// canary is in every secret's value: no failing answer may hold it.
const canary = "canary0value0must0not0leave"

// TestCommitFailsAtEachStep makes every operation of the API fail at its commit, in the server and in the
// database, and then at each single statement of its transaction. Each time the caller gets 503
// service_unavailable and no value, rows and answers are as before, no audit entry says that it succeeded, and the
// same call succeeds at once when the fault is gone.
func TestCommitFailsAtEachStep(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		f := &failing{t: t, s: s, db: s.Database()}
		f.db.InstallFaults()
		steps := 0
		for _, o := range s.Operations() {
			if o.ID == "testWebhook" { // what was sent to a receiver is recorded, whatever becomes of the answer
				continue
			}
			steps += f.operations(o, nil)
		}
		at := func(method string) vault.Operation {
			return vault.Operation{ID: method + " of another kind", Method: method}
		}
		steps += f.operations(at("PUT"), func(w *vault.World) vault.Request {
			return vault.Request{Path: "/v1/secrets/" + w.Name + "/first", Body: object{"data": object{"password": canary}}}
		})
		steps += f.operations(at("PUT"), func(w *vault.World) vault.Request {
			return vault.Request{Path: "/v1/secrets/" + w.Secret, Body: object{"generate_from": w.SecretPolicy}}
		})
		steps += f.operations(at("DELETE"), func(w *vault.World) vault.Request { return vault.Request{Path: "/v1/secrets/" + w.Secret} })
		if want := 70; steps < want {
			t.Errorf("%d steps were found, want at least %d: is every transaction seen?", steps, want)
		}
	})
}

// operations makes one operation fail at its commit and at each of its steps, and tells how many it has.
func (f *failing) operations(o vault.Operation, request func(*vault.World) vault.Request) int {
	f.operation, f.call = o, request
	f.fresh()
	f.commits()
	steps := f.steps()
	f.t.Logf("%s: %s", o.ID, strings.Join(steps, ", "))
	for _, step := range steps {
		f.fresh()
		f.at(step)
	}
	return len(steps)
}

// failing is one operation under test.
type failing struct {
	t         *testing.T
	s         *vault.Composed
	db        *vault.Database
	operation vault.Operation
	call      func(*vault.World) vault.Request // nil: what the world knows

	worlds  int
	world   *vault.World
	used    bool
	request vault.Request
}

// fresh prepares a world in which the operation has not happened.
func (f *failing) fresh() {
	if f.world == nil || f.used {
		if f.world != nil {
			f.world.Leave()
		}
		f.worlds++
		f.world = f.s.World(f.s.Caller, fmt.Sprintf("w%d", f.worlds), canary)
	}
	f.used = f.operation.Method != http.MethodGet
	if f.call == nil {
		f.request = f.world.Call(f.operation)
	} else {
		f.request = f.call(f.world)
	}
	f.request.Method = f.operation.Method
	f.db.Settle(f.s.Caller)
}

// commits fails the whole transaction, first before the database is asked and then by the database.
func (f *failing) commits() {
	f.t.Helper()
	rows, view := f.db.Rows(), f.world.View()
	for fault, arm := range map[string]func(){"before COMMIT": f.s.Fail, "at COMMIT": func() { f.db.Arm(vault.AtCommit) }} {
		entries := f.db.Entries()
		arm()
		got := f.s.Do(f.request)
		if now := f.db.Entries(); now != entries {
			f.t.Errorf("%s failing %s: %s audit entries became %s", f.operation.ID, fault, entries, now)
		}
		f.s.Succeed()
		f.db.Disarm()
		if f.operation.Unrecorded() {
			if got.Status/100 != 2 {
				f.t.Errorf("%s %s: %d %s", f.operation.ID, fault, got.Status, got.Body)
			}
			continue
		}
		f.refused(fault, got)
		f.unchanged(fault, rows, view)
	}
}

// steps lets the operation succeed and tells what it wrote.
func (f *failing) steps() []string {
	f.t.Helper()
	steps := f.db.Steps(func() { f.succeeds("once commits succeed") })
	if f.operation.Unrecorded() {
		return nil
	}
	if len(steps) == 0 {
		f.t.Errorf("%s wrote nothing: no audit entry?", f.operation.ID)
	}
	steps = slices.DeleteFunc(steps, func(step string) bool { return step == "tokens UPDATE" }) // the last use, written behind calls
	if f.operation.ID == "deleteWebhook" {                                                      // its deliveries go by a job behind it, which tries again when it fails
		behind := []string{"jobs UPDATE", "deliveries DELETE", "jobs DELETE"}
		steps = slices.DeleteFunc(steps, func(step string) bool { return slices.Contains(behind, step) })
	}
	return steps
}

// at fails one statement.
func (f *failing) at(step string) {
	f.t.Helper()
	if f.s.Engine == store.Postgres && behind(step) {
		return
	}
	rows, view := f.db.Rows(), f.world.View()
	id := "failing-" + rand.Text()
	f.request.Header = map[string]string{"X-Request-ID": id}
	f.db.Arm(step)
	got := f.s.Do(f.request)
	f.db.Disarm()
	f.refused(step, got)
	f.unchanged(step, rows, view)
	var trail vaultapi.AuditList
	f.s.Must(vault.Request{Path: "/v1/audit/logs?request_id=" + id}, &trail)
	for _, e := range trail.Logs {
		if e.Success {
			f.t.Errorf("%s failing at %s: the audit trail says that it succeeded: %+v", f.operation.ID, step, e)
		}
	}
	f.request.Header = nil
	f.succeeds("after " + step)
}

// behind tells whether PostgreSQL's sequencer takes a step after the change is committed and answered.
func behind(step string) bool {
	return strings.HasPrefix(step, "events ") || strings.HasPrefix(step, "event_heads ") || step == "outbox DELETE"
}

func (f *failing) refused(fault string, got vault.Answer) {
	f.t.Helper()
	if got.Status != http.StatusServiceUnavailable || got.Code() != "service_unavailable" || got.Header.Get("Retry-After") == "" {
		f.t.Errorf("%s failing at %s: %d %s", f.operation.ID, fault, got.Status, got.Body)
	}
	if text := string(got.Body) + fmt.Sprint(got.Header); strings.Contains(text, canary) || strings.Contains(text, "skx_") || strings.Contains(text, "injected") {
		f.t.Errorf("%s failing at %s: the answer says too much: %s", f.operation.ID, fault, text)
	}
	if got.Header.Get("Etag") != "" {
		f.t.Errorf("%s failing at %s: an etag", f.operation.ID, fault)
	}
}

func (f *failing) unchanged(fault string, rows map[string][]string, view string) {
	f.t.Helper()
	if d := cmp.Diff(rows, f.db.Rows()); d != "" {
		f.t.Errorf("%s failing at %s left rows behind:\n%s", f.operation.ID, fault, d)
	}
	if d := cmp.Diff(view, f.world.View()); d != "" {
		f.t.Errorf("%s failing at %s changed answers:\n%s", f.operation.ID, fault, d)
	}
}

func (f *failing) succeeds(when string) {
	f.t.Helper()
	if got := f.s.Do(f.request); got.Status/100 != 2 {
		f.t.Errorf("%s %s: %d %s", f.operation.ID, when, got.Status, got.Body)
	}
}

// TestRefusalsWaitForTheirEntry: even `no` is an answer, and is not given without its audit entry.
func TestRefusalsWaitForTheirEntry(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		for name, r := range map[string]vault.Request{
			"no token":     {Path: "/v1/secrets/a", Anonymous: true},
			"wrong token":  {Path: "/v1/secrets/a", Header: map[string]string{"Authorization": "Bearer skt_wrong"}},
			"wrong tenant": {Path: "/v1/secrets/a", Header: map[string]string{"X-Tenant-ID": "tnt_none"}},
			"wrong path":   {Path: "/v1/secrets/a/../b"},
			"wrong body":   {Method: "PUT", Path: "/v1/secrets/a", Body: "{"},
			"no route":     {Path: "/v1/nothing"},
			"no secret":    {Path: "/v1/secrets/none"},
			"no exchange":  {Method: "POST", Path: "/v1/auth/exchange", Body: object{"subject_token": "a.b.c"}, Anonymous: true},
		} {
			s.Fail()
			got := s.Do(r)
			s.Succeed()
			if got.Status != http.StatusServiceUnavailable || got.Code() != "service_unavailable" {
				t.Errorf("%s: %d %s", name, got.Status, got.Body)
			}
			if got = s.Do(r); got.Status/100 != 4 {
				t.Errorf("%s afterwards: %d %s", name, got.Status, got.Body)
			}
		}
	})
}

type object = map[string]any

// TestFirstEntryOfAServer: a new writer registers itself and begins its chain with its first entry, and if that
// fails it begins again.
func TestFirstEntryOfAServer(t *testing.T) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		for _, step := range []string{"audit_writers INSERT", "audit_chains INSERT", "audit_blocks INSERT", vault.AtCommit} {
			t.Run(string(engine)+" "+step, func(t *testing.T) {
				s := vault.Compose(t, engine)
				s.Start()
				db := s.Database()
				db.InstallFaults()
				db.Arm(step)
				for range 3 {
					if got := s.Do(vault.Request{Path: "/v1/auth/whoami"}); got.Status != http.StatusServiceUnavailable {
						t.Errorf("%d %s", got.Status, got.Body)
					}
				}
				db.Disarm()
				s.Must(vault.Request{Path: "/v1/auth/whoami"}, nil)
				verified(t, s, 1)
			})
		}
	}
}

// verified checks the chain over the API.
func verified(t *testing.T, s *vault.Composed, atLeast int64) {
	t.Helper()
	var v vaultapi.AuditVerification
	s.Must(vault.Request{Path: "/v1/audit/verify"}, &v)
	if !v.Valid || v.Entries < atLeast {
		t.Errorf("verify: %+v", v)
	}
}

// TestTokenCommandsFailWhole: the commands of an administrator are as whole as the API's calls. A revocation that
// failed has not happened, and one that was answered has.
func TestTokenCommandsFailWhole(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	admin, err := server.OpenAdmin(t.Context(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	ctx := context.Background()
	spec := authn.TokenSpec{Name: "ci", Identity: "sa:ci", Scopes: []string{"secrets:read"}}
	s.Fail()
	if made, err := admin.CreateToken(ctx, spec); vaultapi.Code(err) != "service_unavailable" || made.Token != "" {
		t.Errorf("create: %v, %+v", err, made)
	}
	if _, err := admin.CreateTrustRule(ctx, vaultapi.TrustRuleWrite{Name: "r", Namespace: "a"}); vaultapi.Code(err) != "service_unavailable" {
		t.Errorf("add trust rule: %v", err)
	}
	s.Succeed()
	if all, err := admin.Tokens(ctx); err != nil || len(all) != 0 {
		t.Errorf("tokens: %+v, %v", all, err)
	}
	made, err := admin.CreateToken(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	who := s.As(made.Token)
	who.Must(vault.Request{Path: "/v1/auth/whoami"}, nil)
	s.Fail()
	if err := admin.RevokeToken(ctx, made.ID); vaultapi.Code(err) != "service_unavailable" {
		t.Errorf("revoke: %v", err)
	}
	s.Succeed()
	who.Must(vault.Request{Path: "/v1/auth/whoami"}, nil)
	if err := admin.RevokeToken(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if got := who.Do(vault.Request{Path: "/v1/auth/whoami"}); got.Code() != "token_revoked" {
		t.Errorf("after revocation: %d %s", got.Status, got.Body)
	}
}
