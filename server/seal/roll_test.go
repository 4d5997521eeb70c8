package seal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// small opens a keyring whose keys wear out after limit wraps.
func small(t *testing.T, db *store.DB, root Root, limit, chunk int64) *Keyring {
	t.Helper()
	k, err := Open(t.Context(), db, root)
	if err != nil {
		t.Fatal(err)
	}
	k.limit, k.chunk = limit, chunk
	return k
}

type stored struct {
	Ref
	Sealed
}

func put(ctx context.Context, db *store.DB, k *Keyring, i int) (s stored, err error) {
	s.Ref = Ref{Tenant: guard.DefaultTenant, Path: fmt.Sprintf("p/%d", i), UID: fmt.Sprint(i), Version: 1}
	dk, sealed, err := k.Seal(ctx, s.Ref, []byte(s.Path))
	if err != nil {
		return s, err
	}
	s.Value = sealed
	return s, db.Update(ctx, func(tx *store.Tx) (err error) {
		s.KeyVersion, s.Wrapped, err = k.Wrap(tx, s.Ref, dk)
		return err
	})
}

func mustOpenAll(t *testing.T, k *Keyring, all []stored) {
	t.Helper()
	for _, s := range all {
		p, err := k.OpenValue(t.Context(), s.Ref, s.Sealed)
		if err != nil || string(p.Reveal()) != s.Path {
			t.Fatalf("%s under key %d: %v", s.Path, s.KeyVersion, err)
		}
	}
}

// counted gives, per version of the default tenant's key, its state and the wraps counted.
func counted(t *testing.T, db *store.DB) (active []int64, wraps map[int64]int64) {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT version, state, wraps FROM keys WHERE kind = 'tenant' AND owner_id = $1`, guard.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	wraps = map[int64]int64{}
	for rows.Next() {
		var version, n int64
		var state string
		if err := rows.Scan(&version, &state, &n); err != nil {
			t.Fatal(err)
		}
		if wraps[version] = n; state == stateActive {
			active = append(active, version)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return active, wraps
}

func TestKeysRollBeforeTheyWearOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const writers, each, limit = 8, 25, 64
		root := newRoot(t)
		k := small(t, db, root, limit, 16)
		all := make([]stored, writers*each)
		var wait sync.WaitGroup
		for w := range writers {
			wait.Go(func() {
				for i := w * each; i < (w+1)*each; i++ {
					var err error
					if all[i], err = put(context.Background(), db, k, i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
		used := map[int64]int64{}
		for _, s := range all {
			used[s.KeyVersion]++
		}
		active, wraps := counted(t, db)
		if len(active) != 1 || len(used) < len(all)/limit {
			t.Errorf("active versions %v, used %v", active, used)
		}
		for version, n := range used {
			if n > limit+writers || n > wraps[version]+writers {
				t.Errorf("version %d wrapped %d, counted %d", version, n, wraps[version])
			}
		}
		mustOpenAll(t, k, all)
		mustOpenAll(t, small(t, db, root, limit, 16), all)
	})
}

func TestAReplicaFollowsARoll(t *testing.T) {
	options := storetest.Options(t, store.Postgres)
	dbA, dbB, root := storetest.Open(t, options), storetest.Open(t, options), newRoot(t)
	a, b := small(t, dbA, root, wrapLimit, wrapChunk), small(t, dbB, root, 8, 4)
	var all []stored
	must := func(s stored, err error) int64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		return s.KeyVersion
	}
	if v := must(put(t.Context(), dbA, a, 0)); v != 1 {
		t.Fatalf("version %d, want 1", v)
	}
	for i := range 4 { // the first reservation of a has worn the key out already, by the limit of b
		must(put(t.Context(), dbB, b, 1+i))
	}
	active, _ := counted(t, dbA)
	if len(active) != 1 || active[0] < 2 {
		t.Fatalf("active %v: b did not roll", active)
	}
	if v := must(put(t.Context(), dbA, a, 10)); v != active[0] {
		t.Errorf("a wraps with version %d, active is %d", v, active[0])
	}
	mustOpenAll(t, a, all)
	mustOpenAll(t, b, all)
}

// TestARolledKeyIsNotUsedInTheSameBatch: what is known after COMMIT must not decide before it.
func TestARolledKeyIsNotUsedInTheSameBatch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := small(t, db, newRoot(t), wrapLimit, wrapChunk)
		ref := Ref{Tenant: guard.DefaultTenant, Path: "a", UID: "u", Version: 1}
		dk, _, err := k.Seal(t.Context(), ref, []byte("v"))
		if err != nil {
			t.Fatal(err)
		}
		partner, aead, err := k.partnerFor(t.Context(), guard.DefaultTenant)
		if err != nil {
			t.Fatal(err)
		}
		var inside int64
		err = db.Update(t.Context(), func(tx *store.Tx) error {
			if err := k.roll(tx, k.knownActive(guard.DefaultTenant), newTenantKey(aead, guard.DefaultTenant, partner, 2)); err != nil {
				return err
			}
			inside, _, err = k.Wrap(tx, ref, dk)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if inside != 2 {
			t.Errorf("wrapped with version %d after the roll", inside)
		}
	})
}

func TestARollThatDoesNotCommitChangesNothing(t *testing.T) {
	var commits storetest.Commits
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		root := newRoot(t)
		k := small(t, db, root, 4, 4)
		first, err := put(t.Context(), db, k, 0)
		if err != nil {
			t.Fatal(err)
		}
		commits.Fail(errors.New("disk full"))
		for i := range 4 {
			if _, err := put(t.Context(), db, k, i); err == nil {
				t.Error("a write succeeded without a commit")
			}
		}
		commits.Fail(nil)
		active, _ := counted(t, db)
		if len(active) != 1 || active[0] != 1 {
			t.Errorf("active %v after failed rolls", active)
		}
		second, err := put(t.Context(), db, k, 1)
		if err != nil {
			t.Fatal(err)
		}
		mustOpenAll(t, small(t, db, root, 4, 4), []stored{first, second})
	}, commits.Option)
}
