package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// TestUpgradeSchedulesWhatIsDueLater goes back to the first schema and on again: secrets that were deleted or given an
// expiry before there were jobs get theirs, and a threshold that was over when they were written does not come late.
func TestUpgradeSchedulesWhatIsDueLater(t *testing.T) {
	const day = int64(24 * time.Hour / time.Microsecond)
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			o := storetest.Options(t, engine)
			if err := storetest.Open(t, o).Close(); err != nil {
				t.Fatal(err)
			}
			db, p := provider(t, o)
			if _, err := p.DownTo(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			add := func(path, expires, deleted, purge string) {
				t.Helper()
				_, err := db.ExecContext(t.Context(), `INSERT INTO secrets (tenant, path, secret_type, version, max_versions, metadata,
 created_at, updated_at, expires_at, deleted_at, purge_at) VALUES ('t', '`+path+`', 'kv', 1, 1, '{}', 0, 0, `+expires+`, `+deleted+`, `+purge+`)`)
				if err != nil {
					t.Fatal(err)
				}
			}
			add("plain", "NULL", "NULL", "NULL")
			add("deleted", fmt.Sprint(40*day), "5", "77")
			for path, life := range map[string]int64{"long": 40 * day, "month": 30 * day, "week": 8 * day, "days": 3 * day, "hour": day / 24} {
				add(path, fmt.Sprint(life), "NULL", "NULL")
			}
			if _, err := p.Up(context.WithoutCancel(t.Context())); err != nil {
				t.Fatal(err)
			}
			want := map[string]int64{
				"secret.purge deleted": 77,
				"secret.expiry long":   10 * day, "secret.expiry month": 23 * day, "secret.expiry week": day,
				"secret.expiry days": 2 * day, "secret.expiry hour": day / 24,
			}
			if diff := cmp.Diff(want, scheduled(t, db)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func provider(t *testing.T, o store.Options) (*sql.DB, *goose.Provider) {
	t.Helper()
	driver, address, dialect, folder := "pgx", o.DatabaseURL, goose.DialectPostgres, "postgres"
	if o.DataDir != "" {
		driver, address, dialect, folder = "sqlite", filepath.Join(o.DataDir, "scaivault.db"), goose.DialectSQLite3, "sqlite"
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	p, err := goose.NewProvider(dialect, db, os.DirFS(filepath.Join("migrations", folder)), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	return db, p
}

func scheduled(t *testing.T, db *sql.DB) map[string]int64 {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT kind, key, due_at, scheduled_at FROM jobs`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]int64{}
	for rows.Next() {
		var kind, key string
		var due, asked int64
		if err := rows.Scan(&kind, &key, &due, &asked); err != nil {
			t.Fatal(err)
		}
		if due != asked {
			t.Errorf("%s %s is due at %d and scheduled at %d", kind, key, due, asked)
		}
		all[kind+" "+key] = due
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
