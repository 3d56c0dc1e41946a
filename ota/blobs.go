package ota

import (
	"context"
	"io"
	"time"
)

// Blobs keeps artifacts' bytes, each under its SHA-256. Bytes are streamed;
// an artifact is never held in memory.
type Blobs interface {
	// Put stores what r yields, up to EOF, and returns its sums. The blob is
	// durable when Put returns nil; otherwise nothing stays behind. It fails
	// with KindTooLarge (more than max bytes), KindNoSpace (the disk is
	// full), r's error, or ctx's.
	Put(ctx context.Context, r io.Reader, max int64) (Sums, error)

	// Open gives a whole, checked blob to read. It fails with KindNotFound
	// (missing_blob), or with KindCorrupt (corrupt_blob) if the size or the
	// digest of the stored bytes is no longer right. The check runs on first
	// use after a start and whenever the file changed; it may take as long as
	// reading the blob.
	Open(ctx context.Context, d Digest) (Blob, error)

	// Collect deletes blobs that were put before the instant and that inUse
	// denies, and leftovers of interrupted puts; it returns how many bytes
	// that freed.
	Collect(ctx context.Context, before time.Time, inUse func(Digest) (bool, error)) (int64, error)

	// Scrub reads every blob once, slowly, and calls bad for each that is
	// corrupt. It ends with ctx's error when ctx does.
	Scrub(ctx context.Context, bad func(Digest, error)) error
}

// Blob is an open blob. One that lies in a file embeds the *os.File, so that
// net/http can hand it to sendfile(2): pass it on as it is, unwrapped.
type Blob interface {
	io.ReadSeekCloser
	io.ReaderAt
	Size() int64
}
