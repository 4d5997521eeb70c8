-- +goose Up
-- Certificates of authorities outside of the vault that a tenant trusts. certificate is DER.
CREATE TABLE pki_trust_anchors (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    certificate BLOB NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) WITHOUT ROWID;

-- Keys and certificates of authorities that rotate, one row each from the first rotation on. The key of the active one
-- stands in pki_authorities with its certificate, that of a retired one nowhere: then sealed is empty. Between
-- activated_at and deactivated_at it signed.
CREATE TABLE pki_slots (
    tenant         TEXT NOT NULL,
    uid            TEXT NOT NULL,
    ca_id          TEXT NOT NULL,
    state          TEXT NOT NULL,
    serial         TEXT NOT NULL,
    certificate    BLOB NOT NULL,
    not_after      BIGINT NOT NULL,
    key_version    BIGINT NOT NULL,
    wrapped        BLOB NOT NULL,
    sealed         BLOB NOT NULL,
    created_at     BIGINT NOT NULL,
    activated_at   BIGINT,
    deactivated_at BIGINT,
    PRIMARY KEY (tenant, uid)
) WITHOUT ROWID;
CREATE INDEX pki_slots_of ON pki_slots (tenant, ca_id, created_at);
CREATE INDEX pki_slots_key ON pki_slots (tenant, key_version);

-- The authorities outside of the vault that stand above one of its own, by the uid of that one's key: DER, one after the
-- other, from the issuer to the root.
CREATE TABLE pki_above (
    tenant       TEXT NOT NULL,
    uid          TEXT NOT NULL,
    certificates BLOB NOT NULL,
    PRIMARY KEY (tenant, uid)
) WITHOUT ROWID;

-- Keys that wait for a certificate of an authority outside of the vault. ca_id is the authority's id that is, or that is
-- to be; max_path_length is -1 where any will do.
CREATE TABLE pki_ca_requests (
    tenant          TEXT NOT NULL,
    id              TEXT NOT NULL,
    name            TEXT NOT NULL,
    ca_id           TEXT NOT NULL,
    renewal         BIGINT NOT NULL,
    max_path_length BIGINT NOT NULL,
    request         BLOB NOT NULL,
    uid             TEXT NOT NULL,
    key_version     BIGINT NOT NULL,
    wrapped         BLOB NOT NULL,
    sealed          BLOB NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) WITHOUT ROWID;
CREATE INDEX pki_ca_requests_key ON pki_ca_requests (tenant, key_version);

-- Certificate requests that wait for somebody's approval, or had it. body is what was asked for, as JSON; it never changes.
-- role_settings is what the role said when the request was approved.
CREATE TABLE pki_requests (
    tenant         TEXT NOT NULL,
    id             TEXT NOT NULL,
    role           TEXT NOT NULL,
    body           TEXT NOT NULL,
    common_name    TEXT NOT NULL,
    names          TEXT NOT NULL,
    status         TEXT NOT NULL,
    submitted_by   TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    decided_by     TEXT NOT NULL,
    decided_at     BIGINT,
    comment        TEXT NOT NULL,
    role_settings  TEXT NOT NULL,
    certificate_id TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX pki_requests_order ON pki_requests (tenant, created_at, id);

-- How far expiries have been announced, of a threshold: up to the end (at) and the id of what was announced last.
CREATE TABLE pki_notices (
    tenant    TEXT NOT NULL,
    threshold TEXT NOT NULL,
    at        BIGINT NOT NULL,
    id        TEXT NOT NULL,
    PRIMARY KEY (tenant, threshold)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE pki_notices;
DROP TABLE pki_requests;
DROP TABLE pki_ca_requests;
DROP TABLE pki_above;
DROP TABLE pki_slots;
DROP TABLE pki_trust_anchors;
