package rvi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// open opens a file that is to be read, which begins its update.
func (t *talk) open(ctx context.Context, f *sending) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.body != nil {
		return nil
	}
	body, err := t.push.Fetch(ctx, ota.FetchRequest{Update: f.update, Artifact: f.file.Name})
	if err != nil {
		return err
	}
	if body.Digest != f.file.SHA256 {
		_ = body.Body.Close() // it was not even read
		return ota.Fail(ota.KindConflict, "file_changed", "the file of %s is another one now", f.pkg)
	}
	f.body = body
	f.openings++
	return nil
}

func (f *sending) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.body != nil {
		_ = f.body.Body.Close() // it was only read
		f.body = nil
	}
}

// chunkBuffers are what chunks are read into, before they are written as text.
var chunkBuffers = sync.Pool{New: func() any { return new([ChunkSize]byte) }}

// chunk reads a piece of the file and appends the parameters of its message to
// b. It appends nothing if the file was closed since, as the vehicle went away:
// what is sent then begins with a start again.
func (f *sending) chunk(b []byte, o Order, opening int) ([]byte, error) {
	buffer := chunkBuffers.Get().(*[ChunkSize]byte)
	defer chunkBuffers.Put(buffer)
	from := int64(o.Index-1) * ChunkSize
	piece := buffer[:min(ChunkSize, f.file.Size-from)]
	if there, err := f.read(piece, from, opening); err != nil || !there {
		return nil, err
	}
	sum := sha256.Sum256(piece)
	m := Chunk{Unit: o.Unit, Index: o.Index, Bytes: piece, SHA256: ota.Digest(hex.EncodeToString(sum[:]))}
	return m.AppendParams(slices.Grow(b, base64.StdEncoding.EncodedLen(len(piece))+1024)), nil
}

// read reports false if the file is not open any more.
func (f *sending) read(piece []byte, from int64, opening int) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.body == nil || f.openings != opening {
		return false, nil
	}
	at, ok := f.body.Body.(io.Seeker)
	if !ok {
		return false, fmt.Errorf("the file of %s cannot be read from the middle", f.pkg)
	}
	if _, err := at.Seek(from, io.SeekStart); err != nil {
		return false, err
	}
	if _, err := io.ReadFull(f.body.Body, piece); err != nil {
		return false, fmt.Errorf("read a chunk of %s: %w", f.pkg, err)
	}
	return true, nil
}
