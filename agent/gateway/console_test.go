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

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/agent"
)

// talk is what a script writes, and what it reads.
func talk(t *testing.T, c Client, input string) string {
	t.Helper()
	var out strings.Builder
	if err := NewConsole(c, strings.NewReader(input), &out, nil).Serve(t.Context()); err != nil {
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
	go func() { ended <- NewConsole(c, in, io.Discard, nil).Serve(ctx) }()
	io.WriteString(typed, "inst u1\n")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("nobody listens") }

func TestABrokenOutputIsAnError(t *testing.T) {
	err := NewConsole(&client{}, strings.NewReader("ls\n"), broken{}, nil).Serve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Error(err)
	}
}

const terminalEnv = "GATEWAY_TEST_TERMINAL"

// A person types at a real terminal: the beginning of a name and TAB, then the
// same again with the arrow key, then Ctrl-D.
func TestAPersonAtTheConsole(t *testing.T) {
	if os.Getenv(terminalEnv) != "" {
		if err := NewConsole(&client{}, os.Stdin, os.Stdout, nil).Serve(t.Context()); err != nil {
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
	answer := `{"variant":"DownloadComplete","fields":[{"update_id":"u1","update_image":"/tmp/u1","signature":""}]}`
	read("> ")
	io.WriteString(keyboard, "StartD\t u1\r")
	read(answer)
	read("> ")
	io.WriteString(keyboard, "\x1b[A\r")
	read(answer)
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
