package httpapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// image makes a file of random bytes.
func image(t *testing.T, size int64) (*os.File, [sha256.Size]byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, sum), rand.NewChaCha8([32]byte{}), size); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f, [sha256.Size]byte(sum.Sum(nil))
}

// socket is a connection whose far end takes rate bytes a second until it has
// taken limit.
type socket struct {
	*httptest.ResponseRecorder
	rate, limit int
	deadline    time.Time
	last        time.Time // when it took something
	// broken is how TLS and buffers are once a deadline has passed.
	sealed, broken bool
}

func (s *socket) SetWriteDeadline(t time.Time) error {
	s.deadline = t
	return nil
}

func (s *socket) ReadFrom(src io.Reader) (n int64, err error) {
	for buf := make([]byte, s.rate); ; {
		if s.broken || s.Body.Len() >= s.limit {
			time.Sleep(time.Until(s.deadline))
		}
		if !time.Now().Before(s.deadline) {
			s.broken = s.sealed
			return n, &os.PathError{Op: "write", Path: "socket", Err: os.ErrDeadlineExceeded}
		}
		k, err := src.Read(buf)
		s.Body.Write(buf[:k])
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		time.Sleep(time.Second)
		s.last = time.Now()
	}
}

// Whoever reads nothing any more is dropped soon; whoever reads slowly gets
// everything, though it takes many deadlines.
func TestASlowDownloadLivesAndAStalledOneEnds(t *testing.T) {
	const size = 3 << 20
	for _, tt := range []struct {
		name        string
		rate, limit int
		whole       bool
	}{
		{"fast", 1 << 20, size, true},
		{"slow", 5000, size, true},
		{"too slow", 2000, size, false},
		{"stalled at once", 1 << 20, 0, false},
		{"stalled late", 1 << 20, 2 << 20, false},
		{"slow, then stalled", 5000, 2 << 20, false},
	} {
		for _, sealed := range []bool{false, true} {
			name := tt.name
			if sealed {
				name += ", over TLS"
			}
			t.Run(name, func(t *testing.T) {
				file, want := image(t, size)
				synctest.Test(t, func(t *testing.T) {
					w := &socket{ResponseRecorder: httptest.NewRecorder(), rate: tt.rate, limit: tt.limit, sealed: sealed, last: time.Now()}
					r := httptest.NewRequest("GET", "/", nil)
					r = r.WithContext(httpapi.WithConnection(r.Context(), new(net.TCPConn)))
					if sealed {
						r.TLS = new(tls.ConnectionState)
					}
					httpapi.ServeContent(w, r, &ota.Content{Body: file, Size: size})
					if got := w.Body.Len() == size; got != tt.whole {
						t.Errorf("%d bytes went out", w.Body.Len())
					}
					if tt.whole && sha256.Sum256(w.Body.Bytes()) != want {
						t.Error("other bytes went out")
					}
					if waited := time.Since(w.last); waited > 4*time.Minute {
						t.Errorf("let go %v after the last byte", waited)
					}
				})
			})
		}
	}
}

// A deadline that interrupts the kernel's copying loses no byte and sends none
// twice.
func TestADownloadGoesOnWhereTheKernelWasInterrupted(t *testing.T) {
	const size = 32 << 20 // more than the buffers of a connection hold
	file, want := image(t, size)
	goesOn, goOn := context.WithCancel(t.Context())
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer goOn()
		httpapi.ServeContent(&interrupted{ResponseWriter: w, file: file, goOn: goOn}, r, &ota.Content{Body: file, Size: size})
	}))
	srv.Config.ConnContext = httpapi.WithConnection
	srv.Start()
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-goesOn.Done()
	got, err := io.ReadAll(resp.Body)
	if sum := sha256.Sum256(got); err != nil || !bytes.Equal(sum[:], want[:]) {
		t.Errorf("%d bytes came: %v", len(got), err)
	}
}

// interrupted lets the first deadline pass in the middle of a copy, at a time
// when nobody reads.
type interrupted struct {
	http.ResponseWriter
	file  *os.File
	begun bool
	goOn  func() // called when the answer goes on after that
}

func (w *interrupted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *interrupted) ReadFrom(src io.Reader) (int64, error) {
	if w.begun {
		w.goOn()
	} else {
		w.begun = true
		go func() {
			for pos := int64(0); pos < 1<<20; pos, _ = w.file.Seek(0, io.SeekCurrent) {
				runtime.Gosched()
			}
			_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Unix(1, 0))
		}()
	}
	return io.Copy(w.ResponseWriter, src)
}
