package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

// Options say where and how to remember. The zero Options are a fresh
// database in memory, gone after Close.
type Options struct {
	Path string           // the database file, made with mode 0600 if missing; "" is in memory
	Now  func() time.Time // nil is time.Now
	Log  *slog.Logger     // nil is silent
	// Fault is called at BeforeCommit and AfterCommit of every Write, so that
	// a test can end the process there. Nil does nothing.
	Fault func(point string)
}

// Points at which Options.Fault is called.
const (
	BeforeCommit = "before commit" // everything is said, nothing is kept
	AfterCommit  = "after commit"  // everything is kept, nobody knows
)

// Store is an open database. It is safe for concurrent use.
type Store struct {
	now     func() time.Time
	fault   func(string)
	writer  side
	readers side
	scratch string // what to remove after Close; "" if the database is to stay
}

var _ ota.Store = (*Store)(nil)

// side is a pool of connections with every query prepared.
type side struct {
	db *sql.DB
	q  *query.Queries
}

// Open opens the database, making or migrating it as needed. It fails with
// KindConflict (newer_database) if a newer program wrote it, and leaves such a
// database untouched; with KindCorrupt (corrupt_database) if the file is no
// database; and with KindNoSpace.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{now: o.Now, fault: o.Fault}
	if s.now == nil {
		s.now = time.Now
	}
	if s.fault == nil {
		s.fault = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	path, durability := o.Path, "FULL"
	if path == "" {
		dir, err := os.MkdirTemp(memory(), "updraft-store-")
		if err != nil {
			return nil, fmt.Errorf("make a directory for the database: %w", err)
		}
		s.scratch, path, durability = dir, filepath.Join(dir, "db"), "OFF"
	}
	if err := s.open(ctx, path, durability, o.Log); err != nil {
		return nil, errors.Join(failure("open database "+path, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path, durability string, log *slog.Logger) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := refuseNewer(ctx, path); err != nil {
		return err
	}
	if err := private(path); err != nil {
		return err
	}
	const writing = "&_journal_mode=WAL&_foreign_keys=on&_txlock=immediate&_pragma=journal_size_limit(67108864)&_synchronous="
	if err := s.writer.connect(path, writing+durability, 1); err != nil {
		return err
	}
	if err := migrate(ctx, s.writer.db, log); err != nil {
		return err
	}
	if err := s.readers.connect(path, "&_query_only=on", max(4, runtime.GOMAXPROCS(0))); err != nil {
		return err
	}
	return errors.Join(s.writer.prepare(ctx), s.readers.prepare(ctx))
}

// private makes sure that the file is there and nobody else's to read; SQLite
// gives the files beside it the same mode. A file that is there is not opened,
// as closing it would give up the locks of a store that has it open.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return os.Chmod(path, 0o600)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// memory is a directory in memory if the system has one, else "".
func memory() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return ""
}

// connect makes the pool. Its connections stay open, as opening one costs far
// more than a query.
func (s *side) connect(path, settings string, conns int) (err error) {
	s.db, err = sql.Open("sqlite", dsn(path, settings))
	if err != nil {
		return err
	}
	s.db.SetMaxOpenConns(conns)
	s.db.SetMaxIdleConns(conns)
	return nil
}

func (s *side) prepare(ctx context.Context) (err error) {
	s.q, err = query.Prepare(ctx, s.db)
	return err
}

// begin starts a transaction; end rolls it back unless it was committed. The
// end of ctx has database/sql roll it back in the background, which end waits
// for by giving up the connection: else Close would leave it behind, open.
func (s *side) begin(ctx context.Context, opts *sql.TxOptions) (tx *sql.Tx, end func(), err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	if tx, err = conn.BeginTx(ctx, opts); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return tx, func() {
		_ = tx.Rollback()
		_ = conn.Close()
	}, nil
}

func (s *side) close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// dsn names a database to the driver. Others may hold it for a moment, such as
// a backup: five seconds are waited for them.
func dsn(path, settings string) string {
	u := url.URL{Scheme: "file", Path: path}
	return u.String() + "?_busy_timeout=5000&_dqs=0&_error_rc=1" + settings
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.readers.q.LastEvent(ctx)
	return failure("ping database", err)
}

// Close closes the database. The writer goes last and so folds the log into
// the file.
func (s *Store) Close() error {
	err := errors.Join(s.readers.close(), s.writer.close())
	if s.scratch != "" {
		err = errors.Join(err, os.RemoveAll(s.scratch))
	}
	return err
}
