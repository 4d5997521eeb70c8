package seal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func newRoot(tb testing.TB) *seal.RootKey {
	tb.Helper()
	r, err := seal.NewRootKey()
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func open(tb testing.TB, db *store.DB, root seal.Root) *seal.Keyring {
	tb.Helper()
	k, err := seal.Open(tb.Context(), db, root)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// dump gives every row of what Open may write.
func dump(tb testing.TB, db *store.DB) []string {
	tb.Helper()
	var out []string
	for _, query := range []string{
		`SELECT kind, owner_id, version, state, wraps, wrapped FROM keys ORDER BY kind, owner_id, version`,
		`SELECT 'tenant', id, policy_revision, partner_id, event_position, '' FROM tenants ORDER BY id`,
		`SELECT 'partner', id, created_at, name, 0, '' FROM partners ORDER BY id`,
	} {
		rows, err := db.Query(tb.Context(), query)
		if err != nil {
			tb.Fatal(err)
		}
		for rows.Next() {
			var kind, id, state string
			var version, wraps int64
			var wrapped []byte
			if err := rows.Scan(&kind, &id, &version, &state, &wraps, &wrapped); err != nil {
				tb.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s %s %d %s %d %x", kind, id, version, state, wraps, wrapped))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

// wrap wraps dk in a transaction of its own.
func wrap(tb testing.TB, db *store.DB, k *seal.Keyring, ref seal.Ref, dk seal.DataKey) (version int64, wrapped []byte) {
	tb.Helper()
	err := db.Update(tb.Context(), func(tx *store.Tx) (err error) {
		version, wrapped, err = k.Wrap(tx, ref, dk)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return version, wrapped
}

// keep seals and wraps a value.
func keep(tb testing.TB, db *store.DB, k *seal.Keyring, ref seal.Ref, value string) seal.Sealed {
	tb.Helper()
	dk, sealed, err := k.Seal(tb.Context(), ref, []byte(value))
	if err != nil {
		tb.Fatal(err)
	}
	version, wrapped := wrap(tb, db, k, ref, dk)
	return seal.Sealed{KeyVersion: version, Wrapped: wrapped, Value: sealed}
}

func mustOpen(tb testing.TB, k *seal.Keyring, ref seal.Ref, s seal.Sealed, want string) {
	tb.Helper()
	got, err := k.OpenValue(tb.Context(), ref, s)
	if err != nil {
		tb.Fatalf("open %v: %v", ref, err)
	}
	if string(got.Reveal()) != want {
		tb.Fatalf("open %v: another value", ref)
	}
}

var somewhere = seal.Ref{Tenant: guard.DefaultTenant, Path: "app/db", UID: "uid-1", Version: 1}

func TestOpenMakesTheFirstKeysOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if empty, err := seal.Empty(t.Context(), db); err != nil || !empty {
			t.Fatalf("a fresh database: empty %v, %v", empty, err)
		}
		root := newRoot(t)
		s := keep(t, db, open(t, db, root), somewhere, "v")
		if empty, err := seal.Empty(t.Context(), db); err != nil || empty {
			t.Fatalf("with keys: empty %v, %v", empty, err)
		}
		before := dump(t, db)
		again := open(t, db, root)
		mustOpen(t, again, somewhere, s, "v")
		if diff := cmp.Diff(before, dump(t, db)); diff != "" {
			t.Errorf("opening again changed the database:\n%s", diff)
		}
		if again.Ready() != nil || again.HealthCheck().KeyStatus != "active" || again.HealthCheck().LastRotation.IsZero() {
			t.Errorf("ready: %v, health %+v", again.Ready(), again.HealthCheck())
		}
	})
}

func TestThreeReplicasStartAtOnce(t *testing.T) {
	options := storetest.Options(t, store.Postgres)
	root := newRoot(t)
	var rings [3]*seal.Keyring
	var dbs [3]*store.DB
	for i := range dbs {
		dbs[i] = storetest.Open(t, options)
	}
	var wait sync.WaitGroup
	for i := range rings {
		wait.Go(func() {
			var err error
			if rings[i], err = seal.Open(context.Background(), dbs[i], root); err != nil {
				t.Errorf("replica %d: %v", i, err)
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if rows := dump(t, dbs[0]); len(rows) != 4 {
		t.Errorf("want one partner key, one tenant key, one tenant, one partner; got %q", rows)
	}
	for i := range rings {
		s := keep(t, dbs[i], rings[i], somewhere, "v")
		for j := range rings {
			mustOpen(t, rings[j], somewhere, s, "v")
		}
	}
}

func TestWrongOrMissingRootKeyTouchesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := keep(t, db, open(t, db, newRoot(t)), somewhere, "v")
		before := dump(t, db)
		for name, root := range map[string]seal.Root{"wrong": newRoot(t), "missing": nil} {
			k, err := seal.Open(t.Context(), db, root)
			if !errors.Is(err, seal.ErrWrongRootKey) || !errors.Is(k.Ready(), seal.ErrWrongRootKey) {
				t.Errorf("%s: %v, ready %v, want %v", name, err, k.Ready(), seal.ErrWrongRootKey)
			}
			if h := k.HealthCheck(); h.Status != "error" || h.KeyStatus != "wrong_root_key" {
				t.Errorf("%s: health %+v", name, h)
			}
			_, _, sealErr := k.Seal(t.Context(), somewhere, []byte("v"))
			_, openErr := k.OpenValue(t.Context(), somewhere, s)
			_, deriveErr := k.Derive("x")
			for _, err := range []error{sealErr, openErr, deriveErr} {
				if !fault.Is(err, fault.CodeUnavailable) {
					t.Errorf("%s: %v, want service_unavailable", name, err)
				}
			}
		}
		if diff := cmp.Diff(before, dump(t, db)); diff != "" {
			t.Errorf("a wrong root key changed the database:\n%s", diff)
		}
	})
}

func TestMissingRootKeyLeavesAnEmptyDatabaseEmpty(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if _, err := seal.Open(t.Context(), db, nil); !errors.Is(err, seal.ErrWrongRootKey) {
			t.Errorf("got %v, want %v", err, seal.ErrWrongRootKey)
		}
		if empty, err := seal.Empty(t.Context(), db); err != nil || !empty {
			t.Errorf("empty %v, %v", empty, err)
		}
	})
}

func TestNoNewKeysWhereValuesLostTheirs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		exec(t, db, `INSERT INTO secret_versions (tenant, path, version, uid, key_version, wrapped, sealed, created_at, created_by)
VALUES ('tnt_default', 'a', 1, 'u', 1, $1, $1, 1, 'x')`, []byte("x"))
		if _, err := seal.Open(t.Context(), db, newRoot(t)); err == nil {
			t.Fatal("opened a database that lost its keys")
		}
		if rows := dump(t, db); len(rows) != 0 {
			t.Errorf("keys were made: %q", rows)
		}
	})
}

// failing is a key service that does not answer.
type failing struct{}

func (failing) Wrap(context.Context, []byte) ([]byte, error) { return nil, errors.New("timeout") }

func (failing) Unwrap(context.Context, []byte) ([]byte, error) { return nil, errors.New("timeout") }

func TestAKeyServiceThatDoesNotAnswerIsNotAWrongKey(t *testing.T) {
	db := storetest.Open(t, storetest.Options(t, store.SQLite))
	if _, err := seal.Open(t.Context(), db, failing{}); err == nil {
		t.Fatal("opened without a root")
	}
	open(t, db, newRoot(t))
	k, err := seal.Open(t.Context(), db, failing{})
	if err == nil || errors.Is(err, seal.ErrWrongRootKey) {
		t.Errorf("got %v", err)
	}
	if h := k.HealthCheck(); h.KeyStatus != "unavailable" {
		t.Errorf("health %+v", h)
	}
}

func exec(tb testing.TB, db *store.DB, query string, args ...any) {
	tb.Helper()
	err := db.Update(tb.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func addTenant(tb testing.TB, db *store.DB, tenant string) {
	tb.Helper()
	exec(tb, db, `INSERT INTO tenants (id, partner_id, name, created_at) VALUES ($1, $2, $1, 1)`, tenant, guard.DefaultPartner)
}

func TestKeyOfANewTenantIsMadeOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := open(t, db, newRoot(t))
		addTenant(t, db, "tnt_b")
		ref := somewhere
		ref.Tenant = "tnt_b"
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				if _, _, err := k.Seal(context.Background(), ref, []byte("v")); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		mustOpen(t, k, ref, keep(t, db, k, ref, "v"), "v")
		rows := strings.Join(dump(t, db), "\n")
		if n := strings.Count(rows, "tenant tnt_b 1 active"); n != 1 {
			t.Errorf("%d keys of the new tenant:\n%s", n, rows)
		}
		ref.Tenant = "tnt_unknown"
		if _, _, err := k.Seal(t.Context(), ref, []byte("v")); !fault.Is(err, fault.CodeTenantNotFound) {
			t.Errorf("unknown tenant: %v", err)
		}
	})
}

func TestDeriveIsTheSameInEveryReplica(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		root := newRoot(t)
		a, b := open(t, db, root), open(t, db, root)
		one, err1 := a.Derive("cursor")
		two, err2 := b.Derive("cursor")
		other, err3 := a.Derive("else")
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if string(one) != string(two) || string(one) == string(other) || len(one) != 32 {
			t.Error("derived keys must depend on the purpose alone")
		}
	})
}
