package gateway

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
)

// talk is what a script writes, and what it reads.
func talk(t *testing.T, c *client, input string) string {
	t.Helper()
	var out strings.Builder
	if err := NewConsole(deaf{c}, strings.NewReader(input), &out, discard).Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestAScriptAtTheConsole(t *testing.T) {
	c := &client{}
	got := talk(t, c, `ls
  dl u1 ;

{"variant":"StartInstall","fields":["u1"]}
 "GetUpdateRequests"`+"\r"+`
make coffee
{"variant":"MakeCoffee","fields":[]}
sendup u1
sendinfo
sendup u1 OK`)
	want := `{"variant":"FoundInstalledPackages","fields":[[{"name":"Movie&MusicPlayer","version":"rc2-beta3"}]]}
{"variant":"DownloadComplete","fields":[{"update_id":"u1","update_image":"/tmp/u1","signature":""}]}
{"variant":"InstallComplete","fields":[{"update_id":"u1","operation_results":[{"id":"u1","result_code":0,"result_text":"done"}]}]}
"NoUpdateRequests"
{"variant":"Error","fields":["Unknown Command: bad command: make coffee"]}
{"variant":"Error","fields":["Failed to decode JSON: there is no command \"MakeCoffee\""]}
{"variant":"Error","fields":["Unknown Command: usage: SendUpdateReport <update-id> <result-code>"]}
{"variant":"Error","fields":["the client has ended"]}
"UpdateReportSent"
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNothingIsReadAfterShutdown(t *testing.T) {
	c := &client{}
	if got := talk(t, c, "shutdown\nls\n"); got != "" {
		t.Errorf("answered %q", got)
	}
	if diff := cmp.Diff([]agent.Command{agent.Shutdown{}}, c.heard()); diff != "" {
		t.Error(diff)
	}
}

func TestALineTooLongIsOneError(t *testing.T) {
	got := strings.Split(talk(t, &client{}, "dl "+strings.Repeat("x", 3*maxInput)+"\n{"+strings.Repeat(" ", maxInput)+"}\nls\n"), "\n")
	if len(got) != 4 || !strings.Contains(got[0], "Unknown Command: bad command") || !strings.Contains(got[1], "Failed to parse JSON") || !strings.Contains(got[2], "FoundInstalledPackages") {
		t.Errorf("answered %.300q", got)
	}
}

func TestTheEndOfTheContextEndsTheConsole(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, typed := io.Pipe()
	defer typed.Close()
	ended := make(chan error)
	c := &client{stuck: make(chan struct{})}
	go func() { ended <- NewConsole(deaf{c}, in, io.Discard, nil).Serve(ctx) }()
	io.WriteString(typed, "inst u1\n")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("nobody listens") }

func TestABrokenOutputIsAnError(t *testing.T) {
	err := NewConsole(deaf{&client{}}, strings.NewReader("ls\n"), broken{}, nil).Serve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Error(err)
	}
}

const terminalEnv = "GATEWAY_TEST_TERMINAL"

// A person types at a real terminal, sees everything that happens, completes
// names and what the client knows, and has a history.
func TestAPersonAtTheConsole(t *testing.T) {
	if os.Getenv(terminalEnv) != "" {
		d := newDevice(t)
		d.link.offer("u1-abc", "u1-xyz")
		if err := NewConsole(d.start(), os.Stdin, os.Stdout, discard).Serve(t.Context()); err != nil {
			t.Fatal(err)
		}
		return
	}
	keyboard, screen := terminalPair(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestAPersonAtTheConsole$")
	cmd.Env = append(os.Environ(), terminalEnv+"=1", "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen.Close()
	defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop() // ends a read that waits in vain

	seen := ""
	read := func(until string) {
		t.Helper()
		buf := make([]byte, 1024)
		for !strings.Contains(seen, until) {
			n, err := keyboard.Read(buf)
			if seen += string(buf[:n]); err != nil {
				t.Fatalf("waiting for %q: %v; on the screen:\n%q", until, err, seen)
			}
		}
		seen = seen[strings.Index(seen, until)+len(until):]
	}
	read("> ")
	io.WriteString(keyboard, "ge\t\r")
	read("getreq ")
	read(`{"variant":"UpdatesReceived","fields":[[{"requestId":"u1-abc",`)
	read(`{"variant":"DownloadingUpdate","fields":["u1-abc"]}`) // nobody asked for it
	read(`{"variant":"DownloadComplete","fields":[{"update_id":"u1-xyz",`)
	read("> ")
	io.WriteString(keyboard, "half a li")
	read("half a li")
	io.WriteString(keyboard, "\x15sendup \t\t")
	read("u1-abc  u1-xyz\r")
	read("> sendup u1-")
	io.WriteString(keyboard, "a\tDISK\t\r")
	read("DISK_FULL")
	read(`"UpdateReportSent"`)
	io.WriteString(keyboard, "make coffee\r")
	read(`{"variant":"Error","fields":["Unknown Command: bad command: make coffee"]}`)
	io.WriteString(keyboard, "\x1b[A\x1b[A\r")
	read("sendup u1-abc DISK_FULL")
	read(`"UpdateReportSent"`)
	read("> ")
	io.WriteString(keyboard, "\x04")
	read("PASS")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// terminalPair opens a pseudo-terminal of 120 columns.
func terminalPair(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(keyboard.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120})); err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close(); screen.Close() })
	return keyboard, screen
}
