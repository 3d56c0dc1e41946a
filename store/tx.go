package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store/internal/query"
)

// Read runs fn on one consistent snapshot, which is taken at its first
// question.
func (s *Store) Read(ctx context.Context, fn func(ota.ReadTx) error) error {
	tx, end, err := s.readers.begin(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return failure("begin to read", err)
	}
	defer end() // a read has nothing to commit
	r := s.begin(ctx, s.readers.q, tx)
	if err := fn(r); err != nil {
		return err
	}
	return r.broken
}

// Write runs fn as the only writer. On SQLite it calls fn once.
func (s *Store) Write(ctx context.Context, fn func(ota.Tx) error) error {
	tx, end, err := s.writer.begin(ctx, nil)
	if err != nil {
		return failure("begin to write", err)
	}
	defer end() // does nothing after the commit
	w := &writeTx{s.begin(ctx, s.writer.q, tx)}
	if err := fn(w); err != nil {
		return err
	}
	if w.broken != nil {
		return w.broken
	}
	s.fault(BeforeCommit)
	if err := tx.Commit(); err != nil {
		return w.fail("commit", err)
	}
	s.fault(AfterCommit)
	return nil
}

func (s *Store) begin(ctx context.Context, q *query.Queries, tx *sql.Tx) *readTx {
	return &readTx{
		// The end of ctx ends the transaction between two statements;
		// watching it during each one would cost a goroutine every time.
		ctx:    context.WithoutCancel(ctx),
		caller: ctx,
		now:    s.now().UTC().Truncate(time.Microsecond),
		q:      q.WithTx(tx),
		sql:    tx,
	}
}

// readTx is a transaction that reads.
type readTx struct {
	ctx    context.Context
	caller context.Context
	now    time.Time
	q      *query.Queries
	sql    query.DBTX
	broken error // the first failure of the database, which ends the transaction
}

// writeTx is a transaction that also writes.
type writeTx struct{ *readTx }

var _ ota.Tx = (*writeTx)(nil)

func (t *readTx) Now() time.Time { return t.now }

// fail notes a failure of the database, nil included.
func (t *readTx) fail(doing string, err error) error {
	// When the caller has gone, database/sql ends the transaction and closes
	// its statements, and says one or the other.
	if gone := t.caller.Err(); gone != nil && err != nil && sqliteCode(err) == 0 {
		err = gone
	}
	err = failure(doing, err)
	if t.broken == nil {
		t.broken = err
	}
	return err
}

// found is fail for a question about one row: without it, missing is the answer.
func (t *readTx) found(doing string, err, missing error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return missing
	}
	return t.fail(doing, err)
}

// changed is fail for a statement that must change a row: if it did not,
// missing is the answer.
func (t *readTx) changed(doing string, rows int64, err, missing error) error {
	if err == nil && rows == 0 {
		return missing
	}
	return t.fail(doing, err)
}

// micros is how an instant is stored: microseconds since 1970, 0 for the zero
// time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant is the reverse of micros, in UTC.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
