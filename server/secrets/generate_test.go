package secrets_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/secretpolicies"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// generating is a world with secret policies, among them db: a static username and a random password.
type generating struct {
	*world
	policies *secretpolicies.Service
	db       vaultapi.SecretPolicy
}

var admin = guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:admin@example.com", Scopes: []string{"admin"}}

func eachGenerating(t *testing.T, test func(t *testing.T, w *generating)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &generating{}
		w.world = newWorld(t, db, func(d *secrets.Deps) {
			w.policies = secretpolicies.New(secretpolicies.Deps{DB: d.DB, Guard: d.Guard, Keys: d.Keys})
			d.Recipes = w.policies
		})
		w.policies.UsedBy(w.Service)
		w.db = w.recipe(t, "db", recipeField("username", "static", `{"value":"app"}`), recipeField("password", "random", `{"length":24}`))
		test(t, w)
	})
}

func recipeField(name, generator, config string) vaultapi.SecretPolicyField {
	return vaultapi.SecretPolicyField{Name: name, Generator: generator, Config: json.RawMessage(config)}
}

func (w *generating) recipe(t *testing.T, name string, fields ...vaultapi.SecretPolicyField) vaultapi.SecretPolicy {
	t.Helper()
	p, err := w.policies.Create(t.Context(), admin, vaultapi.SecretPolicyWrite{Name: name, Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func from(recipe string) vaultapi.WriteRequest { return vaultapi.WriteRequest{GenerateFrom: recipe} }

// read gives the values of a secret.
func (w *generating) read(t *testing.T, path string) map[string]any {
	t.Helper()
	s, err := w.Read(t.Context(), root, at(t, path), 0)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(s.Data.Reveal(), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestAGeneratedWriteAnswersWithoutTheValue(t *testing.T) {
	eachGenerating(t, func(t *testing.T, w *generating) {
		w.sets.Grant(t, guardtest.Rule(billing, "app/**", policy.Write))
		seen := map[string]bool{}
		for version, ref := range []string{"db", w.db.ID} {
			info, err := w.Write(t.Context(), billing, at(t, "app/db"), from(ref))
			if err != nil {
				t.Fatal(err)
			}
			if info.Version != int64(version)+1 || info.SecretPolicyID == nil || *info.SecretPolicyID != w.db.ID {
				t.Errorf("answered %+v", info)
			}
			got := w.read(t, "app/db")
			password, _ := got["password"].(string)
			if got["username"] != "app" || len(password) != 24 || seen[password] {
				t.Fatalf("generated %v", got)
			}
			seen[password] = true
			answer, err := json.Marshal(info)
			if err != nil {
				t.Fatal(err)
			}
			for where, text := range map[string]string{"answer": string(answer), "trail": fmt.Sprintf("%+v", w.trail.last(t)), "events": string(w.events(t)[len(w.events(t))-1].Data)} {
				if strings.Contains(text, password) {
					t.Errorf("the %s holds the password: %s", where, text)
				}
			}
		}
		if described, err := w.ReadMetadata(t.Context(), root, at(t, "app/db")); err != nil || described.SecretPolicyID == nil || *described.SecretPolicyID != w.db.ID {
			t.Errorf("described as %+v, %v", described, err)
		}
		if _, err := w.Read(t.Context(), billing, at(t, "app/db"), 0); !fault.Is(err, fault.CodeAccessDenied) {
			t.Errorf("whoever only writes reads: %v", err)
		}
		if info := w.mustWrite(t, "app/db", value(`{"a":1}`)); info.SecretPolicyID == nil {
			t.Error("a write with data takes the link away")
		}
	})
}

func TestGeneratedFieldsReplaceThoseOfTheirNames(t *testing.T) {
	eachGenerating(t, func(t *testing.T, w *generating) {
		w.mustWrite(t, "a", value(`{"host":"h","port":12345678901234567890,"password":"old"}`))
		w.mustWrite(t, "a", from("db"))
		s, err := w.Read(t.Context(), root, at(t, "a"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(s.Data.Reveal()); !strings.HasPrefix(text, `{"host":"h","password":"`) || strings.Contains(text, "old") ||
			!strings.HasSuffix(text, `","port":12345678901234567890,"username":"app"}`) {
			t.Errorf("became %s", text)
		}
		w.mustRead(t, "a", 1, `{"host":"h","port":12345678901234567890,"password":"old"}`)
	})
}

func TestAnExpiredValueIsNotBuiltUpon(t *testing.T) {
	eachGenerating(t, func(t *testing.T, w *generating) {
		w.mustWrite(t, "a", vaultapi.WriteRequest{Data: json.RawMessage(`{"host":"h"}`), Options: vaultapi.WriteOptions{ExpiresIn: "1h"}})
		w.clock.add(2 * time.Hour)
		if info := w.mustWrite(t, "a", from("db")); info.Version != 2 || info.ExpiresAt != nil {
			t.Errorf("wrote %+v", info)
		}
		if got := w.read(t, "a"); got["host"] != nil {
			t.Errorf("holds %v", got)
		}
	})
}

func TestGeneratedWritesAreRefused(t *testing.T) {
	eachGenerating(t, func(t *testing.T, w *generating) {
		idle := w.recipe(t, "idle", recipeField("k", "hex", ``))
		off, one := false, int64(1)
		if _, err := w.policies.Patch(t.Context(), admin, idle.ID, vaultapi.SecretPolicyPatch{IsActive: &off}); err != nil {
			t.Fatal(err)
		}
		large := make([]vaultapi.SecretPolicyField, 20)
		for i := range large {
			large[i] = recipeField(fmt.Sprint("f", i), "static", `{"value":"`+strings.Repeat("x", 60<<10)+`"}`)
		}
		w.recipe(t, "large", large...)
		w.mustWrite(t, "deleted", value(`{}`))
		w.mustDelete(t, "deleted", false)
		for name, tt := range map[string]struct {
			path string
			in   vaultapi.WriteRequest
			code string
		}{
			"with data":        {"a", vaultapi.WriteRequest{GenerateFrom: "db", Data: json.RawMessage(`{}`)}, fault.CodeInvalidRequest},
			"unknown":          {"a", from("none"), fault.CodeSecretPolicyNotFound},
			"hostile name":     {"a", from("db' OR '1'='1"), fault.CodeSecretPolicyNotFound},
			"not active":       {"a", from("idle"), fault.CodeInvalidRequest},
			"too large":        {"a", from("large"), fault.CodeInvalidRequest},
			"reserved segment": {"a/metadata", from("db"), fault.CodeInvalidPath},
			"deleted":          {"deleted", from("db"), fault.CodeSecretExists},
			"another version":  {"a", vaultapi.WriteRequest{GenerateFrom: "db", Options: vaultapi.WriteOptions{CASVersion: &one}}, fault.CodeVersionConflict},
			"unknown type":     {"a", vaultapi.WriteRequest{GenerateFrom: "db", SecretType: "x"}, fault.CodeInvalidSecretType},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := w.Write(t.Context(), root, at(t, tt.path), tt.in)
				wantFault(t, err, tt.code)
				if e := w.trail.last(t); e.Action != "write" || e.Success || e.Code != tt.code {
					t.Errorf("recorded %+v", e)
				}
			})
		}
		if _, err := w.Read(t.Context(), root, at(t, "a"), 0); !fault.Is(err, fault.CodeSecretNotFound) {
			t.Errorf("something was written: %v", err)
		}
	})
}

// Who may not write learns nothing of policies, and the policies of another tenant are of no use.
func TestGeneratingIsNoWayAround(t *testing.T) {
	eachGenerating(t, func(t *testing.T, w *generating) {
		for _, ref := range []string{"db", "none"} {
			_, err := w.Write(t.Context(), billing, at(t, "app/db"), from(ref))
			wantFault(t, err, fault.CodeAccessDenied)
			unscoped := billing
			unscoped.Scopes = []string{"admin", secrets.ScopeRead}
			_, err = w.Write(t.Context(), unscoped, at(t, "app/db"), from(ref))
			wantFault(t, err, fault.CodeInsufficientScope)
		}
		if err := w.world.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ('tnt_b', $1, 'b', 0)`, guard.DefaultPartner)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		foreign := root
		foreign.Tenant = "tnt_b"
		for _, ref := range []string{"db", w.db.ID} {
			_, err := w.Write(t.Context(), foreign, at(t, "a"), from(ref))
			wantFault(t, err, fault.CodeSecretPolicyNotFound)
		}
	})
}

// Of many who write at once none loses what another wrote: each generated write is on top of the one before it.
func TestGeneratedWritesAtOnce(t *testing.T) {
	eachGenerating(t, func(t *testing.T, w *generating) {
		const writers = 4
		for i := range writers {
			w.recipe(t, fmt.Sprint("own", i), recipeField(fmt.Sprint("f", i), "hex", ``))
		}
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for i := range writers {
			wg.Go(func() { _, errs[i] = w.Write(t.Context(), root, at(t, "a"), from(fmt.Sprint("own", i))) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		if got := w.read(t, "a"); len(got) != writers {
			t.Errorf("fields %v", got)
		}
	})
}

func TestAPolicyInUseStays(t *testing.T) {
	eachGenerating(t, func(t *testing.T, w *generating) {
		for _, path := range []string{"a", "b", "deleted"} {
			w.mustWrite(t, path, from("db"))
		}
		w.mustDelete(t, "deleted", false)
		w.read(t, "a") // into the cache
		err := w.policies.Delete(t.Context(), admin, "db", false)
		wantFault(t, err, fault.CodePolicyInUse, "uses=2")
		if err := w.policies.Delete(t.Context(), admin, "db", true); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"a", "b"} {
			s, err := w.Read(t.Context(), root, at(t, path), 0)
			if err != nil || s.SecretPolicyID != nil {
				t.Errorf("%s is linked to %v, %v", path, s.SecretPolicyID, err)
			}
		}
		if info, err := w.Restore(t.Context(), root, at(t, "deleted")); err != nil || info.SecretPolicyID != nil {
			t.Errorf("restored %+v, %v", info, err)
		}
		w.mustWrite(t, "kept", value(`{}`))
	})
}

func TestADeletedSecretHoldsNoPolicy(t *testing.T) {
	eachGenerating(t, func(t *testing.T, w *generating) {
		w.mustWrite(t, "a", from("db"))
		w.mustDelete(t, "a", false)
		if err := w.policies.Delete(t.Context(), admin, "db", false); err != nil {
			t.Error(err)
		}
		info, err := w.Restore(t.Context(), root, at(t, "a"))
		if err != nil || info.SecretPolicyID != nil {
			t.Errorf("restored %+v, %v", info, err)
		}
	})
}
