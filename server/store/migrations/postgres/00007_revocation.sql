-- +goose Up
-- The current revocation list of each authority that was ever asked for one: its number, the revision of the authority
-- that it tells of, and when it was made. The list itself is made from the certificates' rows by whoever serves it.
CREATE TABLE pki_lists (
    tenant      TEXT NOT NULL,
    ca_id       TEXT COLLATE "C" NOT NULL,
    number      BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    this_update BIGINT NOT NULL,
    PRIMARY KEY (ca_id)
);

-- +goose Down
DROP TABLE pki_lists;
