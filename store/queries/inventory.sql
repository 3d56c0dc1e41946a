-- name: Inventory :one
SELECT digest, put_at FROM inventory WHERE device_id = $1;

-- name: Installed :many
SELECT name, version FROM installed WHERE device_id = $1 ORDER BY pos;

-- name: Firmware :many
SELECT module, firmware_id, last_modified FROM firmware WHERE device_id = $1 ORDER BY pos;

-- name: PutInventory :exec
INSERT INTO inventory (device_id, digest, put_at) VALUES ($1, $2, $3)
ON CONFLICT (device_id) DO UPDATE SET digest = excluded.digest, put_at = excluded.put_at;

-- name: ClearInstalled :exec
DELETE FROM installed WHERE device_id = $1;

-- name: AddInstalled :exec
INSERT INTO installed (device_id, pos, name, version) VALUES ($1, $2, $3, $4);

-- name: ClearFirmware :exec
DELETE FROM firmware WHERE device_id = $1;

-- name: AddFirmware :exec
INSERT INTO firmware (device_id, pos, module, firmware_id, last_modified) VALUES ($1, $2, $3, $4, $5);

-- name: SystemInfo :one
SELECT doc FROM system_info WHERE device_id = $1;

-- name: PutSystemInfo :exec
INSERT INTO system_info (device_id, doc) VALUES ($1, $2)
ON CONFLICT (device_id) DO UPDATE SET doc = excluded.doc;
