package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/server/store"
)

const (
	insertJobs = `INSERT INTO jobs (kind, tenant, key, due_at, scheduled_at, attempt, failures) VALUES `
	moveJobs   = `
ON CONFLICT (kind, tenant, key) DO UPDATE SET due_at = excluded.due_at, scheduled_at = excluded.scheduled_at, attempt = excluded.attempt, failures = 0`
	upsertJob = insertJobs + `($1, $2, $3, $4, $4, $5, 0)` + moveJobs
	insertJob = `INSERT INTO jobs (kind, tenant, key, due_at, scheduled_at, attempt, failures) VALUES ($1, $2, $3, $4, $4, $5, 0)
ON CONFLICT (kind, tenant, key) DO NOTHING`
	deleteJob = `DELETE FROM jobs WHERE kind = $1 AND tenant = $2 AND key = $3`
	finishJob = deleteJob + ` AND attempt = $4`
	repeatJob = `UPDATE jobs SET due_at = $5, scheduled_at = $5, attempt = attempt + 1, failures = 0
WHERE kind = $1 AND tenant = $2 AND key = $3 AND attempt = $4`
	// putBack is of a claim that came to nothing; scheduled_at stays.
	putBack = `UPDATE jobs SET due_at = $5, attempt = attempt + 1, failures = failures + $6
WHERE kind = $1 AND tenant = $2 AND key = $3 AND attempt = $4`

	// claimJobs stands round the engine's way to lock rows. What is claimed is chosen once (MATERIALIZED):
	// a plan that chose again for each row would claim more than the limit.
	claimJobs = `WITH due AS MATERIALIZED (SELECT tenant, key FROM jobs WHERE kind = $1 AND due_at <= $2 ORDER BY due_at LIMIT $4%s)
UPDATE jobs SET due_at = $3, attempt = attempt + 1 WHERE kind = $1 AND (tenant, key) IN (SELECT tenant, key FROM due)
RETURNING tenant, key, scheduled_at, attempt, failures`

	firstDue     = `SELECT due_at FROM jobs WHERE kind = $1 ORDER BY due_at LIMIT 1`
	databaseTime = `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`

	// pullJobs makes due what a claim or a failure moved behind all leases and back-offs, though its time has come.
	pullJobs = `UPDATE jobs SET due_at = $2 WHERE kind = $1 AND due_at > $3 AND scheduled_at <= $2`
	// pullSingle does so for the one job of a kind with Every, whose own time cannot be so far away.
	pullSingle = `UPDATE jobs SET due_at = $2, scheduled_at = $2 WHERE kind = $1 AND due_at > $3`
)

// clock is the time by which jobs are due.
func (q *Queue) clock(ctx context.Context) (time.Time, error) {
	if q.now != nil {
		return q.now(), nil
	}
	var at int64
	if err := q.db.QueryRow(ctx, databaseTime).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("time of the database: %w", err)
	}
	return time.UnixMicro(at), nil
}

// first is when the kind's first job is due; zero: it has none.
func (q *Queue) first(ctx context.Context, kind string) (time.Time, error) {
	var at int64
	err := q.db.QueryRow(ctx, firstDue, kind).Scan(&at)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("first job that is due: %w", err)
	}
	return time.UnixMicro(at), nil
}

// claim takes up to limit jobs that are due at now. Other replicas pass over the rows that it takes.
func (q *Queue) claim(ctx context.Context, k Kind, now time.Time, limit int) ([]Job, error) {
	var jobs []Job
	err := q.db.Update(ctx, func(tx *store.Tx) (err error) {
		rows, err := tx.Query(q.claimQuery(), k.Name, now.UnixMicro(), now.Add(k.Lease).UnixMicro(), limit)
		if err != nil {
			return err
		}
		jobs, err = claimed(rows, k.Name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	return jobs, nil
}

func (q *Queue) claimQuery() string {
	lock := q.db.ForUpdate()
	if lock != "" {
		lock += " SKIP LOCKED"
	}
	return fmt.Sprintf(claimJobs, lock)
}

func claimed(rows *sql.Rows, kind string) ([]Job, error) {
	defer func() { _ = rows.Close() }()
	var jobs []Job
	for rows.Next() {
		j := Job{Kind: kind}
		var at int64
		if err := rows.Scan(&j.Tenant, &j.Key, &at, &j.Attempt, &j.Failures); err != nil {
			return nil, err
		}
		j.Due = time.UnixMicro(at)
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// giveBack makes a claimed job due at a time; failures is what to add to its count. A lost claim changes nothing.
func (q *Queue) giveBack(ctx context.Context, j Job, at time.Time, failures int) error {
	return q.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(putBack, j.Kind, j.Tenant, j.Key, j.Attempt, at.UnixMicro(), failures)
		return err
	})
}

// repeat ends a run of a kind with Every. A lost claim changes nothing.
func (q *Queue) repeat(ctx context.Context, j Job, at time.Time) error {
	return q.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(repeatJob, j.Kind, j.Tenant, j.Key, j.Attempt, at.UnixMicro())
		return err
	})
}

// pull makes due what claims and failures moved beyond a horizon, because a clock was wrong or a process ended, and
// makes the one job of a kind with Every.
func (q *Queue) pull(ctx context.Context, k Kind, now, horizon time.Time) error {
	query := pullJobs
	if k.Every != 0 {
		query = pullSingle
	}
	return q.db.Update(ctx, func(tx *store.Tx) error {
		if k.Every != 0 {
			if _, err := tx.Exec(insertJob, k.Name, "", "", now.UnixMicro(), newFence()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(query, k.Name, now.UnixMicro(), horizon.UnixMicro())
		return err
	})
}
