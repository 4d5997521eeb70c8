package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestMigrationsHaveEqualNames(t *testing.T) {
	names := func(engine store.Engine) (names []string) {
		files, err := filepath.Glob(filepath.Join("migrations", string(engine), "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(err, files)
		}
		for _, f := range files {
			names = append(names, filepath.Base(f))
		}
		return names
	}
	if diff := cmp.Diff(names(store.SQLite), names(store.Postgres)); diff != "" {
		t.Errorf("(-sqlite +postgres)\n%s", diff)
	}
}

// columns lists table.column type null, in the words of this package; and indexes table.index.
const (
	columnsLite = `SELECT m.name || '.' || c.name || ' ' || c.type || CASE WHEN c."notnull" = 1 OR c.pk > 0 THEN '' ELSE ' NULL' END
		FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE 'goose%'
		UNION ALL SELECT 'index ' || tbl_name || '.' || name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite%'`
	columnsPG = `SELECT table_name || '.' || column_name || ' ' || data_type || CASE is_nullable WHEN 'YES' THEN ' NULL' ELSE '' END
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'
		UNION ALL SELECT 'index ' || tablename || '.' || indexname FROM pg_indexes
		WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint) AND tablename NOT LIKE 'goose%'`
)

func TestMigrationsMakeEqualTables(t *testing.T) {
	got := map[store.Engine][]string{}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		query := columnsLite
		if db.Engine() == store.Postgres {
			query = columnsPG
		}
		rows, err := db.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		words := strings.NewReplacer("bytea", "BLOB", "text", "TEXT", "bigint", "BIGINT", "INTEGER", "BIGINT")
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			table, kind, _ := strings.Cut(line, " ")
			got[db.Engine()] = append(got[db.Engine()], table+" "+words.Replace(kind))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got[db.Engine()])
	})
	if len(got[store.SQLite]) < 100 {
		t.Fatalf("only %d columns", len(got[store.SQLite]))
	}
	if diff := cmp.Diff(got[store.SQLite], got[store.Postgres]); diff != "" {
		t.Errorf("(-sqlite +postgres)\n%s", diff)
	}
}

func TestReopenKeepsIdentity(t *testing.T) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			o := storetest.Options(t, engine)
			db := storetest.Open(t, o)
			first := db.Identity()
			if db.Engine() != engine || db.Exclusive() != (engine == store.SQLite) || (db.ForUpdate() == "") != (engine == store.SQLite) {
				t.Errorf("engine %s, exclusive %v, for update %q", db.Engine(), db.Exclusive(), db.ForUpdate())
			}
			if err := errors.Join(put(t, db, "row", "x"), put(t, db, "restore_epoch", "7"), db.Close()); err != nil {
				t.Fatal(err)
			}
			again := storetest.Open(t, o)
			first.RestoreEpoch = 7
			if diff := cmp.Diff(first, again.Identity()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			var value string
			if err := again.QueryRow(t.Context(), "SELECT value FROM meta WHERE name = 'row'").Scan(&value); err != nil || value != "x" {
				t.Errorf("%q, %v", value, err)
			}
			err := again.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, $1)", true)
				return err
			})
			if err := errors.Join(err, again.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(t.Context(), o); !errors.Is(err, store.ErrNewer) {
				t.Errorf("database of a newer program: %v", err)
			}
		})
	}
}

func TestOpenNeedsOnePlace(t *testing.T) {
	for _, o := range []store.Options{{}, {DataDir: t.TempDir(), DatabaseURL: "postgres://"}} {
		if _, err := store.Open(t.Context(), o); err == nil {
			t.Errorf("opened %+v", o)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Options{DataDir: file}); err == nil {
		t.Error("opened a file as a directory")
	}
}
