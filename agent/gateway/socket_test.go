package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

func openCommandSocket(t testing.TB, c Client) (path string, s *Socket) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "commands.socket")
	s, err := NewSocket(c, path, discard)
	if err != nil {
		t.Fatal(err)
	}
	return path, s
}

func dialSocket(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// tell sends one command in pieces and returns the answer.
func tell(t testing.TB, path string, pieces ...string) string {
	t.Helper()
	conn := dialSocket(t, path)
	for _, p := range pieces {
		if _, err := io.WriteString(conn, p); err != nil {
			t.Fatal(err)
		}
	}
	conn.CloseWrite()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCommandsOverTheSocket(t *testing.T) {
	c := &client{}
	path, s := openCommandSocket(t, c)
	serve(t, s)
	for _, turn := range []struct {
		pieces []string
		want   string
	}{
		{[]string{"ls"}, `{"variant":"FoundInstalledPackages","fields":[[{"name":"Movie&MusicPlayer","version":"rc2-beta3"}]]}`},
		{[]string{" dl u1 ;\r\n"}, `{"variant":"DownloadComplete","fields":[{"update_id":"u1","update_image":"/tmp/u1","signature":""}]}`},
		{[]string{"SendUpd", "ateReport u1", " 0"}, `"UpdateReportSent"`},
		{[]string{"SendInstalledPackages gcc 7.63 Movie&MusicPlayer rc2-beta3 ECU9274927BF82-firmware gitID-2fab572"}, `"NoUpdateRequests"`},
		{[]string{` "GetUpdateRequests"`}, `"NoUpdateRequests"`},
		{[]string{"{\"variant\":\n\"SendUpdateReport\",\n", `"fields":[{"update_id":"u1","operation_results":[{"id":"u1","result_code":"disk_full","result_text":""}]}]}`}, `"UpdateReportSent"`},
		{[]string{"make coffee\n"}, `{"variant":"Error","fields":["Unknown Command: bad command: make coffee\n"]}`},
		{[]string{"dl 1\nls\n"}, `{"variant":"Error","fields":["Unknown Command: bad command: dl 1\nls\n"]}`},
		{[]string{""}, `{"variant":"Error","fields":["Unknown Command: bad command: "]}`},
		{[]string{"{\"variant\":"}, `{"variant":"Error","fields":["Failed to parse JSON: unexpected end of JSON input"]}`},
		{[]string{"sendinfo"}, `{"variant":"Error","fields":["the client has ended"]}`},
	} {
		if got := tell(t, path, turn.pieces...); got != turn.want {
			t.Errorf("%q: %s, want %s", turn.pieces, got, turn.want)
		}
	}
	if n := len(c.heard()); n != 7 {
		t.Errorf("the client heard %d commands", n)
	}
}

func TestALineMayEndACommand(t *testing.T) {
	path, s := openCommandSocket(t, &client{})
	serve(t, s)
	conn := dialSocket(t, path)
	io.WriteString(conn, "ls\n") // and the sending half stays open
	if b, err := io.ReadAll(conn); !strings.Contains(string(b), "FoundInstalledPackages") {
		t.Error(string(b), err)
	}
}

func TestACommandMustEndInTime(t *testing.T) {
	path, s := openCommandSocket(t, &client{})
	s.readTime = time.Millisecond
	serve(t, s)
	conn := dialSocket(t, path)
	if b, err := io.ReadAll(conn); !strings.Contains(string(b), `Unknown Command: it does not end`) {
		t.Error(string(b), err)
	}
}

func TestACommandTooLong(t *testing.T) {
	path, s := openCommandSocket(t, &client{})
	serve(t, s)
	conn := dialSocket(t, path)
	io.WriteString(conn, "dl "+strings.Repeat("x", maxInput)) // may break off
	if b, err := io.ReadAll(conn); !strings.Contains(string(b), "more than 1048576 bytes") {
		t.Error(string(b), err)
	}
}

func TestManyPeersAtATime(t *testing.T) {
	c := &client{stuck: make(chan struct{})}
	path, s := openCommandSocket(t, c)
	serve(t, s)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := tell(t, path, "inst u1"); !strings.Contains(got, "InstallComplete") {
				t.Error(got)
			}
		})
	}
	for range 2 * maxConnections {
		if got := tell(t, path, "getreq"); got != `"NoUpdateRequests"` {
			t.Error(got)
		}
	}
	close(c.stuck)
	all.Wait()
}

func TestShutdownOverTheSocketHasNoAnswer(t *testing.T) {
	path, s := openCommandSocket(t, &client{})
	serve(t, s)
	if got := tell(t, path, "shutdown"); got != "" {
		t.Error(got)
	}
}

func TestTheEndLetsPeersGoAndRemovesTheFile(t *testing.T) {
	c := &client{stuck: make(chan struct{})}
	path, s := openCommandSocket(t, c)
	end := serve(t, s)
	busy, silent := dialSocket(t, path), dialSocket(t, path)
	io.WriteString(busy, "inst u1\n")
	tell(t, path, "getreq") // those before it are being served
	end()
	for _, conn := range []net.Conn{busy, silent} {
		if b, _ := io.ReadAll(conn); len(b) > 0 {
			t.Errorf("answered %s", b)
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file is left: %v", err)
	}
}

func TestTheSocketFile(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	path, s := openCommandSocket(t, &client{})
	end := serve(t, s)
	if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := NewSocket(&client{}, path, discard); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second client: %v", err)
	}
	if got := tell(t, path, "getreq"); got != `"NoUpdateRequests"` {
		t.Errorf("the second client has disturbed the first: %s", got)
	}
	end()

	crashed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	crashed.SetUnlinkOnClose(false)
	crashed.Close()
	again, err := NewSocket(&client{}, path, discard)
	if err != nil {
		t.Fatalf("a stale file is in the way: %v", err)
	}
	serve(t, again)
	if got := tell(t, path, "getreq"); got != `"NoUpdateRequests"` {
		t.Error(got)
	}
}

