package gateway

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/peterh/liner"
)

// pipe reads lines that nobody types.
type pipe struct{ r *bufio.Reader }

func (p pipe) next() (string, error) {
	var line []byte
	for {
		part, err := p.r.ReadSlice('\n')
		line = append(line, part[:min(len(part), maxInput+1-len(line))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
			return strings.TrimSuffix(string(line), "\n"), nil
		}
		return "", err
	}
}

func (p pipe) close() error { return nil }

// terminal reads lines that someone types.
type terminal struct{ state *liner.State }

func newTerminal() terminal {
	state := liner.NewLiner()
	state.SetCompleter(complete)
	state.SetCtrlCAborts(true)
	return terminal{state}
}

func (t terminal) next() (string, error) {
	line, err := t.state.Prompt("> ")
	switch {
	case errors.Is(err, liner.ErrPromptAborted):
		// Ctrl-C means what it means where nobody edits lines.
		return "", errors.Join(io.EOF, syscall.Kill(os.Getpid(), syscall.SIGINT))
	case err == nil:
		t.state.AppendHistory(line)
	}
	return line, err
}

// close gives the terminal back as it was.
func (t terminal) close() error { return t.state.Close() }

// complete lists the names of commands that begin with line.
func complete(line string) []string {
	var names []string
	for _, f := range forms {
		for _, name := range []string{f.long, f.short} {
			if strings.HasPrefix(name, line) {
				names = append(names, name)
			}
		}
	}
	return names
}
