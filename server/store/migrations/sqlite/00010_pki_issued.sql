-- +goose Up
-- How many certificates an authority signed, by the writer lane that stored them: writers of one process do not wait for
-- each other.
CREATE TABLE pki_issued (
    tenant TEXT NOT NULL,
    ca_id  TEXT NOT NULL,
    lane   BIGINT NOT NULL,
    issued BIGINT NOT NULL,
    PRIMARY KEY (tenant, ca_id, lane)
) WITHOUT ROWID;
INSERT INTO pki_issued (tenant, ca_id, lane, issued) SELECT tenant, ca_id, 0, COUNT(*) FROM pki_certificates GROUP BY tenant, ca_id;

-- +goose Down
DROP TABLE pki_issued;
