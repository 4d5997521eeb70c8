-- +goose Up
-- Where events are delivered to. A row is a webhook, or with subscription = 1 the receiver of the subscription that
-- has the same id; then name is that id, and what is delivered stands in the subscription. position is how far the
-- tenant's log has been turned into deliveries; revision grows with every change of what is selected. failures
-- counts deliveries that failed since the last success, troubled is 1 after an attempt that failed. lost counts
-- events that the log no longer held when the cursor came to them, the last of them found missing at lost_at.
CREATE TABLE webhooks (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    name         TEXT NOT NULL,
    subscription BIGINT NOT NULL,
    url          TEXT NOT NULL,
    events       TEXT NOT NULL,
    filters      TEXT NOT NULL,
    enabled      BIGINT NOT NULL,
    position     BIGINT NOT NULL,
    revision     BIGINT NOT NULL DEFAULT 1,
    failures     BIGINT NOT NULL DEFAULT 0,
    troubled     BIGINT NOT NULL DEFAULT 0,
    lost         BIGINT NOT NULL DEFAULT 0,
    lost_at      BIGINT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) WITHOUT ROWID;

-- What deliveries are signed with, sealed like the value of a secret. expires_at NULL: the one in use; otherwise the
-- one before it, which is kept until then.
CREATE TABLE signing_secrets (
    tenant      TEXT NOT NULL,
    webhook_id  TEXT NOT NULL,
    uid         TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    wrapped     BLOB NOT NULL,
    sealed      BLOB NOT NULL,
    expires_at  BIGINT,
    PRIMARY KEY (tenant, webhook_id, uid)
);
CREATE INDEX signing_secrets_key ON signing_secrets (tenant, key_version);

-- One event on its way to one webhook. due_at is when it may be tried next, NULL once it was a success or has failed;
-- an attempt moves it behind the attempt's lease and counts fence up. body is what is sent, '' once it is over.
CREATE TABLE deliveries (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,
    webhook_id    TEXT NOT NULL,
    event_id      TEXT NOT NULL,
    event_type    TEXT NOT NULL,
    path          TEXT NOT NULL,
    body          TEXT NOT NULL,
    status        TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    due_at        BIGINT,
    fence         BIGINT NOT NULL DEFAULT 0,
    attempts      BIGINT NOT NULL DEFAULT 0,
    attempted_at  BIGINT,
    response_code BIGINT,
    duration      BIGINT,
    problem       TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, webhook_id, event_id)
) WITHOUT ROWID;
CREATE INDEX deliveries_of ON deliveries (tenant, webhook_id, id);
CREATE INDEX deliveries_due ON deliveries (tenant, webhook_id, due_at) WHERE due_at IS NOT NULL;

-- As whom a subscription with webhook delivery is judged when its events are delivered; '' for polling.
ALTER TABLE subscriptions ADD COLUMN judged_as TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE subscriptions DROP COLUMN judged_as;
DROP TABLE deliveries;
DROP TABLE signing_secrets;
DROP TABLE webhooks;
