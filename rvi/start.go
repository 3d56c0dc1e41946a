package rvi

import "github.com/updraft-ota/updraft/ota"

// Start tells a device of a file that is about to come (rvi.md 4.4).
type Start struct {
	Unit     Unit
	Chunks   int    // chunkscount; 0 for an empty file
	Checksum string // SHA-1 of the file, lower-case hex

	// Ours, and optional (rvi.md 6.3).
	SHA256    ota.Digest // of the file; "" if not told
	Size      int64      // of the file in bytes; -1 if not told
	Signature string     // over the SHA-256; "" if not told
}

// StartOf makes the start of a file that a server knows all about.
func StartOf(u Unit, file ota.Artifact) Start {
	return Start{Unit: u, Chunks: ChunkCount(file.Size), Checksum: file.SHA1, SHA256: file.SHA256, Size: file.Size, Signature: file.Signature}
}

// Same reports whether two starts are of the same file (rvi.md 4.7).
func (m Start) Same(other Start) bool {
	return m.Unit == other.Unit && m.Chunks == other.Chunks && m.Checksum == other.Checksum && m.SHA256 == other.SHA256
}

func (Start) Service() Service { return ServiceStart }
func (Start) toDevice()        {}

func readStart(f fields) DeviceMessage {
	m := Start{Unit: f.unit(), Chunks: int(f.number("chunkscount", MaxChunks)),
		Checksum: f.hexSum("checksum", "bad_checksum_format", 40), SHA256: f.digest(),
		Size: f.maybeNumber("size", MaxChunks*ChunkSize), Signature: f.maybeText("signature", maxText)}
	if m.Size >= 0 && ChunkCount(m.Size) != m.Chunks {
		f.outOfRange("size")
	}
	return m
}

func (m Start) AppendParams(b []byte) []byte {
	w := params(b)
	w.number("chunkscount", int64(m.Chunks))
	w.text("checksum", m.Checksum)
	w.unit(m.Unit)
	w.maybe("sha256", string(m.SHA256))
	if m.Size >= 0 {
		w.number("size", m.Size)
	}
	w.maybe("signature", m.Signature)
	return w.done()
}
