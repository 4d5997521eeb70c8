package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrations holds one folder per engine with files of equal names.
//
//go:embed migrations
var migrations embed.FS

const (
	lockTry   = 250 * time.Millisecond
	lockTries = 1200 // five minutes
)

// migrate brings the database to the newest schema this program knows. Processes that start together take
// turns by a row in a table, because locks of a session do not survive a transaction pooler.
func migrate(ctx context.Context, d *dialect, o Options) (err error) {
	pool, err := d.migrator(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	files, err := fs.Sub(migrations, "migrations/"+string(d.engine))
	if err != nil {
		return err
	}
	dialect, options, err := gooseFor(d.engine)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, pool, files, options...)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	have, know := applied(ctx, pool), sources[len(sources)-1].Version
	switch {
	case have > know: // an old program does not understand the schema
		return fmt.Errorf("%w: version %d, this program knows %d", ErrNewer, have, know)
	case have == know: // without the lock, which a process that was killed may hold for half a minute
		return nil
	}
	_, err = p.Up(ctx)
	return err
}

// applied is the version of the schema; 0 where there is none, or it cannot be read, which Up will explain.
func applied(ctx context.Context, pool *sql.DB) (version int64) {
	if pool.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version").Scan(&version) != nil {
		return 0
	}
	return version
}

func gooseFor(engine Engine) (goose.Dialect, []goose.ProviderOption, error) {
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if engine == SQLite {
		return goose.DialectSQLite3, options, nil // the directory's lock keeps others out
	}
	locker, err := lock.NewPostgresTableLocker(lock.WithTableLockTimeout(lockTry, lockTries))
	return goose.DialectPostgres, append(options, goose.WithLocker(locker)), err
}
