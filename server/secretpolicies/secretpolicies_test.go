package secretpolicies_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/secretpolicies"
)

func TestAPolicyIsReadAsItWasWritten(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		made := w.create(t, "db")
		want := vaultapi.SecretPolicy{
			ID: made.ID, Name: "db", PolicyType: "custom", Fields: database(), IsActive: true,
			CreatedAt: vaultapi.At(noon), UpdatedAt: vaultapi.At(noon),
		}
		if !regexp.MustCompile(`^sp_[a-z2-7]{26}$`).MatchString(made.ID) {
			t.Errorf("id %s", made.ID)
		}
		for _, ref := range []string{made.ID, "db"} {
			got, err := w.Get(t.Context(), admin, ref)
			must(t, err)
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b vaultapi.Time) bool { return a == b })); diff != "" {
				t.Errorf("%s (-want +got)\n%s", ref, diff)
			}
		}
		if e := w.last(); e.Action != "secret_policy_read" || e.Target != "db" || !e.Success {
			t.Errorf("recorded %+v", e)
		}
	})
}

func TestListsPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c", "a", "b"} {
			w.create(t, name)
		}
		_, err := w.Patch(t.Context(), admin, "b", vaultapi.SecretPolicyPatch{IsActive: ptr(false)})
		must(t, err)
		for _, tt := range []struct {
			active *bool
			want   string
		}{{nil, "a b c"}, {ptr(true), "a c"}, {ptr(false), "b"}} {
			l, err := w.List(t.Context(), admin, secretpolicies.Filter{Active: tt.active})
			must(t, err)
			if names(l) != tt.want || l.HasMore || l.Cursor != nil || len(l.Data) != len(l.SecretPolicies) {
				t.Errorf("active %v: %s, want %s", tt.active, names(l), tt.want)
			}
		}
		first, err := w.List(t.Context(), admin, secretpolicies.Filter{Limit: 2})
		must(t, err)
		if names(first) != "a b" || !first.HasMore {
			t.Fatalf("first page %s", names(first))
		}
		second, err := w.List(t.Context(), admin, secretpolicies.Filter{Limit: 2, Cursor: *first.Cursor})
		must(t, err)
		if names(second) != "c" || second.HasMore {
			t.Errorf("second page %s", names(second))
		}
		_, err = w.List(t.Context(), admin, secretpolicies.Filter{Active: ptr(true), Cursor: *first.Cursor})
		wantCode(t, err, fault.CodeInvalidCursor)
		_, err = w.List(t.Context(), stranger, secretpolicies.Filter{Cursor: *first.Cursor})
		wantCode(t, err, fault.CodeInvalidCursor)
		_, err = w.List(t.Context(), admin, secretpolicies.Filter{Limit: 1001})
		wantCode(t, err, fault.CodeInvalidRequest)
	})
}

func TestWhatIsNotValidIsRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		good := vaultapi.SecretPolicyWrite{Name: "x", Fields: database()}
		for name, tt := range map[string]struct {
			change func(*vaultapi.SecretPolicyWrite)
			where  string
		}{
			"name empty":         {func(p *vaultapi.SecretPolicyWrite) { p.Name = "" }, "name"},
			"name with a slash":  {func(p *vaultapi.SecretPolicyWrite) { p.Name = "a/b" }, "name"},
			"name like an id":    {func(p *vaultapi.SecretPolicyWrite) { p.Name = "sp_" + strings.Repeat("a", 26) }, "name"},
			"unknown type":       {func(p *vaultapi.SecretPolicyWrite) { p.PolicyType = "pin" }, "policy_type"},
			"description long":   {func(p *vaultapi.SecretPolicyWrite) { p.Description = strings.Repeat("d", 1025) }, "description"},
			"description binary": {func(p *vaultapi.SecretPolicyWrite) { p.Description = "\x00" }, "description"},
			"no fields":          {func(p *vaultapi.SecretPolicyWrite) { p.Fields = nil }, "fields"},
			"impossible": {func(p *vaultapi.SecretPolicyWrite) {
				p.Fields = []vaultapi.SecretPolicyField{field("p", "random", `{"charset":"alphanumeric","require_symbol":true}`)}
			}, "fields[0].config.require_symbol"},
		} {
			t.Run(name, func(t *testing.T) {
				bad := good
				tt.change(&bad)
				_, err := w.Create(t.Context(), admin, bad)
				fields, _ := wantCode(t, err, fault.CodeValidation).Details["fields"].(map[string]string)
				if len(fields) != 1 || fields[tt.where] == "" {
					t.Errorf("fields %v, want %s", fields, tt.where)
				}
			})
		}
		if l, err := w.List(t.Context(), admin, secretpolicies.Filter{}); err != nil || len(l.Data) != 0 {
			t.Errorf("left behind: %s, %v", names(l), err)
		}
	})
}

func TestNamesAreTakenOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.create(t, "a")
		w.create(t, "b")
		_, err := w.Create(t.Context(), admin, vaultapi.SecretPolicyWrite{Name: "a", Fields: database()})
		if got := wantCode(t, err, fault.CodeSecretPolicyExists).Details["secret_policy_id"]; got != a.ID {
			t.Errorf("names %v, want %s", got, a.ID)
		}
		_, err = w.Patch(t.Context(), admin, "b", vaultapi.SecretPolicyPatch{Name: ptr("a")})
		wantCode(t, err, fault.CodeSecretPolicyExists)
		_, err = w.Create(t.Context(), stranger, vaultapi.SecretPolicyWrite{Name: "a", Fields: database()})
		must(t, err)
	})
}

func TestTwoWhoTakeANameAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = w.Create(t.Context(), admin, vaultapi.SecretPolicyWrite{Name: "a", Fields: database()})
			})
		}
		wg.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			wantCode(t, err, fault.CodeSecretPolicyExists)
		}
		if made != 1 {
			t.Errorf("%d were made", made)
		}
	})
}

func TestEdits(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		made := w.create(t, "a")
		got, err := w.Patch(t.Context(), admin, "a", vaultapi.SecretPolicyPatch{Name: ptr("b"), PolicyType: ptr("password")})
		must(t, err)
		if got.ID != made.ID || got.Name != "b" || got.PolicyType != "password" || !got.IsActive || string(got.Fields[0].Config) != string(database()[0].Config) {
			t.Errorf("patched %+v", got)
		}
		got, err = w.Replace(t.Context(), admin, made.ID, vaultapi.SecretPolicyWrite{Name: "c", Fields: []vaultapi.SecretPolicyField{field("k", "hex", ``)}})
		must(t, err)
		if got.Name != "c" || got.PolicyType != "custom" || len(got.Fields) != 1 || got.Fields[0].Generator != "hex" {
			t.Errorf("replaced %+v", got)
		}
		read, err := w.Get(t.Context(), admin, "c")
		must(t, err)
		if len(read.Fields) != 1 || read.Fields[0].Generator != "hex" {
			t.Errorf("read %+v", read)
		}
		for _, ref := range []string{"none", "a", "../c", ""} {
			_, err = w.Patch(t.Context(), admin, ref, vaultapi.SecretPolicyPatch{})
			wantCode(t, err, fault.CodeSecretPolicyNotFound)
		}
	})
}

func TestPreviewMakesAndStoresNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		made := w.create(t, "a")
		var seen []string
		for range 2 {
			p, err := w.Preview(t.Context(), admin, "a")
			must(t, err)
			var got map[string]string
			must(t, json.Unmarshal(p.Fields.Reveal(), &got))
			if p.SecretPolicyID != made.ID || got["username"] != hidden || !regexp.MustCompile(`^[a-zA-Z0-9]{24}$`).MatchString(got["password"]) {
				t.Fatalf("preview of %s: %v", p.SecretPolicyID, got)
			}
			seen = append(seen, got["password"])
		}
		if seen[0] == seen[1] {
			t.Error("twice the same")
		}
		if e := w.last(); e.Action != "secret_policy_preview" || !e.Success {
			t.Errorf("recorded %+v", e)
		}
		for _, value := range append(seen, hidden) {
			if strings.Contains(w.trail.Text(), value) {
				t.Errorf("the trail holds %s", value)
			}
		}
		for _, table := range []string{"secrets", "secret_versions"} {
			var n int64
			must(t, w.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n))
			if n != 0 {
				t.Errorf("%d rows in %s", n, table)
			}
		}
	})
}

