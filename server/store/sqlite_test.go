package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func openLite(t *testing.T) (*store.DB, string) {
	t.Helper()
	o := storetest.Options(t, store.SQLite)
	o.DataDir = filepath.Join(o.DataDir, "a ?#%dir") // what must be escaped in a URL
	return storetest.Open(t, o), o.DataDir
}

func put(t *testing.T, db *store.DB, name, value string) error {
	t.Helper()
	return db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2", name, value)
		return err
	})
}

func TestFilesArePrivate(t *testing.T) {
	db, dir := openLite(t)
	if err := put(t, db, "a", "b"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{
		"": 0o700, "lock": 0o600, "scaivault.db": 0o600, "scaivault.db-wal": 0o600, "scaivault.db-shm": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", name, got, want)
		}
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	_, dir := openLite(t)
	if _, err := store.Open(t.Context(), store.Options{DataDir: dir}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("second open: %v", err)
	}
}

// TestDiskFull fills the database to its last page in the middle of a batch: whoever is told so wrote
// nothing, and once there is room again all is as before.
func TestDiskFull(t *testing.T) {
	db, _ := openLite(t)
	limit := func(pages string) {
		t.Helper()
		if err := db.Update(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow("PRAGMA max_page_count = " + pages).Scan(new(int64))
		}); err != nil {
			t.Fatal(err)
		}
	}
	stage := db.NewStage("audit", func(tx *store.Tx, values []any) error {
		for _, v := range values {
			if _, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, $1)", fmt.Sprint("entry ", v)); err != nil {
				return err
			}
		}
		return nil
	})
	limit("1") // SQLite takes the present size as the least
	page := strings.Repeat("x", 4000)
	const writers, each = 32, 10
	answers := make(chan error, writers)
	stored := make([][each]bool, writers)
	for w := range writers {
		go func() {
			for i := range each {
				name := fmt.Sprintf("%d-%d", w, i)
				err := db.Update(t.Context(), func(tx *store.Tx) error {
					tx.Stage(stage, name)
					_, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, $2)", name, page)
					return err
				})
				stored[w][i] = err == nil
				if err != nil && !errors.Is(err, store.ErrUnavailable) {
					answers <- err
					return
				}
			}
			answers <- nil
		}()
	}
	for range writers {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	failed := 0
	for w := range stored {
		for i, want := range stored[w] {
			if !want {
				failed++
			}
			var n int64
			name := fmt.Sprintf("%d-%d", w, i)
			if err := db.QueryRow(t.Context(), "SELECT COUNT(*) FROM meta WHERE name = $1 OR name = $2", name, "entry "+name).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if want && n != 2 || !want && n != 0 {
				t.Errorf("%s: stored %v, but %d rows", name, want, n)
			}
		}
	}
	if failed == 0 {
		t.Fatal("the database was never full")
	}
	ignoring := db.Update(t.Context(), func(tx *store.Tx) error {
		var err error
		for err == nil { // until SQLite has rolled the transaction back by itself
			_, err = tx.Exec("INSERT INTO meta (name, value) VALUES (hex(randomblob(16)), $1)", page)
		}
		_, _ = tx.Exec("UPDATE meta SET value = 'half' WHERE name = 'restore_epoch'")
		return nil
	})
	var epoch string
	if err := db.QueryRow(t.Context(), "SELECT value FROM meta WHERE name = 'restore_epoch'").Scan(&epoch); err != nil || ignoring == nil || epoch != "0" {
		t.Errorf("closure that ignored the error: %v, it left %q, %v", ignoring, epoch, err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("reads fail while the disk is full: %v", err)
	}
	limit("1000000")
	if err := put(t, db, "again", page); err != nil {
		t.Errorf("after there is room again: %v", err)
	}
}

// TestManyTexts runs more query texts than a connection keeps statements for.
func TestManyTexts(t *testing.T) {
	db, _ := openLite(t)
	for range 2 {
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			for i := range 600 {
				var got int
				if err := tx.QueryRow(fmt.Sprintf("SELECT %d", i)).Scan(&got); err != nil || got != i {
					return fmt.Errorf("got %d for %d: %w", got, i, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestReadersCannotWrite has a reader try.
func TestReadersCannotWrite(t *testing.T) {
	db, _ := openLite(t)
	if err := db.QueryRow(t.Context(), "DELETE FROM meta RETURNING name").Scan(new(string)); err == nil {
		t.Error("a reader wrote")
	}
}
