-- name: Contact :one
SELECT state FROM contact WHERE device_id = $1 AND protocol = $2;

-- name: PutContact :exec
INSERT INTO contact (device_id, protocol, state) VALUES ($1, $2, $3)
ON CONFLICT (device_id, protocol) DO UPDATE SET state = excluded.state;
