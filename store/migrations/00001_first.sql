-- The schema both engines share. Times are microseconds since 1970 UTC, 0 for
-- "never"; ids and digests are text; the text order must be bytewise (SQLite's
-- default, collation C on PostgreSQL).

-- +goose Up
CREATE TABLE device (
    id           TEXT   NOT NULL PRIMARY KEY,
    namespace    TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    hardware_id  TEXT   NOT NULL, -- '' if it has none
    type         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    activated_at BIGINT NOT NULL,
    seen_at      BIGINT NOT NULL,
    blocked_at   BIGINT NOT NULL,
    blocked_by   TEXT   NOT NULL,
    block_reason TEXT   NOT NULL,
    UNIQUE (namespace, name),
    UNIQUE (id, namespace) -- so that what belongs to a device shares its namespace
);
CREATE UNIQUE INDEX device_hardware_id ON device (namespace, hardware_id) WHERE hardware_id <> '';

CREATE TABLE credential (
    client_id   TEXT NOT NULL PRIMARY KEY,
    device_id   TEXT NOT NULL UNIQUE,
    namespace   TEXT NOT NULL,
    secret_hash TEXT NOT NULL, -- lower-case hex
    FOREIGN KEY (device_id, namespace) REFERENCES device (id, namespace) ON DELETE CASCADE
);

CREATE TABLE inventory (
    device_id TEXT   NOT NULL PRIMARY KEY REFERENCES device (id) ON DELETE CASCADE,
    digest    TEXT   NOT NULL, -- of the lists below, to tell whether they changed
    put_at    BIGINT NOT NULL
);
CREATE TABLE installed (
    device_id TEXT   NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    pos       BIGINT NOT NULL,
    name      TEXT   NOT NULL,
    version   TEXT   NOT NULL,
    PRIMARY KEY (device_id, pos)
);
CREATE TABLE firmware (
    device_id     TEXT   NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    pos           BIGINT NOT NULL,
    module        TEXT   NOT NULL,
    firmware_id   TEXT   NOT NULL,
    last_modified BIGINT NOT NULL, -- as the device told it
    PRIMARY KEY (device_id, pos)
);
CREATE TABLE system_info (
    device_id TEXT NOT NULL PRIMARY KEY REFERENCES device (id) ON DELETE CASCADE,
    doc       TEXT NOT NULL
);

CREATE TABLE package (
    namespace   TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    version     TEXT   NOT NULL,
    uuid        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    vendor      TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (namespace, name, version)
);
CREATE TABLE artifact (
    namespace TEXT   NOT NULL,
    package   TEXT   NOT NULL,
    version   TEXT   NOT NULL,
    pos       BIGINT NOT NULL, -- 0 is the main one
    name      TEXT   NOT NULL,
    size      BIGINT NOT NULL,
    sha256    TEXT   NOT NULL,
    sha1      TEXT   NOT NULL,
    md5       TEXT   NOT NULL,
    signature TEXT   NOT NULL,
    PRIMARY KEY (namespace, package, version, pos),
    FOREIGN KEY (namespace, package, version) REFERENCES package (namespace, name, version) ON DELETE CASCADE
);
CREATE INDEX artifact_sha256 ON artifact (sha256);

-- An update names its package by text, as it outlives it.
CREATE TABLE device_update (
    device_id   TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    namespace   TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    package     TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    pos         BIGINT  NOT NULL,
    priority    BIGINT  NOT NULL,
    confirm     BOOLEAN NOT NULL,
    description TEXT    NOT NULL,
    until_at    BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL,
    ended_at    BIGINT  NOT NULL,
    reason      TEXT    NOT NULL,
    PRIMARY KEY (device_id, id),
    FOREIGN KEY (device_id, namespace) REFERENCES device (id, namespace) ON DELETE CASCADE
);
-- Unique, though the primary key says so already: then the planner knows the
-- order it gives is total, and Queue needs neither a sort nor a device's past.
CREATE UNIQUE INDEX device_update_active ON device_update (device_id, id) WHERE status IN ('Pending', 'InFlight');
CREATE INDEX device_update_ended ON device_update (device_id, ended_at, id) WHERE ended_at <> 0;
CREATE INDEX device_update_due ON device_update (until_at) WHERE status = 'Pending' AND until_at <> 0;
-- For lists, oldest first: of all, of a device, of a package. The namespace is in
-- all of them, as it is in every question: SQLite, which keeps no statistics,
-- otherwise walks through the whole namespace.
CREATE INDEX device_update_age ON device_update (namespace, created_at, device_id, id);
CREATE INDEX device_update_device ON device_update (namespace, device_id, created_at, id);
CREATE INDEX device_update_package ON device_update (namespace, package, version, created_at, device_id, id);

CREATE TABLE result (
    device_id   TEXT   NOT NULL,
    seq         BIGINT NOT NULL, -- the order received, by device
    id          TEXT   NOT NULL UNIQUE,
    update_id   TEXT   NOT NULL,
    operation   TEXT   NOT NULL,
    code        BIGINT NOT NULL,
    text        TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (device_id, seq),
    FOREIGN KEY (device_id, update_id) REFERENCES device_update (device_id, id) ON DELETE CASCADE
);
CREATE INDEX result_update ON result (device_id, update_id, seq);

CREATE TABLE event (
    seq       BIGINT NOT NULL PRIMARY KEY,
    namespace TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    type      TEXT   NOT NULL,
    device_id TEXT   NOT NULL,
    update_id TEXT   NOT NULL,
    data      TEXT   NOT NULL
);
CREATE INDEX event_namespace ON event (namespace, seq);
CREATE INDEX event_device ON event (namespace, device_id, seq);

-- The number of the newest event, in one row. A row, because a sequence has
-- gaps after a rollback and a maximum comes back after a deletion.
CREATE TABLE event_counter (
    n BIGINT NOT NULL
);
INSERT INTO event_counter (n) VALUES (0);
