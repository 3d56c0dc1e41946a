-- Blocked devices are few, and asked for by those who look after them.

-- +goose Up
CREATE INDEX device_blocked ON device (namespace, blocked_at) WHERE blocked_at > 0;
