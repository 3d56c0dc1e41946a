package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ServeEdge answers local programs that come to l until the node closes, which
// closes l: JSON-RPC over POST, to any path, and websockets (rvi.md 2). Whoever
// reaches l is trusted with everything that Options.Rights allow, so l should
// be on loopback.
func (n *Node) ServeEdge(l net.Listener) error {
	server := &http.Server{
		Handler:           http.HandlerFunc(n.serveHTTP),
		ReadHeaderTimeout: strangerPatience,
		ReadTimeout:       framePatience,
		WriteTimeout:      framePatience,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	if !n.open(server) {
		return errClosed
	}
	defer n.done(server)
	full := func(from string) {
		n.mu.Lock()
		n.grumble("too_many_connections", "edge", "", "from "+from)
		n.unlock()
	}
	return n.closedNow(server.Serve(&crowd{Listener: l, full: full}))
}

func (n *Node) serveHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Origin") != "":
		// No program of RVI sends it: it is a page in somebody's browser.
		http.Error(w, "this is no place for web pages", http.StatusForbidden)
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		n.serveSocket(w, r)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
	default:
		n.servePost(w, r)
	}
}

func (n *Node) servePost(w http.ResponseWriter, r *http.Request) {
	status := readBody(w, r, int64(n.opt.MessageBytes), &n.bodies, func(body []byte) { n.answerPost(w, r, body) })
	if status == 0 {
		return
	}
	if status != http.StatusBadRequest {
		reason := map[int]string{http.StatusRequestEntityTooLarge: "too_large", http.StatusServiceUnavailable: "out_of_buffers"}[status]
		n.mu.Lock()
		n.grumble(reason, "edge", "", "from "+r.RemoteAddr)
		n.unlock()
	}
	http.Error(w, http.StatusText(status), status)
}

func (n *Node) answerPost(w http.ResponseWriter, r *http.Request, body []byte) {
	req, e := readRequest(body, true)
	var res result
	if e == nil {
		res, e = n.call(req, n.placeAt(r.Context()))
	}
	w.Header().Set("Content-Type", "application/json")
	if e == nil && req.id == nil {
		return // a notification
	}
	_ = json.NewEncoder(w).Encode(answerTo(req.id, res, e)) // the caller is gone, or it is not
}

// placeAt is the place of a service that gives a network_address.
func (n *Node) placeAt(ctx context.Context) place {
	return func(name string, p fields) (*courier, *rpcError) {
		s, e := p.text("network_address")
		if e != nil {
			return nil, e
		}
		u, err := readAddress(s)
		if err != nil {
			return nil, refuseFor(err)
		}
		ctx, cancel := context.WithTimeout(ctx, answerPatience)
		defer cancel()
		if _, err := n.allowed(ctx, u.Hostname()); err != nil {
			n.mu.Lock()
			n.grumble("bad_network_address", "edge", name, err.Error())
			n.unlock()
			return nil, refuse(codeParams, "bad_network_address", "the network_address is not admitted: "+u.Host)
		}
		if e := n.checkFree(ctx, name, u); e != nil {
			return nil, e
		}
		return n.courierTo(u), nil
	}
}

// checkFree refuses a name that somebody who is still there has registered from
// elsewhere (rvi.md 6.3).
func (n *Node) checkFree(ctx context.Context, name string, u *url.URL) *rpcError {
	n.mu.Lock()
	s := n.local[name]
	n.unlock()
	if s == nil || s.courier.to == u.String() {
		return nil
	}
	if s.courier.url != nil && !n.alive(ctx, s.courier.url) {
		return nil
	}
	n.mu.Lock()
	defer n.unlock()
	n.grumble("name_taken", "edge", name, "registered at "+s.courier.to+", asked for by "+u.String())
	return refuseFor(nameTaken())
}

func (n *Node) courierTo(u *url.URL) *courier {
	n.mu.Lock()
	defer n.unlock()
	to := u.String()
	if c := n.couriers[to]; c != nil {
		return c
	}
	c := &courier{n: n, to: to, url: u}
	c.carry = func(ctx context.Context, d delivery) error { return n.post(ctx, to, d) }
	return c
}

// post brings a delivery to a service over HTTP. What the service answers is of
// no interest, unless it is an error.
func (n *Node) post(ctx context.Context, to string, d delivery) error {
	body := n.appendCall(nil, `{"jsonrpc":"2.0","id":1,`, d)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := n.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxStranger))
	if err != nil {
		return err
	}
	if d.parcel == nil {
		return nil // original services do not know services_unavailable
	}
	return readAnswer(resp.StatusCode, text)
}

// readAnswer tells what went wrong at a service. Its answers have many forms
// (rvi.md 2.4, 2.7).
func readAnswer(status int, body []byte) error {
	var a struct {
		Error *struct {
			Code    int
			Message string
		}
	}
	_ = json.Unmarshal(body, &a) // whatever it is, only an error matters
	switch {
	case a.Error != nil:
		return fmt.Errorf("the service answers with error %d: %.200q", a.Error.Code, a.Error.Message)
	case status/100 != 2:
		return fmt.Errorf("the service answers with status %d", status)
	}
	return nil
}