func TestOnlyActivePoliciesGenerate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		made := w.create(t, "a")
		id, result, err := w.Generate(t.Context(), guard.DefaultTenant, "a")
		if err != nil || id != made.ID || len(result.Reveal()) != 2 {
			t.Fatalf("%s, %v", id, err)
		}
		_, err = w.Patch(t.Context(), admin, "a", vaultapi.SecretPolicyPatch{IsActive: ptr(false)})
		must(t, err)
		_, _, err = w.Generate(t.Context(), guard.DefaultTenant, "a")
		wantCode(t, err, fault.CodeInvalidRequest)
		if _, err := w.Preview(t.Context(), admin, "a"); err != nil {
			t.Errorf("a policy is tried before it is active: %v", err)
		}
	})
}

// gate is a source of randomness at which everybody waits until it opens.
type gate struct {
	inside chan struct{}
	open   chan struct{}
}

func (g gate) Read(p []byte) (int, error) {
	g.inside <- struct{}{}
	<-g.open
	return rand.Read(p)
}

// Of the recipes that take long only some run at once: keys for one caller must not take the processors from all.
func TestSlowRecipesWaitForOneAnother(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(t, "slow", field("k", "bcrypt_hash", `{"rounds":4}`))
		w.create(t, "fast", field("k", "hex", ``))
		g := gate{inside: make(chan struct{}, 8), open: make(chan struct{})}
		one := secretpolicies.New(secretpolicies.Deps{DB: w.db, Guard: w.guard, Keys: w.keys, Random: g, Slow: 1})
		done := make(chan error, 2)
		run := func(name string) {
			_, _, err := one.Generate(context.Background(), guard.DefaultTenant, name)
			done <- err
		}
		go run("slow")
		<-g.inside
		go run("fast") // does not wait
		<-g.inside
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, _, err := one.Generate(ctx, guard.DefaultTenant, "slow")
		wantCode(t, err, fault.CodeUnavailable)
		close(g.open)
		must(t, errors.Join(<-done, <-done))
		if _, _, err := one.Generate(t.Context(), guard.DefaultTenant, "slow"); err != nil {
			t.Errorf("the place is not free again: %v", err)
		}
	})
}

// users is a domain that uses policies.
type users struct {
	uses, kept int64
	fail       error
}

func (u *users) SecretPolicyUses(*guard.Call, string) (int64, error) { return u.uses, u.fail }

func (u *users) DropSecretPolicy(*guard.Call, string) error {
	u.uses = u.kept
	return nil
}

func TestWhatIsUsedStays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(t, "a")
		u := &users{uses: 3, kept: 1}
		w.UsedBy(&users{}, u)
		err := w.Delete(t.Context(), admin, "a", false)
		if got := wantCode(t, err, fault.CodePolicyInUse).Details["uses"]; got != int64(3) {
			t.Errorf("%v uses", got)
		}
		wantCode(t, w.Delete(t.Context(), admin, "a", true), fault.CodePolicyInUse)
		u.uses, u.kept = 3, 0
		u.fail = errors.New("the database is away")
		wantCode(t, w.Delete(t.Context(), admin, "a", true), fault.CodeInternal)
		u.fail = nil
		must(t, w.Delete(t.Context(), admin, "a", true))
		if e := w.last(); e.Action != "secret_policy_delete" || !e.Success {
			t.Errorf("recorded %+v", e)
		}
		wantCode(t, w.Delete(t.Context(), admin, "a", false), fault.CodeSecretPolicyNotFound)
	})
}

// Whoever links to a policy and whoever deletes it see one another.
func TestFindKeepsAPolicyUntilTheTransactionEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		made := w.create(t, "a")
		deleted := make(chan error, 1)
		a := guard.Access{Action: "write"}
		_, err := guard.Change(t.Context(), w.guard, admin, a, func(c *guard.Call) (string, error) {
			id, err := w.Find(c, "a")
			if err != nil || id != made.ID {
				t.Errorf("found %s, %v", id, err)
			}
			go func() { deleted <- w.Delete(t.Context(), admin, "a", false) }()
			var n int64
			return id, c.Tx.QueryRow(`SELECT COUNT(*) FROM secret_policies`).Scan(&n)
		})
		must(t, err)
		must(t, <-deleted)
		_, err = guard.Change(t.Context(), w.guard, admin, a, func(c *guard.Call) (string, error) { return w.Find(c, "a") })
		wantCode(t, err, fault.CodeSecretPolicyNotFound)
	})
}
