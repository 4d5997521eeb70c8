package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestStartGivesEmptyDatabases has each of several tests, one after another and two at once, find a
// database without anybody's tables.
func TestStartGivesEmptyDatabases(t *testing.T) {
	for range 3 {
		t.Run("", func(t *testing.T) {
			first, second := Start(t), Start(t)
			if first == second {
				t.Fatal("two tests got one database")
			}
			for _, address := range []string{first, second} {
				conn, err := pgx.Connect(t.Context(), address)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Exec(t.Context(), "CREATE TABLE leftover (n BIGINT)"); err != nil {
					t.Error(err)
				}
				// left open on purpose: the database is emptied all the same
			}
		})
	}
}

func TestVersion(t *testing.T) {
	for path, want := range map[string]int{
		"/usr/lib/postgresql/15/bin/initdb": 15, "/usr/lib/postgresql/9/bin/initdb": 9, "/usr/lib/postgresql/x/bin/initdb": 0,
	} {
		if got := version(path); got != want {
			t.Errorf("%s is %d, want %d", path, got, want)
		}
	}
}
