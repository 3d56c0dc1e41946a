package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// A download that moves fewer than stallBytes in stallTime (4 kB a second) is
// dropped, so that a client that reads nothing holds no file and no
// connection. It may come back and resume.
const (
	stallBytes = 512 << 10
	stallTime  = 2 * time.Minute
)

func download(w http.ResponseWriter, r *http.Request, uplink ota.Uplink) error {
	id, err := ota.ParseUpdateID(r.PathValue("id"))
	if err != nil {
		return err
	}
	// Ranges are cut here, out of the whole: there may be several of them,
	// and whether If-Range holds is known only once the digest is.
	content, err := uplink.Fetch(r.Context(), ota.FetchRequest{
		Update:   id,
		Artifact: r.URL.Query().Get("artifact"),
		Peek:     r.Method == http.MethodHead,
	})
	if err != nil {
		return err
	}
	defer content.Body.Close()
	ServeContent(w, r, content)
	return nil
}

// ServeContent answers GET or HEAD with an artifact: whole, or in one or more
// ranges (RFC 9110, 14), with its digest as a strong ETag and as Repr-Digest
// (RFC 9530). Content that cannot seek is sent whole.
func ServeContent(w http.ResponseWriter, r *http.Request, c *ota.Content) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	if sum, err := hex.DecodeString(string(c.Digest)); err == nil && c.Digest != "" {
		h.Set("ETag", etag(c.Digest))
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	pace := &pacer{ResponseWriter: w, ctl: http.NewResponseController(w)}
	if r.TLS == nil {
		pace.conn, _ = r.Context().Value(connectionKey{}).(net.Conn)
	}
	defer pace.done()
	if whole, ok := c.Body.(io.ReadSeeker); ok {
		serveRanges(&rangeRefusal{ResponseWriter: pace, size: c.Size}, r, whole)
		return
	}
	if c.Size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(c.Size, 10))
	}
	if r.Method != http.MethodHead {
		_, _ = io.Copy(pace, c.Body) // what is cut short is told by its length
	}
}

// maxRanges bounds the ranges of one request. Each costs a head of its own,
// which may be far longer than the asking.
const maxRanges = 100

type connectionKey struct{}

// WithConnection is an http.Server's ConnContext. It lets ServeContent tell the
// connection that a whole file is coming; without it files leave in chunks.
func WithConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// serveRanges does what http.ServeContent does, but passes over units it does
// not know (RFC 9110, 14.2) and refuses too many ranges and the last 0 bytes.
func serveRanges(w *rangeRefusal, r *http.Request, whole io.ReadSeeker) {
	switch spec, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); {
	case !ok:
		r.Header.Del("Range")
	case strings.Count(spec, ",") >= maxRanges, strings.TrimSpace(spec) == "-0":
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, whole)
}

// etag is an artifact's name for caches and for If-Range.
func etag(d ota.Digest) string { return fmt.Sprintf("%q", string(d)) }

// pacer gives an answer a deadline at a time. It hands files on to the
// connection, which may send them without copying them.
type pacer struct {
	http.ResponseWriter
	ctl  *http.ResponseController
	conn net.Conn // nil if something lies between the answer and its connection
}

func (p *pacer) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *pacer) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

func (p *pacer) ReadFrom(src io.Reader) (int64, error) {
	// The kernel's copying understands one io.LimitedReader around a file,
	// not two, so that the caller's is replaced rather than wrapped.
	outer, ok := src.(*io.LimitedReader)
	if !ok {
		outer = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	most := int64(stallBytes)
	if p.sendsWhole(outer.R) {
		most = 1<<63 - 1
		defer cork(p.conn)()
	}
	var total int64
	for outer.N > 0 {
		p.extend()
		chunk := min(outer.N, most)
		n, err := io.Copy(p.ResponseWriter, &io.LimitedReader{R: outer.R, N: chunk})
		total += n
		outer.N -= n
		if errors.Is(err, os.ErrDeadlineExceeded) && n >= stallBytes {
			continue // slow, but not stalled: the chunk was large
		}
		if err != nil || n < chunk {
			return total, err
		}
	}
	return total, nil
}

// sendsWhole tells whether the kernel sends src by itself. Chunks would cost
// it a tenth of its speed, and it loses no byte when a deadline interrupts it:
// what is not sent is still to be read. Buffers and TLS forget where they were.
func (p *pacer) sendsWhole(src io.Reader) bool {
	_, file := src.(syscall.Conn)
	return file && p.conn != nil
}

// extend ignores writers without deadlines, as in tests.
func (p *pacer) extend() { _ = p.ctl.SetWriteDeadline(time.Now().Add(stallTime)) }

// done sends what is still buffered under the last deadline, and leaves none
// behind for the connection's next request.
func (p *pacer) done() {
	_ = p.ctl.Flush()
	_ = p.ctl.SetWriteDeadline(time.Time{})
}

// rangeRefusal turns the plain text of a 416 or 412 into a problem document.
type rangeRefusal struct {
	http.ResponseWriter
	size    int64
	refused bool
}

func (w *rangeRefusal) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *rangeRefusal) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable && status != http.StatusPreconditionFailed {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	w.Header().Del("Repr-Digest")
	code, text := "range_not_satisfiable", fmt.Sprintf("not a range, or beyond the end, which Content-Range tells, or more than %d ranges", maxRanges)
	if status == http.StatusPreconditionFailed {
		code, text = "precondition_failed", "the artifact is another one than asked for"
	} else {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", w.size))
	}
	writeJSON(w.ResponseWriter, status, ProblemType, problem(status, code, text))
}

func (w *rangeRefusal) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

func (w *rangeRefusal) ReadFrom(src io.Reader) (int64, error) {
	return io.Copy(w.ResponseWriter, src)
}
