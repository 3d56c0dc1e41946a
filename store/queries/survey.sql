-- What is asked about all devices of a namespace. A device's namespace is
-- looked up row by row, so that the rows come in the order of the index
-- installed_package and a page needs no more of them than it shows.

-- name: CountActivated :one
SELECT count(*) FROM device
WHERE namespace = $1 AND activated_at <> 0 AND activated_at >= sqlc.arg(since) AND activated_at < sqlc.arg(until);

-- name: InstalledPackages :many
SELECT DISTINCT i.name, i.version FROM installed i
WHERE EXISTS (SELECT 1 FROM device d WHERE d.id = i.device_id AND d.namespace = $1)
ORDER BY i.name, i.version LIMIT sqlc.arg(max) OFFSET sqlc.arg(skip);

-- name: CountInstalledPackages :one
SELECT count(*) FROM (SELECT DISTINCT i.name, i.version FROM installed i
    WHERE EXISTS (SELECT 1 FROM device d WHERE d.id = i.device_id AND d.namespace = $1)) AS packages;

-- name: InstalledVersions :many
SELECT i.version, count(DISTINCT i.device_id) AS devices FROM installed i
WHERE i.name = sqlc.arg(name) AND EXISTS (SELECT 1 FROM device d WHERE d.id = i.device_id AND d.namespace = $1)
GROUP BY i.version ORDER BY i.version LIMIT sqlc.arg(max) OFFSET sqlc.arg(skip);

-- name: CountInstalledVersions :one
SELECT count(DISTINCT i.version) FROM installed i
WHERE i.name = sqlc.arg(name) AND EXISTS (SELECT 1 FROM device d WHERE d.id = i.device_id AND d.namespace = $1);

-- name: InstalledOn :many
SELECT DISTINCT i.device_id FROM installed i
WHERE i.name = sqlc.arg(name) AND i.version = sqlc.arg(version)
    AND EXISTS (SELECT 1 FROM device d WHERE d.id = i.device_id AND d.namespace = $1)
ORDER BY i.device_id;

-- name: ConstrainedClasses :many
SELECT d.vendor, d.class, CAST(MAX(d.sequence) AS BIGINT) AS sequence FROM device d
WHERE d.namespace = $1 AND d.vendor <> '' GROUP BY d.vendor, d.class ORDER BY d.vendor, d.class;
