package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/updraft-ota/updraft/ota"
)

// failure says what the database failed to do and, where the code tells, of
// which kind the failure is. An ota.Error keeps its kind; nil stays nil.
func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, err)
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_FULL:
		return &ota.Error{Kind: ota.KindNoSpace, Code: "no_space", Text: "no space left for the database, free some and try again", Err: err}
	case sqlite3.SQLITE_BUSY:
		return &ota.Error{Kind: ota.KindUnavailable, Code: "database_busy", Text: "another program holds the database, try again", Err: err}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &ota.Error{Kind: ota.KindCorrupt, Code: "corrupt_database", Text: "the database is damaged, restore a backup", Err: err}
	}
	return err
}

// duplicate reports whether err is the clash of something unique.
func duplicate(err error) bool {
	code := sqliteCode(err)
	return code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// orphan reports whether err is the lack of what a row belongs to.
func orphan(err error) bool { return sqliteCode(err) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY }

// sqliteCode is SQLite's extended result code, 0 if err is none of its errors.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}
