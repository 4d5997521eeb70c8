-- +goose Up
-- Private keys of certificates, of roles that say so. Each is sealed like a version of a secret.
CREATE TABLE pki_private_keys (
    tenant         TEXT NOT NULL,
    certificate_id TEXT NOT NULL,
    uid            TEXT NOT NULL,
    key_version    BIGINT NOT NULL,
    wrapped        BYTEA NOT NULL,
    sealed         BYTEA NOT NULL,
    PRIMARY KEY (tenant, certificate_id)
);
CREATE INDEX pki_private_keys_key ON pki_private_keys (tenant, key_version);

-- +goose Down
DROP TABLE pki_private_keys;
