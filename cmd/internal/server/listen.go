package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/httpapi"
)

// web serves one handler over HTTP and HTTPS.
type web struct {
	server      http.Server
	plain, safe net.Listener // nil: closed
	ended       chan error   // of each listener that serves
}

// Limits of what a caller may take of the server where no handler has a say.
// Packages may be large and links slow: whoever reads a body, or answers with
// more than a list, sets deadlines of its own that go along with the bytes.
const (
	headerPatience = 10 * time.Second
	bodyPatience   = time.Minute     // for a body that nobody reads
	restPatience   = 5 * time.Second // for what of a body is left after the answer
	answerPatience = 2 * time.Minute // for an answer nobody gave another deadline
	idlePatience   = 2 * time.Minute
	maxHeader      = 64 << 10
)

// listenWeb binds the ports of HTTP and HTTPS; requests wait until serve.
func listenWeb(ctx context.Context, c Config, cert *certificate, log *slog.Logger) (_ *web, err error) {
	w := &web{ended: make(chan error, 12)}
	w.server = http.Server{
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       httpapi.WithConnection,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if w.plain, err = listen(ctx, c, "http", c.HTTP); err != nil {
		return nil, err
	}
	if cert == nil {
		return w, nil
	}
	w.server.TLSConfig = cert.config()
	if w.safe, err = listen(ctx, c, "https", c.HTTPS); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func listen(ctx context.Context, c Config, what string, port settings.Port) (net.Listener, error) {
	if !port.Open() {
		return nil, nil
	}
	addr, err := c.address()
	if err != nil {
		return nil, err
	}
	network, host := "tcp", ""
	if addr.IsValid() {
		host = addr.String()
	}
	if addr.Is4() {
		network = "tcp4" // or 0.0.0.0 would mean IPv6 as well
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, fmt.Errorf("%w: free the port or give another --%s-port", err, what)
	}
	return l, nil
}

// addresses tells where the web is served.
func (w *web) addresses() (a Addresses) {
	if w.plain != nil {
		a.HTTP = dialable(w.plain.Addr())
	}
	if w.safe != nil {
		a.HTTPS = dialable(w.safe.Addr())
	}
	return a
}

func (w *web) serve(h http.Handler) {
	w.server.Handler = boundBody(h)
	if w.plain != nil {
		go func() { w.ended <- w.server.Serve(w.plain) }()
	}
	if w.safe != nil {
		go func() { w.ended <- w.server.ServeTLS(w.safe, "", "") }()
	}
}

// boundBody ends the wait for a body. net/http reads what a handler left
// unread, to keep the connection, and waits for it as long as the caller likes.
func boundBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		ctl := http.NewResponseController(w)
		_ = ctl.SetReadDeadline(time.Now().Add(bodyPatience))
		defer func() { _ = ctl.SetReadDeadline(time.Now().Add(restPatience)) }()
		next.ServeHTTP(w, r)
	})
}

// stop stops listening and lets running requests end until ctx does; then it
// cuts them off.
func (w *web) stop(ctx context.Context) error {
	err := w.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return w.server.Close()
	}
	return err
}

func (w *web) close() {
	for _, l := range []net.Listener{w.plain, w.safe} {
		if l != nil {
			l.Close()
		}
	}
}
