-- Constrained devices: what they are, where they are, and the keys by which
-- they speak coaps. A key is kept as it is, because DTLS needs it.

-- +goose Up
ALTER TABLE device ADD COLUMN vendor TEXT NOT NULL DEFAULT ''; -- '' if it is not constrained
ALTER TABLE device ADD COLUMN class TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN plain BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE device ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE device ADD COLUMN address_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
CREATE INDEX device_constrained ON device (id) WHERE vendor <> '';

CREATE TABLE psk (
    identity  TEXT NOT NULL PRIMARY KEY,
    device_id TEXT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    secret    TEXT NOT NULL
);
CREATE INDEX psk_device ON psk (device_id);
