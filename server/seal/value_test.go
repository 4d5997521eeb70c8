package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func refuse(t *testing.T, k *seal.Keyring, what string, ref seal.Ref, s seal.Sealed) {
	t.Helper()
	got, err := k.OpenValue(t.Context(), ref, s)
	if !errors.Is(err, seal.ErrTampered) {
		t.Errorf("%s: %v, want %v", what, err, seal.ErrTampered)
	}
	if got.Size() != 0 {
		t.Errorf("%s: a value came with the error", what)
	}
}

func TestAnyFlippedBitDoesNotOpen(t *testing.T) {
	db := storetest.Open(t, storetest.Options(t, store.SQLite))
	k := open(t, db, newRoot(t))
	s := keep(t, db, k, somewhere, `{"password":"x"}`)
	mustOpen(t, k, somewhere, s, `{"password":"x"}`)
	fields := map[string]func(*seal.Sealed) *[]byte{
		"wrapped": func(s *seal.Sealed) *[]byte { return &s.Wrapped },
		"sealed":  func(s *seal.Sealed) *[]byte { return &s.Value },
	}
	for name, field := range fields {
		for bit := range len(*field(&s)) * 8 {
			damaged := s
			b := bytes.Clone(*field(&s))
			b[bit/8] ^= 1 << (bit % 8)
			*field(&damaged) = b
			refuse(t, k, name, somewhere, damaged)
		}
		cut := s
		for n := range len(*field(&s)) {
			*field(&cut) = (*field(&s))[:n]
			refuse(t, k, name+" cut", somewhere, cut)
		}
	}
	s.KeyVersion = 2
	refuse(t, k, "key version", somewhere, s)
}

func TestAMovedRowDoesNotOpen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := open(t, db, newRoot(t))
		addTenant(t, db, "tnt_b")
		other := seal.Ref{Tenant: "tnt_b", Path: "app/db", UID: "uid-1", Version: 1}
		s, theirs := keep(t, db, k, somewhere, "v"), keep(t, db, k, other, "w")
		for name, ref := range map[string]seal.Ref{
			"other tenant":  other,
			"other path":    {Tenant: guard.DefaultTenant, Path: "app/dc", UID: "uid-1", Version: 1},
			"other version": {Tenant: guard.DefaultTenant, Path: "app/db", UID: "uid-1", Version: 2},
			"other uid":     {Tenant: guard.DefaultTenant, Path: "app/db", UID: "uid-2", Version: 1},
			"shifted parts": {Tenant: guard.DefaultTenant + "app", Path: "/db", UID: "uid-1", Version: 1},
		} {
			refuse(t, k, name, ref, s)
		}
		refuse(t, k, "value of another version", somewhere, seal.Sealed{KeyVersion: s.KeyVersion, Wrapped: s.Wrapped, Value: theirs.Value})
		refuse(t, k, "data key of another version", somewhere, seal.Sealed{KeyVersion: s.KeyVersion, Wrapped: theirs.Wrapped, Value: s.Value})
	})
}

func TestAChangedKeyRowDoesNotOpen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		root := newRoot(t)
		s := keep(t, db, open(t, db, root), somewhere, "v")
		for _, kind := range []string{"partner", "tenant"} {
			var wrapped []byte
			if err := db.QueryRow(t.Context(), `SELECT wrapped FROM keys WHERE kind = $1`, kind).Scan(&wrapped); err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, 1, 9, len(wrapped) / 2, len(wrapped) - 1} {
				damaged := bytes.Clone(wrapped)
				damaged[at] ^= 0x40
				exec(t, db, `UPDATE keys SET wrapped = $1 WHERE kind = $2`, damaged, kind)
				if _, err := seal.Open(t.Context(), db, root); !errors.Is(err, seal.ErrWrongRootKey) && !errors.Is(err, seal.ErrTampered) {
					t.Errorf("%s key with byte %d changed: %v", kind, at, err)
				}
			}
			exec(t, db, `UPDATE keys SET wrapped = $1 WHERE kind = $2`, wrapped, kind)
		}
		mustOpen(t, open(t, db, root), somewhere, s, "v")
	})
}

func TestADestroyedKeyOpensNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		root := newRoot(t)
		addTenantTo := open(t, db, root)
		addTenant(t, db, "tnt_b")
		ref := seal.Ref{Tenant: "tnt_b", Path: "a", UID: "u", Version: 1}
		s := keep(t, db, addTenantTo, ref, "v")
		exec(t, db, `UPDATE keys SET state = 'destroyed', wrapped = NULL WHERE owner_id = 'tnt_b'`)
		refuse(t, open(t, db, root), "destroyed", ref, s)
	})
}

func TestEqualValuesSealDifferently(t *testing.T) {
	db := storetest.Open(t, storetest.Options(t, store.SQLite))
	k := open(t, db, newRoot(t))
	a, b := keep(t, db, k, somewhere, "v"), keep(t, db, k, somewhere, "v")
	if bytes.Equal(a.Value, b.Value) || bytes.Equal(a.Wrapped, b.Wrapped) {
		t.Error("two seals of one value are equal")
	}
}

func BenchmarkOpenValue(b *testing.B) {
	db := storetest.Open(b, storetest.Options(b, store.SQLite))
	k := open(b, db, newRoot(b))
	s := keep(b, db, k, somewhere, `{"username":"app","password":"0123456789abcdef0123456789abcdef"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.OpenValue(b.Context(), somewhere, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	db := storetest.Open(b, storetest.Options(b, store.SQLite))
	k := open(b, db, newRoot(b))
	value := []byte(`{"username":"app","password":"0123456789abcdef0123456789abcdef"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := k.Seal(b.Context(), somewhere, value); err != nil {
			b.Fatal(err)
		}
	}
}
