package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/updraft-ota/updraft/agent"
)

// Console is the door for a person at a terminal, or a script at a pipe: one
// command per line, in text or JSON, answered by one line with the final event
// as JSON, in order (client.md 5.1). Blank lines have no answer.
type Console struct {
	client Client
	in     io.Reader
	out    io.Writer
	log    *slog.Logger
}

// lines is where commands come from. next gives a line without its end, of a
// line over maxInput only a part that is still over it, and io.EOF at the end.
type lines interface {
	next() (string, error)
	close() error
}

// NewConsole makes a console that reads in and writes to out. If both are the
// process's own terminal it prompts with "> ", keeps a history in memory and
// completes the names of commands. A nil log means slog.Default.
func NewConsole(c Client, in io.Reader, out io.Writer, log *slog.Logger) *Console {
	if log == nil {
		log = slog.Default()
	}
	return &Console{client: c, in: in, out: out, log: log}
}

// open finds out who is there.
func (c *Console) open() lines {
	if c.in == os.Stdin && c.out == os.Stdout && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		return newTerminal()
	}
	return pipe{bufio.NewReader(c.in)}
}

// Serve answers commands until the input or ctx ends, or after Shutdown; that
// is nil. It fails if the input cannot be read or the output not be written.
// A read that ctx interrupts is left waiting: the process is about to end.
func (c *Console) Serve(ctx context.Context) error {
	lines := c.open()
	defer lines.close()
	ended := make(chan error, 1)
	go func() { ended <- c.serve(ctx, lines) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (c *Console) serve(ctx context.Context, lines lines) error {
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			c.log.Info("console: end of input")
			return nil
		}
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		event := c.run(ctx, line)
		if event == nil {
			return nil
		}
		if err := c.answer(event); err != nil {
			return fmt.Errorf("console: %w", err)
		}
	}
}

// run answers one command, or returns nil if there is no one left to answer.
func (c *Console) run(ctx context.Context, line string) agent.Event {
	command, err := parse([]byte(line))
	if err != nil {
		return agent.Error{Text: err.Error()}
	}
	event, err := c.client.Do(ctx, command)
	if _, last := command.(agent.Shutdown); last || ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return agent.Error{Text: err.Error()}
	}
	return event
}

func (c *Console) answer(e agent.Event) error {
	b, err := EncodeEvent(e)
	if err != nil {
		return err
	}
	_, err = c.out.Write(append(b, '\n'))
	return err
}
