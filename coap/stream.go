package coap

import (
	"bufio"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// stream is CoAP over a connection that keeps bytes in order (RFC 8323), from
// either side.
type stream struct {
	conn  net.Conn
	r     *bufio.Reader
	frame int           // longest message taken, bytes
	takes atomic.Uint32 // longest message the peer takes, bytes
	idle  time.Duration // after so long without a message the peer is asked whether it is there

	mu sync.Mutex // for writing
}

// Options of signals (RFC 8323 5.3 to 5.6).
const (
	maxMessageSize OptionID = 2 // CSM
	blockWise      OptionID = 4 // CSM
	custody        OptionID = 2 // Ping, Pong
	badCSMOption   OptionID = 2 // Abort
)

// patience is how long a message may take to come or go once it has begun.
const patience = 30 * time.Second

var (
	errNoCSM    = errors.New("coap: the first message is no CSM")
	errReleased = errors.New("coap: the peer has released the connection")
	errAborted  = errors.New("coap: the peer has aborted the connection")
	errSilent   = errors.New("coap: the peer does not answer a ping")
)

func newStream(c net.Conn, frame int, idle time.Duration) *stream {
	s := &stream{conn: c, r: bufio.NewReaderSize(c, 2048), frame: frame, idle: idle}
	s.takes.Store(1152) // unless its CSM says otherwise (RFC 8323 5.3.1)
	return s
}

// write sends a message. After an error the connection is of no use.
func (s *stream) write(m Message) error {
	b := m.appendFrame(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := s.conn.Write(b)
	if err != nil {
		s.conn.Close()
	}
	return err
}

// hello sends our capabilities and settings, which must be the first message.
func (s *stream) hello() error {
	m := Message{Code: csm}
	m.Options.AddUint(maxMessageSize, uint32(s.frame))
	m.Options.Add(blockWise, nil)
	return s.write(m)
}

// run reads messages until the connection ends, and passes on all that are no
// signals. What it is passed, handle may keep.
func (s *stream) run(handle func(Message)) error {
	for first := true; ; first = false {
		m, err := s.read(first)
		if err == nil && first && m.Code != csm {
			err = errNoCSM
		}
		switch {
		case err == nil && m.Code.Class() == 7:
			err = s.signal(&m)
		case err == nil && m.Code != Empty:
			handle(m)
		}
		if err != nil {
			s.giveUp(err)
			return err
		}
	}
}

// read waits for a message, pinging the peer once if none comes. The first one
// is to come at once.
func (s *stream) read(first bool) (Message, error) {
	idle := s.idle
	if first {
		idle = min(idle, patience)
	}
	for pinged := false; ; pinged = true {
		_ = s.conn.SetReadDeadline(time.Now().Add(idle))
		_, err := s.r.Peek(1)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return Message{}, err
		}
		switch {
		case first:
			return Message{}, errNoCSM
		case pinged:
			return Message{}, errSilent
		}
		if err := s.write(Message{Code: ping}); err != nil {
			return Message{}, err
		}
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(patience))
	return readFrame(s.r, s.frame)
}

// signal handles a message about the connection itself.
func (s *stream) signal(m *Message) error {
	for _, o := range m.Options {
		if known := m.Code == csm && o.ID == maxMessageSize || (m.Code == ping || m.Code == pong) && o.ID == custody; !known && o.ID.Critical() {
			return &badSignal{o.ID}
		}
	}
	switch m.Code {
	case ping:
		p := Message{Code: pong, Token: m.Token}
		if _, ok := m.Options.Get(custody); ok {
			p.Options.Add(custody, nil)
		}
		return s.write(p)
	case csm:
		if n, ok := m.Options.Uint(maxMessageSize); ok {
			s.takes.Store(n)
		}
	case release:
		return errReleased
	case abort:
		return errAborted
	}
	return nil // Pong, and signals of the future
}

// badSignal is a signal with a critical option that is not understood.
type badSignal struct{ id OptionID }

func (e *badSignal) Error() string { return "coap: a signal with an unknown critical option" }

// giveUp tells a peer that broke the rules so.
func (s *stream) giveUp(err error) {
	var bad *badSignal
	m := Message{Code: abort, Payload: []byte(err.Error())}
	switch {
	case errors.As(err, &bad):
		m.Options.AddUint(badCSMOption, uint32(bad.id))
	case errors.Is(err, errNoCSM), errors.Is(err, errLongFrame), errors.Is(err, errReserved),
		errors.Is(err, errTruncated), errors.Is(err, errNoPayload), errors.Is(err, errTooMany):
	default:
		return
	}
	_ = s.write(m)
}
