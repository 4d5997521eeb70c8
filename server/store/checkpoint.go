package store

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"time"
)

const (
	checkpointEvery = time.Second
	largeLog        = 16384 // pages of 4 KiB: 64 MiB
	smallLog        = 256   // pages: 1 MiB
)

// checkpointer moves committed pages from SQLite's write-ahead log into the database, beside the writer.
type checkpointer struct {
	db    *DB
	pool  *sql.DB
	large int64 // pages from which on the writer pauses
	pages int64 // length of the log when last looked at
	seen  int64 // commits at that time
}

// checkpoint works until ctx ends, and then empties the log, which the next start would have to read.
func checkpoint(ctx context.Context, db *DB) {
	c := &checkpointer{db: db, large: largeLog}
	if err := c.open(ctx); err != nil {
		db.options.Log.Error("checkpoints are off", slog.Any("error", err))
		return
	}
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			c.report(c.move(context.WithoutCancel(ctx), "TRUNCATE"))
			c.report(c.pool.Close())
			return
		case <-tick.C:
			c.report(c.step(context.WithoutCancel(ctx)))
		}
	}
}

// open takes a connection that waits for readers only briefly: while it waits, it holds up the writer.
func (c *checkpointer) open(ctx context.Context) (err error) {
	if c.pool, err = pool(filepath.Join(c.db.options.DataDir, sqliteFile), 1); err != nil {
		return err
	}
	_, err = c.pool.ExecContext(ctx, "PRAGMA busy_timeout = 100")
	return err
}

// step moves what can be moved now. Under load the log never quite empties that way and would grow without
// end, so once it is large the writer pauses while the last pages move, and begins the log anew. When
// nothing is being written, a log worth the effort is cut to nothing.
func (c *checkpointer) step(ctx context.Context) error {
	commits := c.db.counters.commits.Load()
	if commits == c.seen {
		if c.pages < smallLog {
			return nil
		}
		return c.move(ctx, "TRUNCATE")
	}
	c.seen = commits
	if err := c.move(ctx, "PASSIVE"); err != nil || c.pages < c.large {
		return err
	}
	c.db.pause.Lock()
	defer c.db.pause.Unlock()
	return c.move(ctx, "RESTART")
}

// move runs a checkpoint and notes how long the log is after it.
func (c *checkpointer) move(ctx context.Context, mode string) error {
	var busy, moved int64
	return c.pool.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &c.pages, &moved)
}

func (c *checkpointer) report(err error) {
	if err != nil {
		c.db.options.Log.Warn("checkpoint", slog.Any("error", err))
	}
}
