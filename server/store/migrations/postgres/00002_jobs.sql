-- +goose Up
-- Work that is due at a time. scheduled_at is the time that was asked for; due_at is when the row may be claimed
-- next, which a claim moves behind its lease and a failure behind its pause. attempt is the fence of the last claim.
CREATE TABLE jobs (
    kind         TEXT NOT NULL,
    tenant       TEXT NOT NULL,
    key          TEXT COLLATE "C" NOT NULL,
    due_at       BIGINT NOT NULL,
    scheduled_at BIGINT NOT NULL,
    attempt      BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    PRIMARY KEY (kind, tenant, key)
);
CREATE INDEX jobs_due ON jobs (kind, due_at);

-- When a secret's expiry is announced beforehand: the thresholds as they were written, longest first; '' is the default.
ALTER TABLE secrets ADD COLUMN notify_before TEXT NOT NULL DEFAULT '';

-- From here on a deleted secret is purged, and an expiry announced, by a job.
INSERT INTO jobs (kind, tenant, key, due_at, scheduled_at, attempt, failures)
SELECT 'secret.purge', tenant, path, purge_at, purge_at, 0, 0 FROM secrets WHERE purge_at IS NOT NULL;
INSERT INTO jobs (kind, tenant, key, due_at, scheduled_at, attempt, failures)
SELECT 'secret.expiry', tenant, path, expires_at - 2592000000000, expires_at - 2592000000000, 0, 0
FROM secrets WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
DROP INDEX secrets_purge;

-- +goose Down
CREATE INDEX secrets_purge ON secrets (purge_at) WHERE purge_at IS NOT NULL;
ALTER TABLE secrets DROP COLUMN notify_before;
DROP TABLE jobs;
