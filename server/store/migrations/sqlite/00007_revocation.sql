-- +goose Up
-- The current revocation list of each authority that was ever asked for one: its number, the revision of the authority
-- that it tells of, and when it was made. The list itself is made from the certificates' rows by whoever serves it.
CREATE TABLE pki_lists (
    tenant      TEXT NOT NULL,
    ca_id       TEXT NOT NULL,
    number      BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    this_update BIGINT NOT NULL,
    PRIMARY KEY (ca_id)
) WITHOUT ROWID;

-- All that a list holds, so that making one reads nothing else.
DROP INDEX pki_certificates_revoked;
CREATE INDEX pki_certificates_revoked ON pki_certificates (tenant, ca_id, not_after, serial, revoked_at, reason) WHERE revoked_at IS NOT NULL;

-- +goose Down
DROP INDEX pki_certificates_revoked;
CREATE INDEX pki_certificates_revoked ON pki_certificates (tenant, ca_id, not_after) WHERE revoked_at IS NOT NULL;
DROP TABLE pki_lists;
