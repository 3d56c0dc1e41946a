package gateway

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/updraft-ota/updraft/ota"
)

// terminal reads lines that someone types, with editing, a history in memory
// and completion. What is written to it appears above the line being typed.
type terminal struct {
	*term.Terminal
	fd     int
	old    *unix.Termios // how the terminal was before open
	closed atomic.Bool
}

// typing is the process's own terminal.
type typing struct{}

func (typing) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (typing) Write(p []byte) (int, error) { return os.Stdout.Write(p) }

// newTerminal makes one of the process's own terminal; known lists the updates
// that can be completed.
func newTerminal(known func() []ota.UpdateID) *terminal {
	t := &terminal{Terminal: term.NewTerminal(typing{}, "> "), fd: int(os.Stdin.Fd())}
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return t.complete(line, pos, known())
	}
	return t
}

// open takes the terminal over.
func (t *terminal) open() (err error) {
	if width, height, err := term.GetSize(t.fd); err == nil && width > 0 {
		t.SetSize(width, height)
	}
	if t.old, err = unix.IoctlGetTermios(t.fd, unix.TCGETS); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	// Keys come one by one and unseen. Signals stay: Ctrl-C means what it
	// means where nobody edits lines. So does what output does to line ends,
	// since others write to this terminal, too.
	raw := *t.old
	raw.Iflag &^= unix.ICRNL | unix.INLCR | unix.IGNCR | unix.ISTRIP | unix.IXON
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(t.fd, unix.TCSETS, &raw); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

func (t *terminal) next() (string, error) { return t.ReadLine() }

// Write writes above the line being typed, as long as one is.
func (t *terminal) Write(p []byte) (int, error) {
	if t.closed.Load() {
		return os.Stdout.Write(p)
	}
	return t.Terminal.Write(p)
}

// close gives the terminal back as it was.
func (t *terminal) close() error {
	t.closed.Store(true)
	fmt.Fprintln(os.Stdout)
	return unix.IoctlSetTermios(t.fd, unix.TCSETS, t.old)
}

// complete extends what stands before the cursor as far as it is certain. If
// it is not, it shows what there is to choose from.
func (t *terminal) complete(line string, pos int, known []ota.UpdateID) (string, int, bool) {
	before, after := line[:pos], line[pos:]
	head, choice := completions(before, known)
	switch len(choice) {
	case 0:
		return "", 0, false
	case 1:
		before = head + choice[0] + " "
	default:
		longer := head + commonPrefix(choice)
		if longer == before {
			fmt.Fprintln(t, strings.Join(choice, "  "))
		}
		before = longer
	}
	return before + after, len(before), true
}
