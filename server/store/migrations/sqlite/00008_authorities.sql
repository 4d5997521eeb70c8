-- +goose Up
-- Certificates of authorities outside of the vault that a tenant trusts. certificate is DER.
CREATE TABLE pki_trust_anchors (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    certificate BLOB NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);

-- +goose Down
DROP TABLE pki_trust_anchors;
