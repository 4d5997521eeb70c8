package store

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
)

// TestLogStaysBounded writes more than the log may hold, and then nothing.
func TestLogStaysBounded(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(t.Context(), Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	c := &checkpointer{db: db}
	if err := c.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	write := func(mebibytes int) {
		t.Helper()
		for range mebibytes {
			err := db.Update(t.Context(), func(tx *Tx) error {
				_, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, $2)", rand.Text(), string(make([]byte, 1<<20)))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(largeLog/256 + 1)
	if err := c.step(context.Background()); err != nil {
		t.Fatal(err)
	}
	write(1)
	if err := c.step(context.Background()); err != nil {
		t.Fatal(err)
	}
	if c.pages >= largeLog {
		t.Errorf("the log was not begun anew: %d pages", c.pages)
	}
	write(2)
	for range 2 { // the first sees the writes, the second that nothing came after them
		if err := c.step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "scaivault.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > smallLog*5000 {
		t.Errorf("the log of an idle database has %d bytes", info.Size())
	}
	if err := c.pool.Close(); err != nil {
		t.Fatal(err)
	}
}
