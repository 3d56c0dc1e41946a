-- name: Device :one
SELECT id, namespace, name, hardware_id, type, created_at, activated_at, seen_at, blocked_at, blocked_by, block_reason,
    vendor, class, plain, address, address_until, sequence
FROM device WHERE id = $1;

-- Devices and CountDevices take a filter behind them.

-- name: Devices :many
SELECT d.id, d.namespace, d.name, d.hardware_id, d.type, d.created_at, d.activated_at, d.seen_at,
    d.blocked_at, d.blocked_by, d.block_reason,
    d.vendor, d.class, d.plain, d.address, d.address_until, d.sequence,
    (SELECT count(*) FROM device_update u
        WHERE u.device_id = d.id AND u.status IN ('Pending', 'InFlight')) AS active,
    CAST(COALESCE((SELECT u.status FROM device_update u
        WHERE u.device_id = d.id AND u.ended_at <> 0
        ORDER BY u.ended_at DESC, u.id DESC LIMIT 1), '') AS TEXT) AS last
FROM device d WHERE d.namespace = $1;

-- name: CountDevices :one
SELECT count(*) FROM device d WHERE d.namespace = $1;

-- name: ConstrainedWaiting :many
SELECT d.id FROM device d WHERE d.vendor <> '' AND EXISTS (SELECT 1 FROM device_update u
    WHERE u.device_id = d.id AND u.status IN ('Pending', 'InFlight')) ORDER BY d.id;

-- name: PutDevice :execrows
INSERT INTO device (id, namespace, name, hardware_id, type, created_at, activated_at, seen_at, blocked_at, blocked_by, block_reason,
    vendor, class, plain, address, address_until, sequence)
VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, hardware_id = excluded.hardware_id, type = excluded.type,
    created_at = excluded.created_at, blocked_at = excluded.blocked_at, blocked_by = excluded.blocked_by,
    block_reason = excluded.block_reason, vendor = excluded.vendor, class = excluded.class, plain = excluded.plain,
    address = excluded.address, address_until = excluded.address_until, sequence = excluded.sequence
WHERE device.namespace = excluded.namespace;

-- name: DeleteDevice :execrows
DELETE FROM device WHERE id = $1;

-- Seen gives the same time back only if it is the first: it must be later
-- than the last time, which is never before the first.

-- name: Seen :one
UPDATE device SET seen_at = sqlc.arg(at),
    activated_at = CASE WHEN activated_at = 0 THEN sqlc.arg(at) ELSE activated_at END
WHERE id = sqlc.arg(id) AND seen_at < sqlc.arg(at)
RETURNING activated_at;

-- name: Credential :one
SELECT client_id, device_id, namespace, secret_hash FROM credential WHERE client_id = $1;

-- name: PutCredential :exec
INSERT INTO credential (client_id, device_id, namespace, secret_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (device_id) DO UPDATE SET client_id = excluded.client_id, namespace = excluded.namespace,
    secret_hash = excluded.secret_hash;

-- name: PublicCredentials :one
SELECT credentials FROM public_credential WHERE device_id = $1;

-- name: PutPublicCredentials :exec
INSERT INTO public_credential (device_id, credentials) VALUES ($1, $2)
ON CONFLICT (device_id) DO UPDATE SET credentials = excluded.credentials;
