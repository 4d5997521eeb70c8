-- +goose Up
-- Certificate authorities. certificate is DER; the private key is sealed like a version of a secret. revision grows with
-- every revocation of a certificate that the authority signed. An authority that is revoked revokes those below it, and
-- with them every certificate of all of them: a certificate is revoked when its own row or its authority's says so.
CREATE TABLE pki_authorities (
    tenant      TEXT NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    ca_type     TEXT NOT NULL,
    parent_id   TEXT NOT NULL,
    serial      TEXT NOT NULL,
    certificate BYTEA NOT NULL,
    not_after   BIGINT NOT NULL,
    revoked_at  BIGINT,
    reason      TEXT NOT NULL DEFAULT '',
    revision    BIGINT NOT NULL DEFAULT 1,
    uid         TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    wrapped     BYTEA NOT NULL,
    sealed      BYTEA NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name),
    UNIQUE (id)
);
CREATE INDEX pki_authorities_parent ON pki_authorities (tenant, parent_id) WHERE parent_id <> '';
CREATE INDEX pki_authorities_key ON pki_authorities (tenant, key_version);

-- What may be issued: settings is JSON, as people wrote it.
CREATE TABLE pki_roles (
    tenant     TEXT NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    ca_id      TEXT NOT NULL,
    settings   TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- Every certificate that was issued. Private keys are not in it.
CREATE TABLE pki_certificates (
    tenant      TEXT NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    serial      TEXT NOT NULL,
    ca_id       TEXT NOT NULL,
    role        TEXT NOT NULL,
    common_name TEXT NOT NULL,
    certificate BYTEA NOT NULL,
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    revoked_at  BIGINT,
    reason      TEXT NOT NULL DEFAULT '',
    replaces    TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX pki_certificates_serial ON pki_certificates (tenant, serial);
CREATE INDEX pki_certificates_expiry ON pki_certificates (tenant, not_after, id);
CREATE INDEX pki_certificates_of ON pki_certificates (tenant, ca_id, not_after, id);
CREATE INDEX pki_certificates_revoked ON pki_certificates (tenant, ca_id, not_after) WHERE revoked_at IS NOT NULL;

-- +goose Down
DROP TABLE pki_certificates;
DROP TABLE pki_roles;
DROP TABLE pki_authorities;
