-- Events takes a filter behind it.

-- name: Events :many
SELECT e.seq, e.namespace, e.at, e.type, e.device_id, e.update_id, e.data
FROM event e WHERE e.seq > $1;

-- name: LastEvent :one
SELECT n FROM event_counter;

-- name: NextEvent :one
UPDATE event_counter SET n = n + 1 RETURNING n;

-- name: AddEvent :exec
INSERT INTO event (seq, namespace, at, type, device_id, update_id, data) VALUES ($1, $2, $3, $4, $5, $6, $7);
