package store

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLogStaysBounded has a writer that never pauses by itself, and then none.
func TestLogStaysBounded(t *testing.T) {
	dir := t.TempDir()
	d := sqliteDialect()
	d.background = nil // this test checkpoints by itself
	db, err := open(t.Context(), d, Options{DataDir: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	c := &checkpointer{db: db, large: 8 * smallLog}
	if err := c.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.pool.Close() }()
	step := func() {
		t.Helper()
		if err := c.step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- keepWriting(t.Context(), db, stop) }()
	for c.pages < c.large {
		c.seen = -1 // however slow the disk, the writer is not idle
		step()
	}
	c.seen = -1
	step()
	if c.pages >= c.large {
		t.Errorf("the log was not begun anew: %d pages", c.pages)
	}
	for c.pages < smallLog {
		c.seen = -1
		step()
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	step() // sees the last writes
	step() // sees that nothing came after them
	info, err := os.Stat(filepath.Join(dir, "scaivault.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > smallLog*5000 {
		t.Errorf("the log of an idle database has %d bytes", info.Size())
	}
}

func keepWriting(ctx context.Context, db *DB, stop chan struct{}) error {
	body := string(make([]byte, 1<<16))
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		err := db.Update(ctx, func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, $2)", rand.Text(), body)
			return err
		})
		if err != nil {
			return err
		}
	}
}
