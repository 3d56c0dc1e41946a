// Package store remembers everything the server knows but the bytes of
// artifacts. It is the only implementation of ota.Store: one set of SQL, on
// SQLite now and on PostgreSQL later.
//
// # How it works
//
// Reads and writes go separate ways. Write has one connection, so there is one
// writer; it commits to a write-ahead log with synchronous=FULL, so what it
// promised survives a power cut. Reads have a few connections of their own and
// see the last commit before they began, whatever the writer does meanwhile.
// Queue, the question every device keeps asking, is a single prepared
// statement beside all transactions.
//
// Nothing here decides anything: rules live with the words in ota, decisions
// in fleet. What the schema does enforce is that names are unique, that what
// belongs to a device has its namespace and goes when it goes, and that events
// are numbered without gaps in the order of their commits.
//
// # Where things are
//
//	migrations/     the schema, run at every start (goose)
//	queries/        the statements, checked against the schema by sqlc v1.31.1
//	internal/query  what sqlc made of them, by go generate
//	filter.go       the only SQL put together at run time: filters of lists
//	storetest/      what any ota.Store must do, as tests
//
// The SQL is read as PostgreSQL's and run on SQLite, so it keeps to what both
// share: numbered arguments, ON CONFLICT and RETURNING, no "::" casts. Times
// are microseconds since 1970 UTC with 0 for the zero time; ids and digests
// are text, compared and ordered bytewise.
//
// A test that wants a store asks for Options{}: the same database in a
// directory of its own in memory, without waiting for any disk.
package store

//go:generate sqlc generate
