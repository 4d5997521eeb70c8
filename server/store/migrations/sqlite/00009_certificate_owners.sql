-- +goose Up
-- The Kubernetes object that a certificate was made for, where one was named: k8s:<cluster>/<kind>/<namespace>/<name>/<uid>.
CREATE TABLE pki_certificate_owners (
    tenant         TEXT NOT NULL,
    owner          TEXT NOT NULL,
    certificate_id TEXT NOT NULL,
    PRIMARY KEY (tenant, owner, certificate_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX pki_certificate_owners_of ON pki_certificate_owners (tenant, certificate_id);

-- +goose Down
DROP TABLE pki_certificate_owners;
