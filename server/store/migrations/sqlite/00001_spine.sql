-- +goose Up

-- One value per installation: instance_id, restore_epoch.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE partners (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- policy_revision grows with every change of a policy or a binding; event_position is the last
-- dense position given to an event of this tenant.
CREATE TABLE tenants (
    id              TEXT PRIMARY KEY,
    partner_id      TEXT NOT NULL REFERENCES partners (id),
    name            TEXT NOT NULL,
    policy_revision BIGINT NOT NULL DEFAULT 1,
    event_position  BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL
) WITHOUT ROWID;

-- Wrapped partner and tenant keys. kind: partner | tenant; state: active | unwrap | destroyed.
-- wrapped is NULL once destroyed. wraps counts what an active key has wrapped.
CREATE TABLE keys (
    kind           TEXT NOT NULL,
    owner_id       TEXT NOT NULL,
    version        BIGINT NOT NULL,
    parent_version BIGINT NOT NULL,
    state          TEXT NOT NULL,
    wrapped        BLOB,
    wraps          BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (kind, owner_id, version)
) WITHOUT ROWID;

-- The head of a secret. deleted_at NULL: live; purge_at: end of a soft delete's retention.
CREATE TABLE secrets (
    tenant             TEXT NOT NULL,
    path               TEXT NOT NULL,
    secret_type        TEXT NOT NULL,
    version            BIGINT NOT NULL,
    max_versions       BIGINT NOT NULL,
    metadata           TEXT NOT NULL,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    expires_at         BIGINT,
    deleted_at         BIGINT,
    purge_at           BIGINT,
    rotation_policy_id TEXT,
    PRIMARY KEY (tenant, path)
) WITHOUT ROWID;
CREATE INDEX secrets_purge ON secrets (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX secrets_expiry ON secrets (tenant, expires_at) WHERE expires_at IS NOT NULL;

-- One sealed value per version; the etag is derived from uid. key_version names the tenant key that wraps the data key.
CREATE TABLE secret_versions (
    tenant      TEXT NOT NULL,
    path        TEXT NOT NULL,
    version     BIGINT NOT NULL,
    uid         TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    wrapped     BLOB NOT NULL,
    sealed      BLOB NOT NULL,
    created_at  BIGINT NOT NULL,
    created_by  TEXT NOT NULL,
    PRIMARY KEY (tenant, path, version)
);
CREATE INDEX secret_versions_key ON secret_versions (tenant, key_version);

-- Value reads per UTC day (days since 1970-01-01), summed by the audit indexer.
CREATE TABLE secret_reads (
    tenant TEXT NOT NULL,
    path   TEXT NOT NULL,
    day    BIGINT NOT NULL,
    reads  BIGINT NOT NULL,
    last   BIGINT NOT NULL,
    PRIMARY KEY (tenant, path, day)
) WITHOUT ROWID;

CREATE TABLE policies (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    scope       TEXT NOT NULL,
    is_active   BIGINT NOT NULL,
    rules       TEXT NOT NULL,
    owner       TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) WITHOUT ROWID;
CREATE INDEX policies_owner ON policies (tenant, owner) WHERE owner <> '';

CREATE TABLE bindings (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,
    policy_id     TEXT NOT NULL,
    identity_type TEXT NOT NULL,
    identity_id   TEXT NOT NULL,
    expires_at    BIGINT,
    owner         TEXT NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, policy_id, identity_type, identity_id),
    FOREIGN KEY (tenant, policy_id) REFERENCES policies (tenant, id)
) WITHOUT ROWID;
CREATE INDEX bindings_identity ON bindings (tenant, identity_id);

-- Bearer tokens, personal (kind personal) and exchanged (kind exchanged): only their SHA-256 is kept.
CREATE TABLE tokens (
    id            TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL,
    hash          BLOB NOT NULL UNIQUE,
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    identity_type TEXT NOT NULL,
    identity_id   TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    roles         TEXT NOT NULL,
    cluster       TEXT NOT NULL DEFAULT '',
    namespace     TEXT NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    revoked_at    BIGINT,
    last_used_at  BIGINT
);
CREATE INDEX tokens_tenant ON tokens (tenant, id);
CREATE INDEX tokens_expiry ON tokens (expires_at);

-- Which Kubernetes ServiceAccount of which cluster becomes which identity. Empty namespace or
-- service_account matches every one; the most specific rule wins.
CREATE TABLE trust_rules (
    tenant          TEXT NOT NULL,
    id              TEXT NOT NULL,
    name            TEXT NOT NULL,
    cluster         TEXT NOT NULL,
    namespace       TEXT NOT NULL,
    service_account TEXT NOT NULL,
    identity        TEXT NOT NULL,
    scopes          TEXT NOT NULL,
    life_seconds    BIGINT NOT NULL,
    owner           TEXT NOT NULL DEFAULT '',
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) WITHOUT ROWID;
CREATE INDEX trust_rules_match ON trust_rules (cluster, namespace, service_account);

-- Who appends to the audit trail: one row per process start and lane. owner is the process that indexes and
-- signs the writer's chains: at first the writer's own, later whoever claims it after seen_at stood still.
-- closed: an ended writer of which everything is indexed and signed.
CREATE TABLE audit_writers (
    writer  TEXT PRIMARY KEY,
    owner   TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    closed  BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX audit_writers_open ON audit_writers (owner) WHERE closed = 0;

-- Encoded entries of one commit, chained per (tenant, writer): hash is the chain's state after the last entry.
-- first_at and last_at are the earliest and the latest time in the block.
CREATE TABLE audit_blocks (
    tenant    TEXT NOT NULL,
    writer    TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL,
    first_at  BIGINT NOT NULL,
    last_at   BIGINT NOT NULL,
    hash      BLOB NOT NULL,
    body      BLOB NOT NULL,
    PRIMARY KEY (tenant, writer, first_seq)
);

-- How far the indexer has come: entries up to indexed_seq are in audit_index, audit_activity and secret_reads;
-- of those up to target_seq the rows up to key step are. max_span bounds last_at - first_at in audit_index.
CREATE TABLE audit_chains (
    tenant      TEXT NOT NULL,
    writer      TEXT NOT NULL,
    indexed_seq BIGINT NOT NULL DEFAULT 0,
    target_seq  BIGINT NOT NULL DEFAULT 0,
    step        TEXT NOT NULL DEFAULT '',
    max_span    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, writer)
) WITHOUT ROWID;

-- Which blocks hold a term. A row is about a run of blocks of one chain that begins at first_seq; blocks lists
-- those that hold the term: '' every block, p:<path>, i:<identity>, a:<action>.
CREATE TABLE audit_index (
    tenant    TEXT NOT NULL,
    term      TEXT NOT NULL,
    last_at   BIGINT NOT NULL,
    writer    TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    first_at  BIGINT NOT NULL,
    blocks    BLOB NOT NULL,
    PRIMARY KEY (tenant, term, last_at, writer, first_seq)
) WITHOUT ROWID;

-- What each identity did to each path, summed per hour (hours since 1970-01-01): the source of all summaries.
CREATE TABLE audit_activity (
    tenant      TEXT NOT NULL,
    identity_id TEXT NOT NULL,
    hour        BIGINT NOT NULL,
    path        TEXT NOT NULL,
    action      TEXT NOT NULL,
    success     BIGINT NOT NULL,
    events      BIGINT NOT NULL,
    first_at    BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant, identity_id, hour, path, action, success)
) WITHOUT ROWID;
CREATE INDEX audit_activity_path ON audit_activity (tenant, path, hour);
CREATE INDEX audit_activity_hour ON audit_activity (tenant, hour);

