package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/store"
)

var errMine = errors.New("the closure's own error")

func groupCommit(t *testing.T, open Opener) {
	c := compose(t, open)
	calls := make([]func() error, 50)
	for i := range calls {
		calls[i] = c.adding(t, "row", nil)
	}
	before := c.Stats().Batches
	for _, err := range c.batch(t, nil, calls...) {
		must(t, err)
	}
	want(t, rows(t, c.DB), map[string]int64{"row": 50})
	if got := c.Stats(); got.Batches != before+2 || got.LastBatch != 50 { // the plug's, and one for all
		t.Errorf("%d batches, the last of %d calls", got.Batches-before, got.LastBatch)
	}
}

func cancelledBeforeStart(t *testing.T, open Opener) {
	c := compose(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	calls := make([]func() error, 50)
	for i := range calls {
		calls[i] = c.adding(t, fmt.Sprint(i), nil)
	}
	gone := make(chan struct{})
	calls[17] = func() error {
		defer close(gone)
		return c.Update(ctx, func(tx *store.Tx) error { return add(tx, "17") })
	}
	errs := c.batch(t, func() { cancel(); <-gone }, calls...)
	if !errors.Is(errs[17], context.Canceled) {
		t.Errorf("cancelled call: %v", errs[17])
	}
	got := rows(t, c.DB)
	if _, ran := got["17"]; ran || len(got) != 49 {
		t.Errorf("%d rows, the cancelled one among them: %v", len(got), ran)
	}
}

func cancelledAfterStart(t *testing.T, open Opener) {
	c := compose(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	calls := make([]func() error, 50)
	for i := range calls {
		calls[i] = c.adding(t, fmt.Sprint(i), nil)
	}
	calls[17] = func() error {
		return c.Update(ctx, func(tx *store.Tx) error {
			if err := add(tx, "17"); err != nil {
				return err
			}
			cancel()
			return add(tx, "17")
		})
	}
	for i, err := range c.batch(t, nil, calls...) {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := rows(t, c.DB); len(got) != 50 || got["17"] != 2 {
		t.Errorf("%d rows, the cancelled one with %d", len(got), got["17"])
	}
	if err := c.Update(ctx, nothing); !errors.Is(err, context.Canceled) {
		t.Errorf("update with a context that has ended: %v", err)
	}
}

func errorBeforeWrite(t *testing.T, open Opener) {
	c := compose(t, open)
	followed := false
	reading := func() error {
		return c.Update(t.Context(), func(tx *store.Tx) error {
			tx.AfterCommit(func() { followed = true })
			var n int64
			if err := tx.QueryRow("SELECT COUNT(*) FROM scratch").Scan(&n); err != nil {
				return err
			}
			return fmt.Errorf("%w: saw %d", errMine, n)
		})
	}
	errs := c.batch(t, nil, c.adding(t, "a", nil), reading, c.adding(t, "b", nil))
	if errs[0] != nil || !errors.Is(errs[1], errMine) || errs[2] != nil {
		t.Errorf("answers %v", errs)
	}
	want(t, rows(t, c.DB), map[string]int64{"a": 1, "b": 1})
	if got := c.Stats(); got.Reruns != 0 || followed {
		t.Errorf("%d runs again, callback of the failed closure ran: %v", got.Reruns, followed)
	}
}

func errorAfterWrite(t *testing.T, open Opener) {
	c := compose(t, open)
	errs := c.batch(t, nil, c.adding(t, "a", nil), c.adding(t, "b", nil), c.adding(t, "bad", errMine),
		c.adding(t, "c", nil), c.adding(t, "d", nil))
	for i, err := range errs {
		if i == 2 && !errors.Is(err, errMine) || i != 2 && err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	want(t, rows(t, c.DB), map[string]int64{"a": 1, "b": 1, "c": 1, "d": 1})
	if c.Stats().Reruns == 0 {
		t.Error("the batch was not poisoned")
	}
}

func brokenStatement(t *testing.T, open Opener) {
	c := compose(t, open)
	must(t, c.adding(t, "old", nil)())
	ignoring := func() error { // an error of a statement that the closure does not look at
		return c.Update(t.Context(), func(tx *store.Tx) error {
			var n int64
			_ = tx.QueryRow("SELECT n FROM no_such_table").Scan(&n)
			_ = add(tx, "half")
			return nil
		})
	}
	errs := c.batch(t, nil, c.adding(t, "a", nil), ignoring, c.adding(t, "b", nil))
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("answers %v", errs)
	}
	want(t, rows(t, c.DB), map[string]int64{"old": 1, "a": 1, "b": 1})
}

func fallible(t *testing.T, open Opener) {
	c := compose(t, open)
	var finished [][]any
	stage := c.NewStage("audit", func(_ *store.Tx, values []any) error {
		finished = append(finished, append([]any(nil), values...))
		return nil
	})
	var followed []string
	call := func(name string, fails bool) func() error {
		return func() error {
			return c.UpdateFallible(t.Context(), func(tx *store.Tx) error {
				tx.Stage(stage, name)
				tx.AfterCommit(func() { followed = append(followed, name) })
				if err := add(tx, name); err != nil || !fails {
					return err
				}
				return insert(tx, name)
			})
		}
	}
	errs := c.batch(t, nil, call("a", false), call("bad", true), call("b", false))
	if errs[0] != nil || !store.IsUnique(errs[1]) || errs[2] != nil {
		t.Errorf("answers %v", errs)
	}
	want(t, rows(t, c.DB), map[string]int64{"a": 1, "b": 1})
	want(t, finished, [][]any{{"a", "b"}})
	want(t, followed, []string{"a", "b"})
	if n := c.Stats().Reruns; n != 0 {
		t.Errorf("%d calls ran again", n)
	}
}

func panics(t *testing.T, open Opener) {
	c := compose(t, open)
	calls := []func() error{c.adding(t, "a", nil), func() error {
		return c.Update(t.Context(), func(tx *store.Tx) error {
			if err := add(tx, "bad"); err != nil {
				return err
			}
			panic("a value nobody should read")
		})
	}, c.adding(t, "b", nil)}
	errs := c.batch(t, nil, calls...)
	if errs[0] != nil || !errors.Is(errs[1], store.ErrPanic) || errs[2] != nil {
		t.Errorf("answers %v", errs)
	}
	if errs[1].Error() != "panic in transaction (string)" {
		t.Errorf("the error shows the panic's value: %v", errs[1])
	}
	want(t, rows(t, c.DB), map[string]int64{"a": 1, "b": 1})
}

func finisherError(t *testing.T, open Opener) {
	c := compose(t, open)
	stage := c.NewStage("audit", func(tx *store.Tx, values []any) error {
		for _, v := range values {
			if v == "bad" {
				return errMine
			}
			if err := add(tx, "entry of "+v.(string)); err != nil {
				return err
			}
		}
		return nil
	})
	staging := func(name string) func() error {
		return func() error {
			return c.Update(t.Context(), func(tx *store.Tx) error {
				tx.Stage(stage, name)
				return add(tx, name)
			})
		}
	}
	appending := func(v string) func() error {
		return func() error { return c.Append(t.Context(), stage, v) }
	}
	errs := c.batch(t, nil, staging("a"), appending("b"), staging("bad"), appending("bad"), appending("c"))
	for i, err := range errs {
		if bad := i == 2 || i == 3; bad && !errors.Is(err, errMine) || !bad && err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	want(t, rows(t, c.DB), map[string]int64{"a": 1, "entry of a": 1, "entry of b": 1, "entry of c": 1})
}

// valuesTogether has a closure poison a batch of values, which then need one more commit and not one each.
func valuesTogether(t *testing.T, open Opener) {
	c := compose(t, open)
	stage := c.NewStage("audit", func(tx *store.Tx, values []any) error {
		for range values {
			if err := add(tx, "entry"); err != nil {
				return err
			}
		}
		return nil
	})
	calls := make([]func() error, 20)
	for i := range calls {
		calls[i] = func() error { return c.Append(t.Context(), stage, i) }
	}
	before := c.Tried()
	errs := c.batch(t, nil, append(calls, c.adding(t, "bad", errMine))...)
	if !errors.Is(errs[20], errMine) {
		t.Errorf("closure: %v", errs[20])
	}
	for _, err := range errs[:20] {
		must(t, err)
	}
	want(t, rows(t, c.DB), map[string]int64{"entry": 20})
	if n := c.Tried() - before; n != 2 { // the plug's, and the values'
		t.Errorf("%d commits", n)
	}
}

func stages(t *testing.T, open Opener) {
	c := compose(t, open)
	var got []string
	var first, second *store.Stage
	first = c.NewStage("first", func(tx *store.Tx, values []any) error {
		got = append(got, fmt.Sprint("first ", values))
		tx.Stage(second, "from first")
		return nil
	})
	second = c.NewStage("second", func(tx *store.Tx, values []any) error {
		got = append(got, fmt.Sprint("second ", values))
		if values[len(values)-1] == "back" {
			tx.Stage(first, "too late")
		}
		return nil
	})
	calls := make([]func() error, 3)
	for i := range calls {
		calls[i] = func() error { return c.Append(t.Context(), first, i) }
	}
	for _, err := range c.batch(t, nil, calls...) {
		must(t, err)
	}
	want(t, got, []string{"first [0 1 2]", "second [from first]"})
	if err := c.Append(t.Context(), second, "back"); err == nil {
		t.Error("a value was staged after its finisher had run, and lost")
	}
}

func want[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
