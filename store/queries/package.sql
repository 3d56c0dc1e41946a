-- name: PackageByID :one
SELECT namespace, name, version, uuid, description, vendor, created_at, forced
FROM package WHERE namespace = $1 AND name = $2 AND version = $3;

-- Packages takes a filter behind it.

-- name: Packages :many
SELECT p.namespace, p.name, p.version, p.uuid, p.description, p.vendor, p.created_at, p.forced
FROM package p WHERE p.namespace = $1;

-- name: Artifacts :many
SELECT name, size, sha256, sha1, md5, signature
FROM artifact WHERE namespace = $1 AND package = $2 AND version = $3 ORDER BY pos;

-- name: BlobInUse :one
SELECT CAST(EXISTS (SELECT 1 FROM artifact WHERE sha256 = $1) AS BOOLEAN) AS in_use;

-- name: ArtifactByDigest :one
SELECT name, size, sha256, sha1, md5, signature
FROM artifact WHERE sha256 >= $1 AND sha256 < $2 AND namespace = $3 ORDER BY sha256, package, version, pos LIMIT 1;

-- name: PutPackage :exec
INSERT INTO package (namespace, name, version, uuid, description, vendor, created_at, forced)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (namespace, name, version) DO UPDATE SET uuid = excluded.uuid, description = excluded.description,
    vendor = excluded.vendor, created_at = excluded.created_at, forced = excluded.forced;

-- name: ClearArtifacts :exec
DELETE FROM artifact WHERE namespace = $1 AND package = $2 AND version = $3;

-- name: AddArtifact :exec
INSERT INTO artifact (namespace, package, version, pos, name, size, sha256, sha1, md5, signature)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: DeletePackage :execrows
DELETE FROM package WHERE namespace = $1 AND name = $2 AND version = $3;
