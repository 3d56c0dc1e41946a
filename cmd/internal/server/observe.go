package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
)

// observe logs every request at debug level and turns a panic into a 500, or,
// once the answer has begun, into a cut connection: a caller must not take
// half an answer for a whole one.
func observe(next http.Handler, log *slog.Logger) http.Handler {
	verbose := log.Enabled(context.Background(), slog.LevelDebug)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &observed{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				seen.panicked(p, r, log)
			}
		}()
		if !verbose {
			next.ServeHTTP(seen, r)
			return
		}
		began := time.Now()
		next.ServeHTTP(seen, r)
		log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", seen.status,
			"bytes", seen.bytes, "took", time.Since(began), "from", r.RemoteAddr, "trace", w.Header().Get("x-ats-traceid"))
	})
}

// observed watches an answer pass, and begins it with a deadline, so that a
// caller who reads nothing holds no connection for ever. It hands ReadFrom on, so that the kernel
// can still copy files to the network by itself, and Unwrap lets
// http.ResponseController reach what lies below.
type observed struct {
	http.ResponseWriter
	status int // 0 until the answer begins
	bytes  int64
}

func (o *observed) WriteHeader(status int) {
	if status >= 200 {
		o.begin(status)
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) begin(status int) {
	if o.status == 0 {
		o.status = status
		// Writers without deadlines, as in tests, do without.
		_ = http.NewResponseController(o.ResponseWriter).SetWriteDeadline(time.Now().Add(answerPatience))
	}
}

func (o *observed) Write(b []byte) (int, error) {
	o.begin(http.StatusOK)
	n, err := o.ResponseWriter.Write(b)
	o.bytes += int64(n)
	return n, err
}

func (o *observed) ReadFrom(r io.Reader) (int64, error) {
	o.begin(http.StatusOK)
	n, err := io.Copy(o.ResponseWriter, r)
	o.bytes += n
	return n, err
}

func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *observed) panicked(p any, r *http.Request, log *slog.Logger) {
	if p == http.ErrAbortHandler {
		panic(p)
	}
	err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	if o.status != 0 {
		log.Error("request failed in the middle of its answer", "method", r.Method, "path", r.URL.Path, "err", err)
		panic(http.ErrAbortHandler)
	}
	httpapi.Refuse(o, r, log, err)
}
