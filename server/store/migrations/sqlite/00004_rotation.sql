-- +goose Up
-- From then on a version is not readable; NULL: as long as it is kept. The newest version has none.
ALTER TABLE secret_versions ADD COLUMN retires_at BIGINT;

-- How often the secrets of a policy are rotated, and how: settings is JSON, as people wrote it; secret_policy_id
-- stands beside it, so that who deletes one finds who uses it. A policy that is
-- being deleted has deleted_at until the last of its secrets is detached.
CREATE TABLE rotation_policies (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    settings         TEXT NOT NULL,
    secret_policy_id TEXT NOT NULL,
    owner       TEXT NOT NULL,
    is_active   BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    deleted_at  BIGINT,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX rotation_policies_name ON rotation_policies (tenant, name);
CREATE INDEX rotation_policies_recipe ON rotation_policies (tenant, secret_policy_id) WHERE secret_policy_id <> '';

-- A secret under a policy. listed is 1 while the secret is there and its policy active. base_at is what its interval
-- counts from; next_at when it is to be rotated, due_at when that should have been, where a window was missed; warned
-- the smallest threshold (microseconds) already announced for it; announced what was said since: 1 due, 2 overdue.
-- pending is the history item that waits for a write. identity is the caller who attached it, as JSON.
CREATE TABLE rotation_assignments (
    tenant           TEXT NOT NULL,
    path             TEXT NOT NULL,
    policy_id        TEXT NOT NULL,
    attached_by      TEXT NOT NULL,
    identity         TEXT NOT NULL,
    state            TEXT NOT NULL,
    listed           BIGINT NOT NULL,
    base_at          BIGINT NOT NULL,
    next_at          BIGINT NOT NULL,
    due_at           BIGINT NOT NULL,
    last_at          BIGINT,
    warned           BIGINT NOT NULL,
    announced        BIGINT NOT NULL,
    pending          TEXT NOT NULL,
    reason           TEXT NOT NULL,
    failures         BIGINT NOT NULL,
    retry_at         BIGINT,
    error_code       TEXT NOT NULL,
    error_message    TEXT NOT NULL,
    previous_version BIGINT NOT NULL,
    current_version  BIGINT NOT NULL,
    grace_ends       BIGINT,
    created_at       BIGINT NOT NULL,
    PRIMARY KEY (tenant, path)
) WITHOUT ROWID;
CREATE INDEX rotation_assignments_due ON rotation_assignments (tenant, due_at, path) WHERE listed = 1;
CREATE INDEX rotation_assignments_policy_due ON rotation_assignments (tenant, policy_id, due_at, path) WHERE listed = 1;
CREATE INDEX rotation_assignments_policy ON rotation_assignments (tenant, policy_id, path);

-- Rotations that were done, tried or asked for.
CREATE TABLE rotation_history (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,
    policy_id     TEXT NOT NULL,
    path          TEXT NOT NULL,
    status        TEXT NOT NULL,
    reason        TEXT NOT NULL,
    identity      TEXT NOT NULL,
    old_version   BIGINT NOT NULL,
    new_version   BIGINT NOT NULL,
    grace_ends    BIGINT,
    error_code    TEXT NOT NULL,
    error_message TEXT NOT NULL,
    attempt       BIGINT NOT NULL,
    retry_at      BIGINT,
    due_at        BIGINT,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX rotation_history_policy ON rotation_history (tenant, policy_id, created_at, id);

-- +goose Down
DROP TABLE rotation_history;
DROP TABLE rotation_assignments;
DROP TABLE rotation_policies;
ALTER TABLE secret_versions DROP COLUMN retires_at;
