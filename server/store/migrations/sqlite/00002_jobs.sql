-- +goose Up
-- Work that is due at a time. scheduled_at is the time that was asked for; due_at is when the row may be claimed
-- next, which a claim moves behind its lease and a failure behind its pause. attempt is the fence of the last claim.
CREATE TABLE jobs (
    kind         TEXT NOT NULL,
    tenant       TEXT NOT NULL,
    key          TEXT NOT NULL,
    due_at       BIGINT NOT NULL,
    scheduled_at BIGINT NOT NULL,
    attempt      BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    PRIMARY KEY (kind, tenant, key)
) WITHOUT ROWID;
CREATE INDEX jobs_due ON jobs (kind, due_at);

-- notify_before: when a secret's expiry is announced beforehand, longest first. notice_at: when it is announced next;
-- NULL: it does not expire, or all was said. Thresholds that were over at the last change are not announced late.
ALTER TABLE secrets ADD COLUMN notify_before TEXT NOT NULL DEFAULT '30d,7d,1d';
ALTER TABLE secrets ADD COLUMN notice_at BIGINT;
UPDATE secrets SET notice_at = CASE
    WHEN expires_at - 2592000000000 > updated_at THEN expires_at - 2592000000000
    WHEN expires_at - 604800000000 > updated_at THEN expires_at - 604800000000
    WHEN expires_at - 86400000000 > updated_at THEN expires_at - 86400000000
    ELSE expires_at END
WHERE expires_at IS NOT NULL;

-- From here on a deleted secret is purged, and an expiry announced, by a job.
INSERT INTO jobs (kind, tenant, key, due_at, scheduled_at, attempt, failures)
SELECT 'secret.purge', tenant, path, purge_at, purge_at, 0, 0 FROM secrets WHERE purge_at IS NOT NULL;
INSERT INTO jobs (kind, tenant, key, due_at, scheduled_at, attempt, failures)
SELECT 'secret.expiry', tenant, path, notice_at, notice_at, 0, 0 FROM secrets WHERE notice_at IS NOT NULL AND deleted_at IS NULL;
DROP INDEX secrets_purge;
CREATE INDEX bindings_expiry ON bindings (expires_at) WHERE expires_at IS NOT NULL;

-- +goose Down
DROP INDEX bindings_expiry;
CREATE INDEX secrets_purge ON secrets (purge_at) WHERE purge_at IS NOT NULL;
ALTER TABLE secrets DROP COLUMN notice_at;
ALTER TABLE secrets DROP COLUMN notify_before;
DROP TABLE jobs;
