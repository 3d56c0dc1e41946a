package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// HTTP is the door for programs on the device: a POST with one command as
// JSON, answered by its final event as JSON (client.md 5.2). The path does not
// matter.
type HTTP struct {
	*entrance
	client Client
}

// NewHTTP listens. It fails with KindInvalid if the address is not "IP:port"
// or, without a token, not one of loopback, and with the system's error if
// the port cannot be had.
func NewHTTP(c Client, n Network) (*HTTP, error) {
	if _, err := netip.ParseAddrPort(n.Addr); err != nil {
		return nil, ota.Invalid("http gateway: %q is not an address and port such as 127.0.0.1:8888", n.Addr)
	}
	e, err := enter("HTTP", n)
	if err != nil {
		return nil, err
	}
	return &HTTP{entrance: e, client: c}, nil
}

// Serve answers requests until ctx ends, which is nil; requests that wait for
// their command then see a closed connection. It fails if the listener does.
//
// The answer is 200 and the event, or {"error": text} with
//   - 400: the body is not a command
//   - 401: the token was not shown
//   - 403: a web page of another origin asks
//   - 405: not a POST
//   - 413: the body is longer than 1 MiB
//   - 421: the Host is not ours, as when a page reaches us by DNS
//   - 500: the client could not say how the command ended
//   - 503: too many requests are being served
func (h *HTTP) Serve(ctx context.Context) error { return h.serve(ctx, h.answer) }

// bodyTime is how long a client may take to send its command. The command
// itself may take as long as it does.
const bodyTime = 30 * time.Second

func (h *HTTP) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.refuse(w, http.StatusMethodNotAllowed, errors.New("send a command with POST"))
		return
	}
	// A deadline that stayed would end the connection under a long command.
	conn := http.NewResponseController(w)
	conn.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInput))
	if err != nil {
		status, err := unread(err)
		h.refuse(w, status, err)
		return
	}
	conn.SetReadDeadline(time.Time{})
	command, err := DecodeCommand(body)
	if err != nil {
		h.refuse(w, http.StatusBadRequest, err)
		return
	}
	h.do(w, r, command)
}

func (h *HTTP) do(w http.ResponseWriter, r *http.Request, command agent.Command) {
	event, err := h.client.Do(r.Context(), command)
	if _, ok := command.(agent.Shutdown); ok {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	var b []byte
	if err == nil {
		b, err = EncodeEvent(event)
	}
	if err != nil {
		h.refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Write(b)
}

// unread explains why a body could not be read.
func unread(err error) (int, error) {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the command is longer than %d bytes", maxInput)
	}
	return http.StatusBadRequest, fmt.Errorf("read the command: %w", err)
}
