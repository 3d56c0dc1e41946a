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
	"github.com/updraft-ota/updraft/ota"
)

// Console is the door for a person at a terminal, or a script at a pipe: one
// command per line, in text or JSON (client.md 5.1).
//
// A script gets one line for each line that is not blank, in order: the final
// event as JSON. A person sees every event as it happens, one line each, above
// the line being typed.
type Console struct {
	client Teller
	in     io.Reader
	out    io.Writer
	screen *terminal           // nil unless a person is there
	events *agent.Subscription // for the person
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
// completes commands, the ids of known updates, and result codes. A nil log
// means slog.Default.
func NewConsole(c Teller, in io.Reader, out io.Writer, log *slog.Logger) *Console {
	if log == nil {
		log = slog.Default()
	}
	console := &Console{client: c, in: in, out: out, log: log}
	if console.typed() {
		console.screen = newTerminal(func() []ota.UpdateID { return updates(c.Since(0)) })
		console.out, console.events = console.screen, c.Subscribe(eventBuffer)
	}
	return console
}

// Screen is where others may write that use the same terminal, so that they do
// not disturb the line being typed. It is nil if nobody is there.
func (c *Console) Screen() io.Writer {
	if c.screen == nil {
		return nil
	}
	return c.screen
}

// Serve answers commands until the input or ctx ends, or after Shutdown; that
// is nil. It fails if the input cannot be read or the output not be written.
// A read that ctx interrupts is left waiting: the process is about to end.
func (c *Console) Serve(ctx context.Context) error {
	if c.screen == nil {
		return c.serve(ctx, pipe{bufio.NewReader(c.in)}, func(e agent.Event, _ bool) error { return c.write(e) })
	}
	if err := c.screen.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.events.Close()
	go c.show(ctx)
	return c.serve(ctx, c.screen, func(e agent.Event, told bool) error {
		if told {
			return nil // show does
		}
		return c.write(e)
	})
}

// typed reports whether a person is there.
func (c *Console) typed() bool {
	return c.in == os.Stdin && c.out == os.Stdout && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
}

// show writes every event.
func (c *Console) show(ctx context.Context) {
	for {
		e, missed, err := c.events.Next(ctx)
		if err != nil {
			return
		}
		if missed > 0 {
			c.log.Warn("console: too slow for the client's events", "missed", missed)
		}
		if err := c.write(e); err != nil {
			c.log.Warn("console: cannot show an event", "err", err)
		}
	}
}

// serve reads lines and hands what comes of them to answer, with whether all
// who listen have been told.
func (c *Console) serve(ctx context.Context, from lines, answer func(e agent.Event, told bool) error) error {
	defer from.close()
	ended := make(chan error, 1)
	go func() { ended <- c.converse(ctx, from, answer) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (c *Console) converse(ctx context.Context, from lines, answer func(agent.Event, bool) error) error {
	for {
		line, err := from.next()
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
		event, told := c.run(ctx, line)
		if event == nil {
			return nil
		}
		if err := answer(event, told); err != nil {
			return fmt.Errorf("console: %w", err)
		}
	}
}

// run does one command. It returns nil if there is no one left to answer.
func (c *Console) run(ctx context.Context, line string) (final agent.Event, told bool) {
	command, err := parse([]byte(line))
	if err != nil {
		return agent.Error{Text: err.Error()}, false
	}
	event, err := c.client.Do(ctx, command)
	if _, last := command.(agent.Shutdown); last || ctx.Err() != nil {
		return nil, false
	}
	if err != nil {
		return agent.Error{Text: err.Error()}, false
	}
	return event, true
}

func (c *Console) write(e agent.Event) error {
	b, err := EncodeEvent(e)
	if err != nil {
		return err
	}
	_, err = c.out.Write(append(b, '\n'))
	return err
}
