package server

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPanicIsAProblemAndTheServerGoesOn(t *testing.T) {
	var logged bytes.Buffer
	mux := http.NewServeMux()
	mux.HandleFunc("/early", func(http.ResponseWriter, *http.Request) { panic("the secret detail") })
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Repeat("x", 1<<16))
		panic("the secret detail")
	})
	s := httptest.NewServer(observe(mux, slog.New(slog.NewTextHandler(&logged, nil))))

	resp, err := http.Get(s.URL + "/early")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 500 || !strings.Contains(string(body), "internal_error") || strings.Contains(string(body), "secret") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}

	// What is cut off must not look whole.
	resp, err = http.Get(s.URL + "/late")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("an answer that broke off came in whole")
	}
	s.Close() // so that all is logged
	if n := strings.Count(logged.String(), "the secret detail"); n != 2 {
		t.Errorf("two panics, %d log lines:\n%s", n, &logged)
	}
}

// readerFrom tells whether the kernel could have copied the file.
type readerFrom struct {
	http.ResponseWriter
	got io.Reader
}

func (r *readerFrom) ReadFrom(src io.Reader) (int64, error) {
	r.got = src
	return io.Copy(io.Discard, src)
}

func TestFilesPassTheLogUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("twelve bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var logged bytes.Buffer
		below := &readerFrom{ResponseWriter: httptest.NewRecorder()}
		h := observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) }),
			slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: level})))
		h.ServeHTTP(below, httptest.NewRequest("GET", "/f", nil))
		if limited, ok := below.got.(*io.LimitedReader); !ok {
			t.Errorf("at %v, net/http got a %T and could not have used sendfile", level, below.got)
		} else if _, ok := limited.R.(*os.File); !ok {
			t.Errorf("at %v, net/http got a %T and could not have used sendfile", level, limited.R)
		}
		if told := strings.Contains(logged.String(), "path=/f status=200 bytes=12"); told != (level == slog.LevelDebug) {
			t.Errorf("at %v the log says %q", level, &logged)
		}
	}
}

var discard = slog.New(slog.DiscardHandler)
