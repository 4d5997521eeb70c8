-- +goose Up

-- Recipes for values. fields is the recipe as JSON without static values; sealed is all of it, sealed like a
-- version of a secret: a static value is somebody's value.
CREATE TABLE secret_policies (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    policy_type TEXT NOT NULL,
    is_active   BIGINT NOT NULL,
    fields      TEXT NOT NULL,
    uid         TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    wrapped     BYTEA NOT NULL,
    sealed      BYTEA NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);
CREATE INDEX secret_policies_key ON secret_policies (tenant, key_version);

-- The recipe of a secret that was generated; NULL: none.
ALTER TABLE secrets ADD COLUMN secret_policy_id TEXT;
CREATE INDEX secrets_recipe ON secrets (tenant, secret_policy_id) WHERE secret_policy_id IS NOT NULL;

-- +goose Down
DROP INDEX secrets_recipe;
ALTER TABLE secrets DROP COLUMN secret_policy_id;
DROP TABLE secret_policies;
