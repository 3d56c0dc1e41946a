-- What operators insisted on although it was refused.

-- +goose Up
ALTER TABLE package ADD COLUMN forced TEXT NOT NULL DEFAULT ''; -- JSON, '' if nothing was
ALTER TABLE device_update ADD COLUMN forced TEXT NOT NULL DEFAULT ''; -- what there was against it
