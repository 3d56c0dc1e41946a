-- name: PSK :one
SELECT identity, device_id, secret FROM psk WHERE identity = $1;

-- name: PutPSK :execrows
INSERT INTO psk (identity, device_id, secret) VALUES ($1, $2, $3)
ON CONFLICT (identity) DO UPDATE SET secret = excluded.secret WHERE psk.device_id = excluded.device_id;

-- name: DeletePSK :execrows
DELETE FROM psk WHERE identity = $1;
