-- What an operator set as a device's public credentials, and the way from a
-- package to the devices that have it.

-- +goose Up
CREATE TABLE public_credential (
    device_id   TEXT NOT NULL PRIMARY KEY REFERENCES device (id) ON DELETE CASCADE,
    credentials TEXT NOT NULL
);
CREATE INDEX installed_package ON installed (name, version, device_id);
