package vault

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx
	_ "modernc.org/sqlite"             // driver sqlite

	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/store"
)

// Database is a connection of the test's own to a server's database: to see what is really there, and to make
// single statements fail as a full disk does.
type Database struct {
	Engine store.Engine

	tb testing.TB
	db *sql.DB
}

// Database connects. The server must have been started once.
func (s *Composed) Database() *Database {
	s.tb.Helper()
	return OpenDatabase(s.tb, s.Config)
}

// OpenDatabase connects to the database of a configuration.
func OpenDatabase(tb testing.TB, c server.Config) *Database {
	tb.Helper()
	engine, driver, address := store.Postgres, "pgx", c.DatabaseURL
	if c.DataDir != "" {
		engine, driver = store.SQLite, "sqlite"
		address = "file:" + filepath.Join(c.DataDir, "scaivault.db") + "?_pragma=busy_timeout(20000)"
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = db.Close() })
	return &Database{Engine: engine, tb: tb, db: db}
}

// Exec runs statements.
func (d *Database) Exec(statements ...string) {
	d.tb.Helper()
	for _, s := range statements {
		if _, err := d.db.Exec(s); err != nil {
			d.tb.Fatalf("%s: %v", s, err)
		}
	}
}

// Texts gives the rows of a query, every value as text.
func (d *Database) Texts(query string, args ...any) []string {
	d.tb.Helper()
	rows, err := d.db.Query(query, args...)
	if err != nil {
		d.tb.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		d.tb.Fatal(err)
	}
	var out []string
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			d.tb.Fatal(err)
		}
		texts := make([]string, len(columns))
		for i, v := range values {
			texts[i] = text(v)
		}
		out = append(out, strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		d.tb.Fatal(err)
	}
	return out
}

func text(v any) string {
	if b, ok := v.([]byte); ok {
		return fmt.Sprintf("%x", b)
	}
	return fmt.Sprint(v)
}

// Tables lists the tables of the schema.
func (d *Database) Tables() []string {
	d.tb.Helper()
	query := `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	if d.Engine == store.SQLite {
		query = `SELECT name FROM sqlite_schema WHERE type = 'table'`
	}
	tables := slices.DeleteFunc(d.Texts(query), func(t string) bool {
		return strings.HasPrefix(t, "chaos_") || strings.HasPrefix(t, "sqlite_") || strings.Contains(t, "goose")
	})
	slices.Sort(tables)
	return tables
}

// Background tells which tables change without a call, because the server tidies up behind it.
func Background(table string) bool {
	switch table {
	case "audit_index", "audit_activity", "audit_checkpoints", "audit_chains", "audit_writers", "secret_reads", "meta":
		return true
	}
	return false
}

// jobsTable holds, besides what calls have scheduled, the server's own jobs, which belong to no tenant.
const jobsTable = "jobs"

// Rows is everything in the tables that only calls change, but the audit trail, which every look lengthens.
func (d *Database) Rows() map[string][]string {
	d.tb.Helper()
	out := map[string][]string{}
	for _, table := range d.Tables() {
		switch {
		case Background(table), table == "audit_blocks":
			continue
		case table == jobsTable:
			out[table] = d.Texts("SELECT * FROM " + table + " WHERE tenant <> ''")
		case table == "tokens": // but their last use, which is written behind calls
			out[table] = d.Texts("SELECT id, tenant, hash, kind, name, identity_type, identity_id, scopes, roles, cluster, namespace, created_at, expires_at, revoked_at FROM tokens")
		default:
			out[table] = d.Texts("SELECT * FROM " + table)
		}
		slices.Sort(out[table])
	}
	return out
}

// Entries counts the audit entries.
func (d *Database) Entries() string {
	d.tb.Helper()
	return d.Texts(`SELECT COALESCE(SUM(last_seq - first_seq + 1), 0) FROM audit_blocks`)[0]
}

// Settle waits until every committed event has its position.
func (d *Database) Settle(c Caller) {
	d.tb.Helper()
	c.Eventually("the outbox is empty", func() bool { return d.Texts(`SELECT COUNT(*) FROM outbox`)[0] == "0" })
}

// Tenant makes a tenant of a partner, which no route does yet.
func (d *Database) Tenant(id, partner string) {
	d.tb.Helper()
	d.Exec(`INSERT INTO partners (id, name, created_at) SELECT '`+partner+`', '`+partner+`', 0 WHERE NOT EXISTS (SELECT 1 FROM partners WHERE id = '`+partner+`')`,
		`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ('`+id+`', '`+partner+`', '`+id+`', 0)`)
}

// RowsOf is everything that belongs to a tenant, but what the server adds behind calls and to its audit trail.
func (d *Database) RowsOf(tenant string) map[string][]string {
	d.tb.Helper()
	out := map[string][]string{}
	for _, table := range d.Tables() {
		if Background(table) || table == "audit_blocks" || table == "partners" || table == "keys" {
			continue
		}
		column := "tenant"
		if table == "tenants" {
			column = "id"
		}
		out[table] = d.Texts("SELECT * FROM "+table+" WHERE "+column+" = $1", tenant)
		slices.Sort(out[table])
	}
	return out
}
