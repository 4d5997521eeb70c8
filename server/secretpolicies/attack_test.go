package secretpolicies_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/secretpolicies"
	"github.com/scailabs/scaivault/server/store"
)

// calls is every call about a policy.
func (w *world) calls(t *testing.T, who guard.Caller, ref string) map[string]error {
	t.Helper()
	ctx := t.Context()
	_, get := w.Get(ctx, who, ref)
	_, replace := w.Replace(ctx, who, ref, vaultapi.SecretPolicyWrite{Name: "mine", Fields: database()})
	_, patch := w.Patch(ctx, who, ref, vaultapi.SecretPolicyPatch{Name: ptr("mine")})
	_, preview := w.Preview(ctx, who, ref)
	return map[string]error{"get": get, "replace": replace, "patch": patch, "preview": preview, "delete": w.Delete(ctx, who, ref, true)}
}

// A token with every scope but admin neither sees recipes nor tries them, and does not learn which there are.
func TestWithoutAdminNothingIsShown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(t, "a")
		who := caller(guard.DefaultTenant, "secrets:read", "secrets:write", "secrets:rotate", "policies:write", "rotation:manage")
		for _, ref := range []string{"a", "none"} {
			for call, err := range w.calls(t, who, ref) {
				if got := wantCode(t, err, fault.CodeInsufficientScope).Details["required_scope"]; got != "admin" {
					t.Errorf("%s needs %v", call, got)
				}
			}
		}
		_, err := w.List(t.Context(), who, secretpolicies.Filter{})
		wantCode(t, err, fault.CodeInsufficientScope)
		_, err = w.Create(t.Context(), who, vaultapi.SecretPolicyWrite{Name: "b"})
		wantCode(t, err, fault.CodeInsufficientScope)
	})
}

// An administrator of another tenant has no use of an id that he has learned.
func TestAnotherTenantsPolicyIsNotThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		made := w.create(t, "a")
		for _, ref := range []string{made.ID, "a"} {
			for call, err := range w.calls(t, stranger, ref) {
				if fault.Code(err) != fault.CodeSecretPolicyNotFound {
					t.Errorf("%s %s: %v", call, ref, err)
				}
			}
			_, _, err := w.Generate(t.Context(), stranger.Tenant, ref)
			wantCode(t, err, fault.CodeSecretPolicyNotFound)
			_, err = guard.Change(t.Context(), w.guard, stranger, guard.Access{Action: "write"}, func(c *guard.Call) (string, error) { return w.Find(c, ref) })
			wantCode(t, err, fault.CodeSecretPolicyNotFound)
		}
		if l, err := w.List(t.Context(), stranger, secretpolicies.Filter{}); err != nil || len(l.Data) != 0 {
			t.Errorf("listed %s, %v", names(l), err)
		}
		if got, err := w.Get(t.Context(), admin, made.ID); err != nil || got.Name != "a" {
			t.Errorf("it is %+v, %v", got, err)
		}
	})
}

// A static value is in the answer about its policy and in what is generated, nowhere else.
func TestStaticValuesStayWhereTheyBelong(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		made := w.create(t, "a")
		_, err := w.Replace(t.Context(), admin, "a", vaultapi.SecretPolicyWrite{Name: "a", Fields: database()})
		must(t, err)
		_, err = w.Create(t.Context(), admin, vaultapi.SecretPolicyWrite{Name: hidden + "/", Fields: []vaultapi.SecretPolicyField{
			field("u", "static", `{"value":["`+hidden+`"]}`), field("v", "static", `{"value":"`+hidden+`","x":0}`),
		}})
		wantCode(t, err, fault.CodeValidation)
		for _, err := range w.calls(t, stranger, made.ID) {
			_ = err // what was refused is recorded too
		}
		l, err := w.List(t.Context(), admin, secretpolicies.Filter{})
		must(t, err)
		listed, err := json.Marshal(l)
		must(t, err)
		printed := fmt.Sprintf("%v %+v %#v %s", made, made, made, made.Fields)
		for where, text := range map[string]string{"list": string(listed), "trail and events": w.trail.Text(), "print": printed, "database": w.dump(t)} {
			if strings.Contains(text, hidden) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(hidden))) ||
				strings.Contains(text, hex.EncodeToString([]byte(hidden))) {
				t.Errorf("in the %s: %s", where, text)
			}
		}
	})
}

// dump is every column of every policy.
func (w *world) dump(t *testing.T) string {
	t.Helper()
	rows, err := w.db.Query(t.Context(), `SELECT name, description, policy_type, fields, uid, wrapped, sealed FROM secret_policies`)
	must(t, err)
	defer rows.Close()
	var all strings.Builder
	for rows.Next() {
		var columns [7][]byte
		must(t, rows.Scan(&columns[0], &columns[1], &columns[2], &columns[3], &columns[4], &columns[5], &columns[6]))
		for _, c := range columns {
			all.Write(c)
			all.WriteByte(' ')
		}
	}
	must(t, rows.Err())
	return all.String()
}

// Whoever can write to the database cannot have one policy make another's values.
func TestASealedRecipeCannotBeMoved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(t, "a")
		w.create(t, "b", field("password", "static", `{"value":"known"}`))
		must(t, w.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE secret_policies SET
	uid = (SELECT uid FROM secret_policies WHERE name = 'b'), key_version = (SELECT key_version FROM secret_policies WHERE name = 'b'),
	wrapped = (SELECT wrapped FROM secret_policies WHERE name = 'b'), sealed = (SELECT sealed FROM secret_policies WHERE name = 'b')
	WHERE name = 'a'`)
			return err
		}))
		_, _, err := w.Generate(t.Context(), guard.DefaultTenant, "a")
		wantCode(t, err, fault.CodeInternal)
		_, err = w.Preview(t.Context(), admin, "a")
		wantCode(t, err, fault.CodeInternal)
	})
}

// The shown recipe says nothing about what is made: only the sealed one does.
func TestTheShownRecipeIsNotTheOneThatRuns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(t, "a", field("password", "random", ``))
		must(t, w.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE secret_policies SET fields = '[{"name":"password","generator":"static","config":{"value":"known"}}]'`)
			return err
		}))
		_, made, err := w.Generate(t.Context(), guard.DefaultTenant, "a")
		must(t, err)
		if got := string(made.Reveal()["password"]); len(got) != len(`""`)+32 {
			t.Errorf("made %s", got)
		}
	})
}
