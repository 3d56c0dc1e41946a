-- name: Update :one
SELECT device_id, id, namespace, request_id, package, version, status, pos, priority, confirm, description,
    until_at, created_at, updated_at, ended_at, reason, tries, retry_at, sent_at, forced
FROM device_update WHERE device_id = $1 AND id = $2;

-- Updates takes a filter behind it.

-- name: Updates :many
SELECT u.device_id, u.id, u.namespace, u.request_id, u.package, u.version, u.status, u.pos, u.priority, u.confirm, u.description,
    u.until_at, u.created_at, u.updated_at, u.ended_at, u.reason, u.tries, u.retry_at, u.sent_at, u.forced
FROM device_update u WHERE u.namespace = $1;

-- CountUpdates takes a filter behind it.

-- name: CountUpdates :many
SELECT u.status, COUNT(*) AS updates FROM device_update u WHERE u.namespace = $1;

-- name: DueUpdates :many
SELECT device_id, id, namespace, request_id, package, version, status, pos, priority, confirm, description,
    until_at, created_at, updated_at, ended_at, reason, tries, retry_at, sent_at, forced
FROM device_update WHERE status = 'Pending' AND until_at <> 0 AND until_at <= sqlc.arg(at)
ORDER BY until_at, device_id, id LIMIT sqlc.arg(max);

-- name: PutUpdate :exec
INSERT INTO device_update (device_id, id, namespace, request_id, package, version, status, pos, priority, confirm, description,
    until_at, created_at, updated_at, ended_at, reason, tries, retry_at, sent_at, forced)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
ON CONFLICT (device_id, id) DO UPDATE SET namespace = excluded.namespace, request_id = excluded.request_id,
    package = excluded.package, version = excluded.version, status = excluded.status, pos = excluded.pos,
    priority = excluded.priority, confirm = excluded.confirm, description = excluded.description,
    until_at = excluded.until_at, created_at = excluded.created_at, updated_at = excluded.updated_at,
    ended_at = excluded.ended_at, reason = excluded.reason, tries = excluded.tries,
    retry_at = excluded.retry_at, sent_at = excluded.sent_at, forced = excluded.forced;

-- name: DeviceResults :many
SELECT device_id, seq, id, update_id, operation, code, text, received_at
FROM result WHERE device_id = $1 ORDER BY seq;

-- name: UpdateResults :many
SELECT device_id, seq, id, update_id, operation, code, text, received_at
FROM result WHERE device_id = $1 AND update_id = $2 ORDER BY seq;

-- name: AddResult :exec
INSERT INTO result (device_id, seq, id, update_id, operation, code, text, received_at)
VALUES (sqlc.arg(device_id), (SELECT COALESCE(MAX(r.seq), 0) + 1 FROM result r WHERE r.device_id = sqlc.arg(device_id)),
    sqlc.arg(id), sqlc.arg(update_id), sqlc.arg(operation), sqlc.arg(code), sqlc.arg(text), sqlc.arg(received_at));

-- Queue is one row if the device has nothing to do, else one for each artifact
-- of each active update.

-- name: Queue :many
SELECT d.namespace, d.blocked_at, d.blocked_by, d.block_reason,
    u.id, u.request_id, u.package, u.version, u.status, u.pos, u.priority, u.confirm, u.description,
    u.until_at, u.created_at, u.updated_at, u.ended_at, u.reason, u.tries, u.retry_at, u.sent_at, u.forced,
    p.uuid, p.description AS about, p.vendor, p.created_at AS published_at, p.forced AS package_forced,
    a.name AS artifact, a.size, a.sha256, a.sha1, a.md5, a.signature
FROM device d
LEFT JOIN device_update u ON u.device_id = d.id AND u.status IN ('Pending', 'InFlight')
LEFT JOIN package p ON p.namespace = u.namespace AND p.name = u.package AND p.version = u.version
LEFT JOIN artifact a ON a.namespace = p.namespace AND a.package = p.name AND a.version = p.version
WHERE d.id = $1
ORDER BY u.id, a.pos;