-- Ed25519 signatures over heads of chains. id is the SHA-256 of body, which names the id before it.
CREATE TABLE audit_checkpoints (
    id        TEXT PRIMARY KEY,
    at        BIGINT NOT NULL,
    body      TEXT NOT NULL,
    key_id    TEXT NOT NULL,
    signature BLOB NOT NULL
);
CREATE INDEX audit_checkpoints_at ON audit_checkpoints (at);

-- Events of committed changes that have no position yet (PostgreSQL); seq is taken while the path's head row is locked.
CREATE TABLE outbox (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    event  TEXT NOT NULL
);

-- The event log: dense positions per tenant, in commit order.
CREATE TABLE events (
    tenant   TEXT NOT NULL,
    position BIGINT NOT NULL,
    id       TEXT NOT NULL,
    type     TEXT NOT NULL,
    path     TEXT NOT NULL,
    at       BIGINT NOT NULL,
    event    TEXT NOT NULL,
    PRIMARY KEY (tenant, position),
    UNIQUE (tenant, id)
);
CREATE INDEX events_at ON events (at);

-- The last position of each tenant's log and the event there. Only the log writes it: no change locks it.
CREATE TABLE event_heads (
    tenant   TEXT PRIMARY KEY,
    position BIGINT NOT NULL,
    event_id TEXT NOT NULL
) WITHOUT ROWID;

-- acked: every event up to this position has been acknowledged.
CREATE TABLE subscriptions (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,
    name          TEXT NOT NULL,
    identity_type TEXT NOT NULL,
    identity_id   TEXT NOT NULL,
    paths         TEXT NOT NULL,
    events        TEXT NOT NULL,
    delivery_type TEXT NOT NULL,
    buffer_size   BIGINT NOT NULL,
    acked         BIGINT NOT NULL,
    owner         TEXT NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX subscriptions_identity ON subscriptions (tenant, identity_id);

-- +goose Down
DROP TABLE subscriptions;
DROP TABLE event_heads;
DROP TABLE events;
DROP TABLE outbox;
DROP TABLE audit_checkpoints;
DROP TABLE audit_activity;
DROP TABLE audit_index;
DROP TABLE audit_chains;
DROP TABLE audit_blocks;
DROP TABLE audit_writers;
DROP TABLE trust_rules;
DROP TABLE tokens;
DROP TABLE bindings;
DROP TABLE policies;
DROP TABLE secret_reads;
DROP TABLE secret_versions;
DROP TABLE secrets;
DROP TABLE keys;
DROP TABLE tenants;
DROP TABLE partners;
DROP TABLE meta;
