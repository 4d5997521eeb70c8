package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	postgresLanes   = 1  // more deadlock each other on hot rows: docs/adr/0003-one-writer-per-replica.md
	postgresBatch   = 64 // fewer than on SQLite: rows locked by a batch hold up other lanes
	postgresReaders = 16
	batchBound      = 30 * time.Second
	connectBound    = 10 * time.Second
	oldestServer    = 140000
)

func postgresDialect(o Options) *dialect {
	d := &dialect{
		engine: Postgres, begin: "BEGIN", forUpdate: " FOR UPDATE", batch: postgresBatch, lanes: o.Lanes,
		open:  openPostgres,
		brief: func(ctx context.Context) context.Context { return ctx },
		bound: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, batchBound)
		},
		intact:   func(conn *sql.Conn) bool { return conn.Raw(intactPostgres) == nil },
		harmless: func(error) bool { return false },
		announce: func(*batch) error { return nil },
		commit:   commitPostgres,
		migrator: migratePostgres,
	}
	if d.lanes <= 0 {
		d.lanes = postgresLanes
	}
	if o.DirectURL != "" {
		d.announce = announce
		d.background = append(d.background, listen)
	}
	return d
}

// connect makes a pool that works behind a transaction pooler: no statement is prepared under a name, and
// nothing is set on a session.
func connect(address string, size int) (*sql.DB, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, errors.New("database URL cannot be parsed") // err may hold the password
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.StatementCacheCapacity = 0
	config.DescriptionCacheCapacity = 0
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectBound
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

func openPostgres(ctx context.Context, db *DB) (err error) {
	if db.readers, err = connect(db.options.DatabaseURL, postgresReaders); err != nil {
		return err
	}
	if db.writers, err = connect(db.options.DatabaseURL, db.dialect.lanes); err != nil {
		return err
	}
	var version int
	var durable string
	err = db.readers.QueryRowContext(ctx,
		"SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit')").Scan(&version, &durable)
	if err != nil {
		return err
	}
	if version < oldestServer {
		return fmt.Errorf("PostgreSQL 14 or newer is needed, this is version %d", version/10000)
	}
	if durable == "off" {
		db.options.Log.Warn("synchronous_commit is off: acknowledged writes can be lost when the server crashes")
	}
	return nil
}

func migratePostgres(_ context.Context, o Options) (*sql.DB, error) { return connect(o.DatabaseURL, 3) }

// native gives the pgx connection under a database/sql one.
func native(c any) *pgx.Conn { return c.(*stdlib.Conn).Conn() }

func intactPostgres(c any) error {
	if native(c).PgConn().TxStatus() != 'T' {
		return errBroken
	}
	return nil
}

// commitPostgres commits. An answer from the server that it refused is certain; a connection that broke, or
// that the server ended, before the answer is not.
func commitPostgres(ctx context.Context, conn *sql.Conn) error {
	return conn.Raw(func(c any) error {
		tag, err := native(c).Exec(ctx, commitStatement)
		var refused *pgconn.PgError
		switch {
		case err == nil && tag.String() == commitStatement:
			return nil
		case err == nil: // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK
			return errBroken
		case errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR":
			return err
		}
		return fmt.Errorf("%w: %w", errUncertain, err)
	})
}

// listening is the PostgreSQL channel that carries the names of all wake-up channels.
const listening = "scaivault"

// announce sends the batch's wake-ups with its COMMIT. A name follows the sender's origin, whose length is
// always the same, so that nobody wakes twice by his own call.
func announce(b *batch) error {
	for _, name := range b.wakes {
		if _, err := b.conn.ExecContext(b.ctx, "SELECT pg_notify($1, $2)", listening, b.db.origin+name); err != nil {
			return fmt.Errorf("notify: %w", err)
		}
	}
	return nil
}

// listen passes other replicas' wake-ups on until ctx ends. What was sent while it was not connected is
// lost, so each new connection wakes everybody.
func listen(ctx context.Context, db *DB) {
	const shortest, longest = 100 * time.Millisecond, 5 * time.Second
	pause := shortest
	for ctx.Err() == nil {
		connected, err := hear(ctx, db)
		if ctx.Err() != nil {
			return
		}
		db.options.Log.Warn("listening for wake-ups stopped", slog.Any("error", err))
		if connected {
			pause = shortest
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}

func hear(ctx context.Context, db *DB) (connected bool, err error) {
	config, err := pgx.ParseConfig(db.options.DirectURL)
	if err != nil {
		return false, errors.New("direct URL cannot be parsed") // err may hold the password
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "LISTEN "+listening); err != nil {
		return false, err
	}
	db.wakes.all()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return true, err
		}
		if name, own := strings.CutPrefix(n.Payload, db.origin); !own {
			db.wakes.wake([]string{name[min(len(name), len(db.origin)):]})
		}
	}
}
