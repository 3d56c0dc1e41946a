package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Websocket is the door for those who watch: every event to every subscriber
// as it happens, one text frame each, and any command in (client.md 5.3). On
// any path a websocket may be opened; GET /events on the same address serves
// the numbered log of events.
//
// Frames hold JSON (client.md 4). The final event of a subscriber's own
// command comes with all the others, once. What has no event is answered to
// the sender alone by {"variant":"Error","fields":[text]}: a frame that is no
// command, a command that finds no room in the queue. In the same form one who
// reads too slowly is told that events were lost: the text begins "Websocket
// Error: missed N events".
type Websocket struct {
	*entrance
	client Teller
	buffer int           // events a subscriber may be behind
	accept time.Duration // how long it may take over one frame before it counts as dead
}

// eventBuffer is how far a subscriber may be behind.
const eventBuffer = 256

// NewWebsocket listens. It fails with KindInvalid if the address is not
// "host:port" or, without a token, not one of loopback, and with the system's
// error if the port cannot be had.
func NewWebsocket(c Teller, n Network) (*Websocket, error) {
	e, err := enter("websocket", n)
	if err != nil {
		return nil, err
	}
	return &Websocket{entrance: e, client: c, buffer: eventBuffer, accept: writeTime}, nil
}

// Serve answers until ctx ends, which is nil; subscribers then see a closed
// connection. It fails if the listener does. Refusals have the form and the
// status of HTTP.Serve, and 426 answers what is neither a websocket nor
// /events.
func (s *Websocket) Serve(ctx context.Context) error { return s.serve(ctx, s.answer) }

func (s *Websocket) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case opens(r):
		s.open(w, r)
	case r.URL.Path != "/events":
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		s.refuse(w, http.StatusUpgradeRequired, errors.New("open a websocket, or GET /events"))
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		s.refuse(w, http.StatusMethodNotAllowed, errors.New("GET /events"))
	default:
		s.events(w, r)
	}
}

// opens reports whether a request wants to become a websocket.
func opens(r *http.Request) bool {
	for v := range strings.SplitSeq(strings.Join(r.Header.Values("Upgrade"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(v), "websocket") {
			return true
		}
	}
	return false
}

func (s *Websocket) open(w http.ResponseWriter, r *http.Request) {
	// Subscribed before the handshake ends, so that the peer misses nothing
	// from then on.
	events := s.client.Subscribe(s.buffer)
	defer events.Close()
	w.Header().Del("Content-Type")
	options := &websocket.AcceptOptions{InsecureSkipVerify: true} // admit has looked at Origin
	if p := s.token.protocol(r); p != "" {
		options.Subprotocols = []string{p}
	}
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		s.log.Debug("websocket gateway: refused", "err", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxInput)
	peer := subscriber{conn: conn, client: s.client, events: events, accept: s.accept}
	err = peer.serve(r.Context())
	s.log.Debug("websocket gateway: a subscriber is gone", "err", err)
}
