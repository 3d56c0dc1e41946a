package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// patience is for how long a page hears nothing, in milliseconds, before it
// takes its line for cut.
const patience = "50000"

const (
	heartbeat     = 20 * time.Second // so that it shows if nobody reads, or nobody writes any more
	writePatience = 10 * time.Second
	rest          = time.Second // between two changes that a page hears of, as it is fetched anew for each
)

// liveURL is where a page hears that it changed since that event.
func liveURL(about url.Values, since int64) string {
	q := url.Values{"since": {strconv.FormatInt(since, 10)}}
	for key, v := range about {
		q[key] = v
	}
	return "/live?" + q.Encode()
}

// live tells a page each time that it changed, by the number of an event, as
// server-sent events. It never tells what: the page is fetched anew, and shows
// what is so by then. A browser that comes back says how far it heard.
func (p *Pages) live(w http.ResponseWriter, r *http.Request) {
	ns, err := p.admit(r)
	var me *watcher
	if err == nil {
		me, err = p.feed.watch(r.Context(), wanted(ns, r.URL.Query()))
	}
	if err != nil {
		httpapi.Refuse(w, r, p.Log, err)
		return
	}
	defer p.feed.leave(me)
	// After watching began, or what happens in between would be missed.
	last, err := p.Fleet.LastEvent(r.Context())
	if err != nil {
		httpapi.Refuse(w, r, p.Log, err)
		return
	}
	if heard(r) != last {
		me.ring(last)
	}
	s := &stream{w: w, ctl: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it to itself
	s.send(": here\n\n")
	p.tell(s, r, me)
}

// tell goes on until either side leaves, or the session ends.
func (p *Pages) tell(s *stream, r *http.Request, me *watcher) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	rung, rested := me.rung, (<-chan time.Time)(nil)
	for s.err == nil {
		text := "event: beat\ndata:\n\n"
		select {
		case seq := <-rung:
			text = fmt.Sprintf("event: changed\nid: %d\ndata: %[1]d\n\n", seq)
			rung, rested = nil, time.After(rest)
		case <-rested:
			rung, rested = me.rung, nil
			continue
		case <-beat.C:
		case <-me.ended:
			return
		case <-r.Context().Done():
			return
		}
		if _, err := p.admit(r); err != nil {
			return // a browser that comes back is told why
		}
		s.send(text)
	}
}

// heard is the event up to which the page is right; -1 if it does not say.
func heard(r *http.Request) int64 {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("since")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// wanted tells which events change a page: those about an application, or a
// device, or any.
func wanted(ns ota.Namespace, about url.Values) func(ota.Event) bool {
	app, device := about.Get("app"), ota.DeviceID(about.Get("device"))
	return func(e ota.Event) bool {
		switch {
		case e.Namespace != ns:
			return false
		case app != "":
			return concerns(e, app)
		case device != "":
			return e.Device == device
		}
		return true
	}
}

// concerns reports whether an event is about a version of the application.
func concerns(e ota.Event, app string) bool {
	var data struct {
		Name    string `json:"name"`
		Package string `json:"package"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return false
	}
	return data.Name == app || strings.HasPrefix(data.Package, app+"=")
}

// stream writes to somebody who may have left long ago.
type stream struct {
	w   http.ResponseWriter
	ctl *http.ResponseController
	err error
}

func (s *stream) send(text string) {
	// Writers without deadlines, as in tests, do without. The answer begins
	// with a deadline of the server's own, which is for answers that end.
	if _, s.err = s.w.Write([]byte(text)); s.err == nil {
		_ = s.ctl.SetWriteDeadline(time.Now().Add(heartbeat + writePatience))
		s.err = s.ctl.Flush()
	}
}
