package storetest

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/scailabs/scaivault/server/store"
)

// composer is a database with one lane, where the test decides what shares a batch.
type composer struct {
	*store.DB
	Commits

	armed   atomic.Bool
	entered chan struct{} // a held batch is about to commit
	proceed chan struct{} // and may

	failNext atomic.Bool // the next batch that is not held fails to commit
}

// compose opens a database through open, with a table scratch (id, n).
func compose(t *testing.T, open Opener) *composer {
	t.Helper()
	c := &composer{entered: make(chan struct{}), proceed: make(chan struct{})}
	c.DB = open(t, func(o *store.Options) {
		o.Lanes = 1
		o.DirectURL = "" // a listener's first connection wakes everybody
		o.BeforeCommit = c.hold
	})
	must(t, c.Update(t.Context(), scratch))
	return c
}

func scratch(tx *store.Tx) error {
	_, err := tx.Exec("CREATE TABLE scratch (id TEXT PRIMARY KEY, n BIGINT NOT NULL)")
	return err
}

func (c *composer) hold() error {
	if c.armed.Swap(false) {
		c.entered <- struct{}{}
		<-c.proceed
		return c.before()
	}
	if c.failNext.Swap(false) {
		return errors.New("injected")
	}
	return c.before()
}

// batch has one batch run all calls, in order, and returns their answers. before runs when all are queued
// and none has started.
func (c *composer) batch(t *testing.T, before func(), calls ...func() error) []error {
	t.Helper()
	c.armed.Store(true)
	plug := async(func() error { return c.Update(t.Context(), nothing) })
	<-c.entered
	answers := make([]chan error, len(calls))
	for i, call := range calls {
		answers[i] = async(call)
		for c.Stats().Queued <= i {
			runtime.Gosched()
		}
	}
	if before != nil {
		before()
	}
	c.proceed <- struct{}{}
	must(t, <-plug)
	errs := make([]error, len(calls))
	for i := range answers {
		errs[i] = <-answers[i]
	}
	return errs
}

func nothing(*store.Tx) error { return nil }

func async(call func() error) chan error {
	answer := make(chan error, 1)
	go func() { answer <- call() }()
	return answer
}

// adding is a call that adds one to row id, which it makes if needed, and then ends with err.
func (c *composer) adding(t *testing.T, id string, err error) func() error {
	return func() error {
		return c.Update(t.Context(), func(tx *store.Tx) error {
			if e := add(tx, id); e != nil {
				return e
			}
			return err
		})
	}
}

func add(tx *store.Tx, id string) error {
	_, err := tx.Exec("INSERT INTO scratch (id, n) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n = scratch.n + 1", id)
	return err
}

// insert fails where row id exists.
func insert(tx *store.Tx, id string) error {
	_, err := tx.Exec("INSERT INTO scratch (id, n) VALUES ($1, 1)", id)
	return err
}

// rows gives what is committed.
func rows(t *testing.T, db *store.DB) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	r, err := db.Query(t.Context(), "SELECT id, n FROM scratch")
	must(t, err)
	defer func() { must(t, r.Close()) }()
	for r.Next() {
		var id string
		var n int64
		must(t, r.Scan(&id, &n))
		got[id] = n
	}
	must(t, r.Err())
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
