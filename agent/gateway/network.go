package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Network is how the doors that listen on TCP are opened.
type Network struct {
	Addr  string       // "host:port"; port 0 is any free one
	Token Token        // what everyone must show; "": nothing, and only loopback is listened on
	Log   *slog.Logger // nil means slog.Default
}

// entrance is what those doors share: a listener, and who may come in.
type entrance struct {
	name     string // of the door, for messages
	listener net.Listener
	hosts    []string // names it is known by beside its addresses and localhost
	token    Token
	log      *slog.Logger
	busy     chan struct{} // holds an item for each request being served
}

// maxServed bounds the requests, or subscribers, of one door at a time.
const maxServed = 128

// enter listens. It fails with KindInvalid if n.Addr is no address, or leads
// beyond loopback while there is no token, and with the system's error if the
// port cannot be had.
func enter(name string, n Network) (*entrance, error) {
	if n.Log == nil {
		n.Log = slog.Default()
	}
	addr, err := net.ResolveTCPAddr("tcp", n.Addr)
	if err != nil {
		return nil, ota.Invalid("%s gateway: %q is not an address and port such as 127.0.0.1:8888: %v", name, n.Addr, err)
	}
	if n.Token == "" && !addr.IP.IsLoopback() {
		return nil, ota.Invalid("%s gateway: %s is not a loopback address; anyone who reaches the gateway controls the client, so use 127.0.0.1 or [::1], or set gateway.token_file", name, n.Addr)
	}
	l, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s gateway: %w", name, err)
	}
	e := &entrance{name: name, listener: l, token: n.Token, log: n.Log, busy: make(chan struct{}, maxServed)}
	n.Log.Info(name+" gateway listens", "address", e.Addr())
	host, _, _ := net.SplitHostPort(n.Addr)
	self, _ := os.Hostname()
	if n.Token != "" { // without one, a name that DNS gives us proves nothing
		e.hosts = []string{host, self}
	}
	return e, nil
}

// Addr is where it listens.
func (e *entrance) Addr() string { return e.listener.Addr().String() }

// serve answers requests until ctx ends, and then those requests end, too.
func (e *entrance) serve(ctx context.Context, handle http.HandlerFunc) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for range cap(e.busy) { // nobody is busy any more, or will be
			e.busy <- struct{}{}
		}
	}()
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if e.admit(w, r) {
				defer func() { <-e.busy }()
				handle(w, r)
			}
		}),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       10 * time.Second, // room for others
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(limit(e.listener, maxOpen)); ctx.Err() == nil {
		srv.Close()
		return fmt.Errorf("%s gateway: %w", e.name, err)
	}
	return nil
}

// admit decides on the head of a request, and answers it if it may not come
// in: with 421 if its Host is not ours, as when a web page reaches us by a
// name of its own; 403 if a web page of another origin asks; 401 without the
// token; 503 if too many are being served.
func (e *entrance) admit(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case !e.knows(r):
		e.refuse(w, http.StatusMisdirectedRequest, fmt.Errorf("host %.100q is not an address of this gateway", r.Host))
	case foreign(r):
		e.refuse(w, http.StatusForbidden, errors.New("web pages of another origin may not ask"))
	case !e.token.shown(r):
		w.Header().Set("WWW-Authenticate", "Bearer")
		e.refuse(w, http.StatusUnauthorized, errors.New("show the token of gateway.token_file: Authorization: Bearer TOKEN"))
	default:
		select {
		case e.busy <- struct{}{}:
			return true
		default:
			w.Header().Set("Retry-After", "5")
			e.refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%d requests are being served already", maxServed))
		}
	}
	return false
}

// refuse answers {"error": text}.
func (e *entrance) refuse(w http.ResponseWriter, status int, err error) {
	e.log.Debug(e.name+" gateway: refused", "status", status, "err", err)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// knows reports whether the Host header names us: this machine as it calls
// itself, or the very address that was reached.
func (e *entrance) knows(r *http.Request) bool {
	name := hostname(r.Host)
	if strings.EqualFold(name, "localhost") {
		return true
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		return addr.IsLoopback() || local != nil && addr.Unmap() == local.AddrPort().Addr().Unmap()
	}
	for _, h := range e.hosts {
		if name != "" && strings.EqualFold(name, h) {
			return true
		}
	}
	return false
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.Trim(host, "[]")
}

// foreign reports whether a browser asks for a page that did not come from
// here. Programs send neither of the headers.
func foreign(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origins := r.Header.Values("Origin")
	for _, o := range origins {
		if u, err := url.Parse(o); err != nil || !strings.EqualFold(u.Host, r.Host) || r.Host == "" {
			return true
		}
	}
	return false
}
