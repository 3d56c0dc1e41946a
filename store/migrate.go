package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/updraft-ota/updraft/ota"
)

//go:embed migrations/*.sql
var migrations embed.FS

// provider offers the migrations this program knows for db.
func provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true))
}

// migrate brings the schema to this program's version, each step in a
// transaction of its own.
func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	steps, err := p.Up(ctx)
	for _, step := range steps {
		log.Info("database migrated", "version", step.Source.Version, "took", step.Duration)
	}
	return err
}

// refuseNewer fails with KindConflict if the database at path has migrations
// that this program does not know.
func refuseNewer(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	have, err := version(ctx, path)
	if err != nil {
		return err
	}
	known, err := newest()
	if err != nil {
		return err
	}
	if have > known {
		return ota.Fail(ota.KindConflict, "newer_database",
			"the database has version %d but this program knows only %d: run the newer program again, or restore a backup", have, known)
	}
	return nil
}

// newest is the version of the last migration this program knows.
func newest() (int64, error) {
	p, err := provider(new(sql.DB)) // only lists, asks no database
	if err != nil {
		return 0, err
	}
	sources := p.ListSources()
	return sources[len(sources)-1].Version, nil
}

// version reads which migration was the last, 0 if none. Merely opening a
// database may change the files beside it, when the process that wrote it was
// killed: so it looks at a second name of the file in a directory of its own,
// read-only, beside a copy of the log.
func version(ctx context.Context, path string) (v int64, err error) {
	if err := removeTwins(path); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), twinPrefix)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	twin := filepath.Join(dir, "db")
	if os.Link(path, twin) != nil { // not every file system can
		if err := copyFile(path, twin); err != nil {
			return 0, err
		}
	}
	if err := copyFile(path+"-wal", twin+"-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	db, err := sql.Open("sqlite", dsn(twin, "&mode=ro"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var managed bool
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'goose_db_version'`).Scan(&managed)
	if err != nil || !managed {
		return 0, err
	}
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	return v, err
}

// twinPrefix begins the names of the directories of version.
const twinPrefix = ".version-"

// removeTwins removes what processes left that were killed in version.
func removeTwins(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), twinPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return err
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
