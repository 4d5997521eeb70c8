package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/scailabs/scaivault/server/store"
)

// mixed has many callers do everything that can go wrong at once. Each acknowledged call, and no other, is
// found once in the database, with its staged entry.
func mixed(t *testing.T, open Opener) {
	const callers, rounds = 32, 40
	db := open(t)
	must(t, db.Update(t.Context(), scratch))
	m := &mixture{DB: db, acknowledged: map[string]int64{}}
	m.stage = db.NewStage("audit", func(tx *store.Tx, values []any) error {
		for _, v := range values {
			if err := insert(tx, "entry of "+v.(string)); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, db.Update(t.Context(), func(tx *store.Tx) error { return insert(tx, "taken") }))
	m.acknowledged["taken"] = 1
	var all sync.WaitGroup
	for caller := range callers {
		random := rand.New(rand.NewPCG(1, uint64(caller))) //nolint:gosec // the same choices in every run
		all.Go(func() {
			for round := range rounds {
				m.one(t, random, fmt.Sprintf("%d-%d", caller, round))
			}
		})
	}
	all.Wait()
	want(t, rows(t, db), m.acknowledged)
}

type mixture struct {
	*store.DB
	stage        *store.Stage
	mu           sync.Mutex
	acknowledged map[string]int64
}

func (m *mixture) one(t *testing.T, random *rand.Rand, id string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	write := func(tx *store.Tx) error {
		tx.Stage(m.stage, id)
		return insert(tx, id)
	}
	var err error
	row := true
	switch random.IntN(8) {
	case 0:
		row = false
		err = m.Append(ctx, m.stage, id)
	case 1:
		err = m.Update(ctx, func(*store.Tx) error { return errMine })
	case 2:
		err = m.Update(ctx, func(tx *store.Tx) error { return errors.Join(write(tx), errMine) })
	case 3:
		err = m.UpdateFallible(ctx, func(tx *store.Tx) error { return errors.Join(write(tx), insert(tx, "taken")) })
	case 4:
		err = m.Update(ctx, func(tx *store.Tx) error { panic(write(tx)) })
	case 5:
		go cancel()
		err = m.Update(ctx, write)
	default:
		err = m.Update(ctx, write)
	}
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if row {
		m.acknowledged[id] = 1
	}
	m.acknowledged["entry of "+id] = 1
}

// endedGoroutine has a closure end its lane's goroutine, as testing's FailNow would.
func endedGoroutine(t *testing.T, open Opener) {
	c := compose(t, open)
	for range 3 {
		err := c.Update(t.Context(), func(tx *store.Tx) error {
			if err := add(tx, "half"); err != nil {
				return err
			}
			runtime.Goexit()
			return nil
		})
		if !errors.Is(err, store.ErrPanic) {
			t.Errorf("closure that ended its goroutine: %v", err)
		}
	}
	must(t, c.adding(t, "row", nil)())
	want(t, rows(t, c.DB), map[string]int64{"row": 1})
}
