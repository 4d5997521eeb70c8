-- +goose Up
-- Private keys of certificates, of roles that say so. Each is sealed like a version of a secret.
CREATE TABLE pki_private_keys (
    tenant         TEXT NOT NULL,
    certificate_id TEXT NOT NULL,
    uid            TEXT NOT NULL,
    key_version    BIGINT NOT NULL,
    wrapped        BLOB NOT NULL,
    sealed         BLOB NOT NULL,
    PRIMARY KEY (tenant, certificate_id)
) WITHOUT ROWID;
CREATE INDEX pki_private_keys_key ON pki_private_keys (tenant, key_version);

-- +goose Down
DROP TABLE pki_private_keys;
