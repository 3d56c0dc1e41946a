package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// Socket is the door for an installer without D-Bus: a Unix socket that takes
// commands (client.md 5.5). Each connection carries one command, in text or
// JSON, and its final event as JSON, or {"variant":"Error","fields":[text]}.
//
// A command is complete when the peer closes its sending half, or with a line
// that is a command and ends, so that one may also type it. Whoever may write
// to the file (mode 0660) controls the client.
type Socket struct {
	client   Client
	listener *net.UnixListener
	log      *slog.Logger
	readTime time.Duration
}

const (
	// readTime is how long a peer may take to send its command.
	readTime = 30 * time.Second
	// maxConnections is how many peers are served at a time; more wait.
	maxConnections = 128
)

// NewSocket listens on path. A socket file that nobody listens on is
// replaced. It fails if path is another kind of file or a link, if someone
// listens there already, if everyone could put such a link there, or with the
// system's error if the file cannot be made.
func NewSocket(c Client, path string, log *slog.Logger) (*Socket, error) {
	if log == nil {
		log = slog.Default()
	}
	l, err := listenSocket(path)
	if err != nil {
		return nil, fmt.Errorf("socket gateway: %w", err)
	}
	log.Info("socket gateway listens", "path", path)
	return &Socket{client: c, listener: l, log: log, readTime: readTime}, nil
}

// Serve answers peers until ctx ends, which is nil, and removes the socket
// file. Peers that wait for their command then see a closed connection. It
// fails if the listener does.
func (s *Socket) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var peers sync.WaitGroup
	defer peers.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	defer s.listener.Close()
	room := make(chan struct{}, maxConnections)
	for short := false; ; {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := s.listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case shortage(err):
			if !short {
				s.log.Warn("socket gateway: peers have to wait", "err", err)
			}
			short = true
			rest(ctx)
			<-room
			continue
		case err != nil:
			return fmt.Errorf("socket gateway: %w", err)
		}
		short = false
		peers.Go(func() {
			defer func() { <-room }()
			s.answer(ctx, conn)
		})
	}
}

func (s *Socket) answer(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetReadDeadline(time.Now().Add(s.readTime))
	command, err := readCommand(conn)
	event := agent.Event(nil)
	if err == nil {
		event, err = s.client.Do(ctx, command)
		if _, last := command.(agent.Shutdown); last || ctx.Err() != nil {
			return
		}
	}
	if err != nil {
		event = agent.Error{Text: err.Error()}
	}
	if err := reply(conn, event); err != nil {
		s.log.Debug("socket gateway: the peer does not hear the answer", "err", err)
	}
}

// readCommand reads a command. It fails with KindInvalid: for what is no
// command, for more than 1 MiB, and for one that does not end in time.
func readCommand(r io.Reader) (agent.Command, error) {
	var input []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		input = append(input, buf[:n]...)
		switch {
		case len(input) > maxInput:
			return nil, ota.Invalid("Unknown Command: more than %d bytes", maxInput)
		case errors.Is(err, io.EOF):
			return parse(input)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, ota.Invalid("Unknown Command: it does not end: close the sending half of the connection")
		case err != nil:
			return nil, ota.Invalid("Unknown Command: it cannot be read: %v", err)
		case n > 0 && buf[n-1] == '\n':
			if c, err := parse(input); err == nil {
				return c, nil
			}
		}
	}
}

// reply writes the event and says that nothing follows.
func reply(conn *net.UnixConn, e agent.Event) error {
	b, err := EncodeEvent(e)
	if err != nil {
		return err
	}
	conn.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := conn.Write(b); err != nil {
		return err
	}
	return conn.CloseWrite()
}
