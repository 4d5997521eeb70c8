-- +goose Up
-- Certificates of authorities outside of the vault that a tenant trusts. certificate is DER.
CREATE TABLE pki_trust_anchors (
    tenant      TEXT NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    description TEXT NOT NULL,
    certificate BYTEA NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);

-- +goose Down
DROP TABLE pki_trust_anchors;
