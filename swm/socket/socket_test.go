package socket

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm"
)

// manager takes note of what it is told.
type manager struct {
	heard chan string
	link  chan swm.Client
}

func (m *manager) DownloadComplete(path string, id ota.UpdateID) error {
	m.heard <- string(id) + " " + path
	return nil
}

func (m *manager) Run(ctx context.Context, c swm.Client) error {
	m.link <- c
	<-ctx.Done()
	return nil
}

// world is a door and the two sockets.
type world struct {
	*testing.T
	*manager
	client swm.Client
	Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "swm-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &world{T: t, manager: &manager{make(chan string, 10), make(chan swm.Client, 1)}, Options: Options{
		Events: filepath.Join(dir, "events"), Commands: filepath.Join(dir, "commands"), Log: slog.New(slog.DiscardHandler)}}
}

func (w *world) start() {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, w.manager, w.Options) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	w.client = receive(w.T, w.link)
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing comes")
	}
	panic("unreachable")
}

// says sends an event as the client does, and waits until it was read.
func (w *world) says(event string) {
	w.Helper()
	conn, err := net.Dial("unix", w.Events)
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte(event)) // the peer may be quicker
	conn.(*net.UnixConn).CloseWrite()
	io.ReadAll(conn)
}

// Events are heard; what is none is not, and does no harm.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	w.start()
	for _, bad := range []string{"", "hello", "null", `"DownloadComplete"`, `{"version":"0.2","event":"DownloadComplete","data":{"update_id":"u","update_image":"/u"}}`,
		`{"version":"0.1","event":"DownloadComplete","data":{"update_image":"/u"}}`, `{"version":"0.1","event":"Reboot","data":{}}`,
		`{"version":"0.1","event":"DownloadFailed","data":{"update_id":"u1","reason":"it rains"}}`, strings.Repeat(" ", maxInput+1), strings.Repeat("[", maxInput)} {
		w.says(bad)
	}
	w.says(`{"version":"0.1","event":"DownloadComplete","data":{"update_id":"u1","update_image":"/tmp/u1","signature":"","more":1}}`)
	if got := receive(t, w.heard); got != "u1 /tmp/u1" {
		t.Errorf("heard %q", got)
	}
	if st, err := os.Stat(w.Events); err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v: %v", st.Mode(), err)
	}
}

// A door that is out of file descriptors goes on when there are some again.
func TestPeersWaitWhileDescriptorsAreShort(t *testing.T) {
	w := newWorld(t)
	refusals := &flakyListener{fails: 3}
	log := &countingHandler{}
	var err error
	if refusals.Listener, err = listen(w.Events); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := context.AfterFunc(ctx, func() { refusals.Close() })
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- accept(ctx, refusals, slog.New(log), func(conn net.Conn) { hear(conn, w.manager, w.Log) })
	}()
	w.says(`{"version":"0.1","event":"DownloadComplete","data":{"update_id":"u1","update_image":"/tmp/u1","signature":""}}`)
	if got := receive(t, w.heard); got != "u1 /tmp/u1" {
		t.Errorf("heard %q", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if log.records != 1 {
		t.Errorf("a shortage is told %d times", log.records)
	}
}

// flakyListener fails to accept, as accept(2) does, until it has done so often
// enough.
type flakyListener struct {
	net.Listener
	fails int
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", unix.EMFILE)}
	}
	return l.Listener.Accept()
}

// countingHandler counts what is logged by one goroutine.
type countingHandler struct {
	slog.Handler
	records int
}

func (h *countingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *countingHandler) Handle(context.Context, slog.Record) error {
	h.records++
	return nil
}

// A socket that a killed manager left is replaced; one in use, and any other
// file, is not.
func TestStaleSockets(t *testing.T) {
	w := newWorld(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.Events})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := Serve(t.Context(), w.manager, w.Options); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket in use: %v", err)
	}
	l.Close()
	w.start()
	other := w.Options
	other.Events = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(other.Events, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), w.manager, other); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file: %v", err)
	}
}

// Commands are what the client's socket takes; its answer decides whether they
// are made again.
func TestCommands(t *testing.T) {
	w := newWorld(t)
	w.start()
	if err := w.client.StartDownload(t.Context(), "u1"); err == nil {
		t.Error("nobody listens")
	}
	l, err := net.Listen("unix", w.Commands)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard, answers := make(chan string, 1), make(chan string, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(conn)
			heard <- strings.TrimSpace(string(b))
			io.WriteString(conn, <-answers)
			conn.Close()
		}
	}()
	report := ota.Report{Update: "u1", Results: []ota.OperationResult{{ID: "<1>", Code: ota.DiskFull, Text: "full"}}}
	for _, c := range []struct {
		do           func() error
		says, answer string
		again        bool
	}{
		{func() error { return w.client.StartDownload(t.Context(), "u1") },
			`{"variant":"StartDownload","fields":["u1"]}`, `{"variant":"DownloadComplete","fields":[{}]}`, false},
		{func() error { return w.client.SendUpdateReport(t.Context(), report) },
			`{"variant":"SendUpdateReport","fields":[{"update_id":"u1","operation_results":[{"id":"<1>","result_code":15,"result_text":"full"}]}]}`, `"UpdateReportSent"`, false},
		{func() error {
			return w.client.SendInstalledPackages(t.Context(), []ota.PackageID{{Name: "gcc", Version: "7.63"}})
		},
			`{"variant":"SendInstalledPackages","fields":[[{"name":"gcc","version":"7.63"}]]}`, `"InstalledPackagesSent"`, false},
		{func() error { return w.client.StartDownload(t.Context(), "u1") },
			`{"variant":"StartDownload","fields":["u1"]}`, `{"variant":"Error","fields":["Http client error: away"]}`, false},
		{func() error { return w.client.StartDownload(t.Context(), "u1") },
			`{"variant":"StartDownload","fields":["u1"]}`, `{"variant":"Error","fields":["IO error: no space left"]}`, true},
		{func() error { return w.client.StartDownload(t.Context(), "u1") },
			`{"variant":"StartDownload","fields":["u1"]}`, ``, true},
	} {
		answers <- c.answer
		err := c.do()
		if got := receive(t, heard); got != c.says {
			t.Errorf("said %s, want %s", got, c.says)
		}
		if again := err != nil; again != c.again {
			t.Errorf("%s, answered %s: %v", c.says, c.answer, err)
		}
	}
}
