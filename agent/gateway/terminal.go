package gateway

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/updraft-ota/updraft/ota"
)

// terminal reads lines that someone types, with editing, a history in memory
// and completion, and lets events be written above the line being typed.
type terminal struct {
	*term.Terminal
	fd  int
	old *unix.Termios
}

// typing is the process's own terminal.
type typing struct{}

func (typing) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (typing) Write(p []byte) (int, error) { return os.Stdout.Write(p) }

// newTerminal takes the terminal over; known lists the updates that can be
// completed.
func newTerminal(known func() []ota.UpdateID) (*terminal, error) {
	t := &terminal{Terminal: term.NewTerminal(typing{}, "> "), fd: int(os.Stdin.Fd())}
	if width, height, err := term.GetSize(t.fd); err == nil {
		t.SetSize(width, height)
	}
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return t.complete(line, pos, known())
	}
	var err error
	if t.old, err = unix.IoctlGetTermios(t.fd, unix.TCGETS); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	// Keys come one by one and unseen. Signals stay: Ctrl-C means what it
	// means where nobody edits lines. So does what output does to line ends,
	// since others write to this terminal, too.
	raw := *t.old
	raw.Iflag &^= unix.ICRNL | unix.INLCR | unix.IGNCR | unix.ISTRIP | unix.IXON
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(t.fd, unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return t, nil
}

func (t *terminal) next() (string, error) { return t.ReadLine() }

// close gives the terminal back as it was.
func (t *terminal) close() error { return unix.IoctlSetTermios(t.fd, unix.TCSETS, t.old) }

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
