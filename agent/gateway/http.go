package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// HTTP is the door for programs on the device: a POST with one command as
// JSON, answered by its final event as JSON (client.md 5.2). The path does not
// matter. Nobody proves who they are, so it listens on loopback alone and
// turns away what a browser sends for some web page.
type HTTP struct {
	client   Client
	listener net.Listener
	log      *slog.Logger
}

// NewHTTP listens on addr, "IP:port" with a loopback address; port 0 is any
// free one. It fails with KindInvalid for another address, and with the
// system's error if the port cannot be had. A nil log means slog.Default.
func NewHTTP(c Client, addr string, log *slog.Logger) (*HTTP, error) {
	if log == nil {
		log = slog.Default()
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, ota.Invalid("http gateway: %q is not an address and port such as 127.0.0.1:8888", addr)
	}
	if !ap.Addr().IsLoopback() {
		return nil, ota.Invalid("http gateway: %s is not a loopback address; anyone who reaches the gateway controls the client, so use 127.0.0.1 or [::1]", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("http gateway: %w", err)
	}
	return &HTTP{client: c, listener: l, log: log}, nil
}

// Addr is where it listens.
func (h *HTTP) Addr() string { return h.listener.Addr().String() }

// Serve answers requests until ctx ends, which is nil; requests that wait for
// their command then see a closed connection. It fails if the listener does.
func (h *HTTP) Serve(ctx context.Context) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(h.listener); ctx.Err() == nil {
		return fmt.Errorf("http gateway: %w", err)
	}
	return nil
}

// bodyTime is how long a client may take to send its command. The command
// itself may take as long as it does.
const bodyTime = 30 * time.Second

// ServeHTTP answers one request: 200 and the event, or {"error": text} with
//   - 400: the body is not a command
//   - 403: a web page of another origin asks
//   - 405: not a POST
//   - 413: the body is longer than 1 MiB
//   - 421: the Host is not a loopback name, as when a page reaches us by DNS
//   - 500: the client could not say how the command ended
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if status, err := admit(r); err != nil {
		h.refuse(w, status, err)
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

func (h *HTTP) refuse(w http.ResponseWriter, status int, err error) {
	h.log.Debug("http gateway: refused", "status", status, "err", err)
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// admit decides on the head of a request.
func admit(r *http.Request) (int, error) {
	if !loopback(r.Host) {
		return http.StatusMisdirectedRequest, fmt.Errorf("host %.100q is not a loopback address or localhost", r.Host)
	}
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, errors.New("send a command with POST")
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return http.StatusForbidden, err
	}
	return 0, nil
}

// unread explains why a body could not be read.
func unread(err error) (int, error) {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the command is longer than %d bytes", maxInput)
	}
	return http.StatusBadRequest, fmt.Errorf("read the command: %w", err)
}

// loopback reports whether the value of a Host header names this machine.
func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return strings.EqualFold(name, "localhost") || err == nil && addr.IsLoopback()
}
