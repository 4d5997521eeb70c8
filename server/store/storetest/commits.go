package storetest

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/store"
)

func answeredAfterCommit(t *testing.T, open Opener) {
	c := compose(t, open)
	var answered, followed atomic.Bool
	c.armed.Store(true)
	update := async(func() error {
		err := c.Update(t.Context(), func(tx *store.Tx) error {
			tx.AfterCommit(func() {
				if answered.Load() {
					t.Error("the caller was answered before AfterCommit")
				}
				if rows(t, c.DB)["row"] != 1 {
					t.Error("AfterCommit ran before the row could be read")
				}
				followed.Store(true)
			})
			return add(tx, "row")
		})
		answered.Store(true)
		return err
	})
	<-c.entered
	want(t, rows(t, c.DB), map[string]int64{}) // a reader sees nothing of an open transaction
	if answered.Load() || followed.Load() {
		t.Error("answered before COMMIT")
	}
	c.proceed <- struct{}{}
	must(t, <-update)
	if !followed.Load() {
		t.Error("answered before AfterCommit")
	}
}

func commitFails(t *testing.T, open Opener) {
	c := compose(t, open)
	followed := false
	stage := c.NewStage("audit", func(tx *store.Tx, _ []any) error { return add(tx, "entry") })
	calls := []func() error{
		c.adding(t, "a", nil),
		c.adding(t, "b", nil),
		func() error { return c.Append(t.Context(), stage, "v") },
		func() error { return c.Append(t.Context(), stage, "w") },
		func() error {
			return c.Update(t.Context(), func(tx *store.Tx) error {
				tx.AfterCommit(func() { followed = true })
				return c.Notify(tx, "channel")
			})
		},
	}
	wake := c.Wake("channel")
	c.Fail(errors.New("injected"))
	answers := make([]chan error, len(calls))
	for i, call := range calls {
		answers[i] = async(call)
	}
	for i := range answers {
		if err := <-answers[i]; !errors.Is(err, store.ErrUnavailable) || !store.IsUnavailable(err) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	want(t, rows(t, c.DB), map[string]int64{})
	if followed || closed(wake) {
		t.Error("something followed a commit that failed")
	}
	c.Fail(nil)
	for _, call := range calls {
		must(t, call())
	}
	want(t, rows(t, c.DB), map[string]int64{"a": 1, "b": 1, "entry": 2})
	if !followed || !closed(wake) {
		t.Error("nothing followed a commit that succeeded")
	}
}

// commitFailsOnce has the batch's commit fail and those of the runs alone succeed.
func commitFailsOnce(t *testing.T, open Opener) {
	c := compose(t, open)
	once := func() { c.failNext.Store(true) }
	for _, err := range c.batch(t, nil, c.adding(t, "a", nil), c.adding(t, "b", nil)) {
		must(t, err)
	}
	for _, err := range c.batch(t, once, c.adding(t, "a", nil), c.adding(t, "b", nil)) {
		must(t, err)
	}
	if n := c.Stats().Reruns; n != 2 {
		t.Errorf("%d calls ran again", n)
	}
	want(t, rows(t, c.DB), map[string]int64{"a": 2, "b": 2})
}

func closeDrains(t *testing.T, open Opener) {
	c := compose(t, open)
	c.armed.Store(true)
	plug := async(c.adding(t, "plug", nil))
	<-c.entered
	answers := make([]chan error, 20)
	for i := range answers {
		answers[i] = async(c.adding(t, "row", nil))
		for c.Stats().Queued <= i {
			runtime.Gosched()
		}
	}
	ended := async(c.Close)
	for !errors.Is(c.brief(t), store.ErrClosed) {
		runtime.Gosched()
	}
	c.proceed <- struct{}{}
	for _, answer := range append(answers, plug, ended) {
		must(t, <-answer)
	}
	if err := c.Append(t.Context(), nil, 1); !errors.Is(err, store.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	must(t, c.Close())
}

// brief tries an update and gives up soon.
func (c *composer) brief(t *testing.T) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	return c.Update(ctx, nothing)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
