package store

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

// Queue asks one statement, so it needs no transaction to be consistent.
func (s *Store) Queue(ctx context.Context, id ota.DeviceID) (ota.DeviceQueue, error) {
	if err := ctx.Err(); err != nil {
		return ota.DeviceQueue{}, err
	}
	// It takes some microseconds: watching for the end of ctx would cost as
	// much again.
	rows, err := s.readers.q.Queue(context.WithoutCancel(ctx), string(id))
	if err != nil {
		return ota.DeviceQueue{}, failure("read queue", err)
	}
	if len(rows) == 0 {
		return ota.DeviceQueue{}, ota.MissingDevice(string(id))
	}
	first := rows[0]
	q := ota.DeviceQueue{
		Namespace: ota.Namespace(first.Namespace),
		Block:     blockOf(first.BlockedAt, first.BlockedBy, first.BlockReason),
	}
	for i, row := range rows {
		if !row.ID.Valid { // nothing to do
			break
		}
		if i == 0 || row.ID != rows[i-1].ID {
			e, err := entryOf(id, row)
			if err != nil {
				return ota.DeviceQueue{}, failure("read queue", err)
			}
			q.Entries = append(q.Entries, e)
		}
		if row.Artifact.Valid {
			p := &q.Entries[len(q.Entries)-1].Package
			p.Artifacts = append(p.Artifacts, artifactOf(row))
		}
	}
	return q, nil
}

// entryOf is the update of a row and its package, without artifacts.
func entryOf(device ota.DeviceID, row query.QueueRow) (ota.QueueEntry, error) {
	ns := ota.Namespace(row.Namespace)
	e := ota.QueueEntry{Update: ota.Update{
		Namespace:   ns,
		ID:          ota.UpdateID(row.ID.String),
		Request:     ota.RequestID(row.RequestID.String),
		Device:      device,
		Package:     ota.PackageID{Name: row.Package.String, Version: row.Version.String},
		Status:      ota.Status(row.Status.String),
		Pos:         int(row.Pos.Int64),
		Priority:    int(row.Priority.Int64),
		Confirm:     row.Confirm.Bool,
		Description: row.Description.String,
		Until:       instant(row.UntilAt.Int64),
		CreatedAt:   instant(row.CreatedAt.Int64),
		UpdatedAt:   instant(row.UpdatedAt.Int64),
		EndedAt:     instant(row.EndedAt.Int64),
		Reason:      row.Reason.String,
		Tries:       int(row.Tries.Int64),
		RetryAt:     instant(row.RetryAt.Int64),
		SentAt:      instant(row.SentAt.Int64),
		Forced:      row.Forced.String,
	}}
	if !row.Uuid.Valid {
		return e, nil
	}
	forced, err := forcedOf(row.PackageForced.String)
	e.Package = ota.Package{
		Namespace:   ns,
		UUID:        row.Uuid.String,
		ID:          e.Update.Package,
		Description: row.About.String,
		Vendor:      row.Vendor.String,
		CreatedAt:   instant(row.PublishedAt.Int64),
		Forced:      forced,
	}
	return e, err
}

func artifactOf(row query.QueueRow) ota.Artifact {
	return ota.Artifact{
		Name: row.Artifact.String,
		Sums: ota.Sums{
			Size:   row.Size.Int64,
			SHA256: ota.Digest(row.Sha256.String),
			SHA1:   row.Sha1.String,
			MD5:    row.Md5.String,
		},
		Signature: row.Signature.String,
	}
}
