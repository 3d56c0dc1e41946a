-- For transports by which the server speaks first: how often a device was told
-- of an update in vain, when it is told again, when it had all bytes; and what
-- a protocol must know of a device to speak to it after a restart.

-- +goose Up
ALTER TABLE device_update ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device_update ADD COLUMN retry_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device_update ADD COLUMN sent_at BIGINT NOT NULL DEFAULT 0;

CREATE TABLE contact (
    device_id TEXT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    protocol  TEXT NOT NULL,
    state     TEXT NOT NULL, -- JSON
    PRIMARY KEY (device_id, protocol)
);