// Only sockets are replaced, and nothing is reached through a link that others
// could have made.
func TestWhatIsNotASocketStays(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "target.socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: target, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	shared := filepath.Join(dir, "shared") // like /tmp
	loose := filepath.Join(dir, "loose")
	for name, mode := range map[string]os.FileMode{shared: 0o777 | os.ModeSticky, loose: 0o777} {
		if err := errors.Join(os.Mkdir(name, 0o700), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) string {
		t.Helper()
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a file":                precious,
		"a directory":           shared,
		"a fifo":                fifo,
		"a link to a file":      link(precious, filepath.Join(dir, "link1")),
		"a link to a socket":    link(target, filepath.Join(shared, "link2")),
		"a link to nothing":     link(filepath.Join(dir, "nothing"), filepath.Join(shared, "link3")),
		"a directory by a link": filepath.Join(link(dir, filepath.Join(shared, "link4")), "new.socket"),
		"an open directory":     filepath.Join(loose, "new.socket"),
		"no directory":          filepath.Join(dir, "none", "new.socket"),
		"below a file":          filepath.Join(precious, "new.socket"),
	} {
		if s, err := NewSocket(&client{}, path, discard); err == nil {
			t.Errorf("%s: listens", name)
			serve(t, s)()
		}
	}
	for _, path := range []string{precious, target, fifo, filepath.Join(shared, "link2"), filepath.Join(shared, "link3")} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("is gone: %v", err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "nothing")); err == nil {
		t.Error("a socket was made through a link")
	}
	a := NewAnnouncer(newDevice(t).start(), filepath.Join(shared, "link2"), discard)
	if err := a.deliver(t.Context(), []byte("{}")); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("an event went through a link: %v", err)
	}
	serve(t, a)
}

// installer listens for events as an installer would, and hands over what
// came in each connection.
func installer(t testing.TB, path string) <-chan string {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(conn)
			conn.Close()
			heard <- string(b)
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return heard
}

func TestAnInstallerHearsOfDownloads(t *testing.T) {
	d := newDevice(t)
	path := filepath.Join(t.TempDir(), "events.socket")
	heard := installer(t, path)
	d.start()
	serve(t, NewAnnouncer(d, path, discard))
	d.link.offer("u1")
	d.do(agent.GetUpdateRequests{})
	want := `{"version":"0.1","event":"DownloadComplete","data":{"update_id":"u1","update_image":"` + d.config.Device.PackagesDir + `/u1","signature":""}}`
	if got := <-heard; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	d.do(agent.StartDownload{Update: "u2"})
	if got, want := <-heard, `{"version":"0.1","event":"DownloadFailed","data":{"update_id":"u2","reason":"the server offers no update \"u2\""}}`; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	if len(heard) > 0 {
		t.Errorf("heard %s", <-heard)
	}
}

// patience counts attempts, and lets them be made when the test says so.
type patience struct{ tries chan int }

func (p patience) wait(ctx context.Context, attempt int) error {
	select {
	case p.tries <- attempt:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAnInstallerThatComesLate(t *testing.T) {
	d := newDevice(t).start()
	path := filepath.Join(t.TempDir(), "events.socket")
	a := NewAnnouncer(d, path, discard)
	p := patience{make(chan int)}
	a.wait = p.wait
	serve(t, a)
	d.do(agent.StartDownload{Update: "u1"})
	d.do(agent.StartDownload{Update: "u2"})
	var tries []int
	for range 3 {
		tries = append(tries, <-p.tries)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, tries); diff != "" {
		t.Error(diff)
	}
	heard := installer(t, path)
	for done := false; !done; {
		select {
		case <-p.tries:
		case got := <-heard:
			if done = true; !strings.Contains(got, `"update_id":"u1"`) {
				t.Errorf("heard %s first", got)
			}
		}
	}
	if got := <-heard; !strings.Contains(got, `"update_id":"u2"`) {
		t.Errorf("heard %s", got)
	}
}

func TestOnlyTheLatestOfAnUpdateWaits(t *testing.T) {
	b := newBacklog()
	at := time.Now()
	first := notice{"u1", []byte("1"), at}
	b.add(first)
	b.add(notice{"u2", []byte("2"), at})
	b.add(notice{"u1", []byte("3"), at.Add(1)})
	if b.has(first) {
		t.Error("old news is kept")
	}
	for _, want := range []string{"2", "3"} {
		n, err := b.first(t.Context())
		if err != nil || string(n.envelope) != want {
			t.Errorf("%s, %v", n.envelope, err)
		}
		b.done(n)
	}
	for i := range maxUntold + 1 {
		b.add(notice{ota.UpdateID(fmt.Sprint(i)), nil, at})
	}
	if len(b.list) != maxUntold {
		t.Errorf("%d wait", len(b.list))
	}
}

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1 << 20: time.Minute} {
			start := time.Now()
			if err := pause(t.Context(), attempt); err != nil || time.Since(start) != want {
				t.Errorf("attempt %d: %v, %v", attempt, time.Since(start), err)
			}
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := pause(ended, 1); err != context.Canceled {
			t.Error(err)
		}
	})
}
