package store

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
)

const (
	sqliteFile    = "scaivault.db"
	sqliteReaders = 8
	sqliteBatch   = 256
	beginWriting  = "BEGIN IMMEDIATE"
)

func sqliteDialect() *dialect {
	return &dialect{
		engine: SQLite, begin: beginWriting, lanes: 1, batch: sqliteBatch,
		open:       openSQLite,
		brief:      unwatched,
		bound:      func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
		intact:     func(conn *sql.Conn) bool { return conn.Raw(intactSQLite) == nil },
		harmless:   constraint,
		announce:   func(*batch) error { return nil },
		commit:     commitSQLite,
		migrator:   migrateSQLite,
		background: []func(context.Context, *DB){checkpoint},
	}
}

// unwatched drops what would make the driver watch ctx, which costs two goroutines a query.
func unwatched(ctx context.Context) context.Context {
	if ctx.Err() != nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

func openSQLite(_ context.Context, db *DB) (err error) {
	// fdatasync leaves out only the file's timestamps; where a platform has none, SQLite keeps to fsync.
	_, _ = sqlite.Fdatasync(true)
	dir, err := filepath.Abs(db.options.DataDir)
	if err != nil {
		return err
	}
	if db.lock, err = lockDir(dir); err != nil {
		return err
	}
	path, err := makeFile(dir, sqliteFile)
	if err != nil {
		return err
	}
	db.options.DataDir = dir
	if db.writers, err = pool(path, 1, "cache_size(-16384)"); err != nil {
		return err
	}
	db.readers, err = pool(path, sqliteReaders, "query_only(1)", "cache_size(-4096)")
	return err
}

// pool opens up to size connections that keep their prepared statements.
func pool(path string, size int, pragmas ...string) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn(path, pragmas...))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(caching{connector})
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// dsn names the database and what every connection to it needs: commits that are durable on return, a log
// that only checkpoint moves into the database, and that shrinks when it is started anew.
func dsn(path string, pragmas ...string) string {
	pragmas = append([]string{
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "temp_store(MEMORY)",
		"wal_autocheckpoint(0)", "journal_size_limit(67108864)",
	}, pragmas...)
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return u.String()
}

func migrateSQLite(_ context.Context, o Options) (*sql.DB, error) {
	return sql.Open("sqlite", dsn(filepath.Join(o.DataDir, sqliteFile)))
}

func commitSQLite(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, commitStatement)
	return err
}
