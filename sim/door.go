package sim

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/suit"
)

// What a device takes as the URL of a manifest, in bytes; RIOT takes less
// (6.1).
const (
	maxURL     = 1024
	maxRIOTURL = 127
)

// links are the resources of a device, in RIOT's names (6.1).
const links = `</.well-known/core>;ct=40,</riot/board>;ct=0,</suit/slot/active>;ct=0,</suit/slot/inactive>;ct=0,</suit/trigger>;rt="suit.trigger"`

// serve answers whoever speaks to the device, until ctx ends.
func (d *Device) serve(ctx context.Context, c net.PacketConn) error {
	var mux coap.Mux
	mux.Handle("/suit/trigger", coap.HandlerFunc(d.trigger))
	if p := strings.Trim(d.TriggerPath, "/"); p != "" {
		mux.Handle("/"+p, coap.HandlerFunc(d.trigger))
	}
	mux.Handle("/suit/slot/active", text(func() string { return strconv.Itoa(d.flash.now().Active) }))
	mux.Handle("/suit/slot/inactive", text(func() string { return strconv.Itoa(1 - d.flash.now().Active) }))
	mux.Handle("/riot/board", text(func() string { return d.Board }))
	mux.Handle("/.well-known/core", coap.HandlerFunc(func(w coap.ResponseWriter, r *coap.Request) {
		if only(w, r, coap.GET) {
			coap.Write(w, coap.ContentCode, coap.LinkFormat, []byte(links))
		}
	}))
	d.tell(Event{Kind: Listening, URL: "coap://" + d.address})
	s := &coap.Server{Handler: &mux, Log: slog.New(slog.DiscardHandler)}
	return s.Serve(ctx, d.Network.spoilPackets(c))
}

// trigger takes the URL of a manifest. That it was taken says nothing of what
// comes of it.
func (d *Device) trigger(w coap.ResponseWriter, r *coap.Request) {
	if !only(w, r, coap.POST, coap.PUT) {
		return
	}
	most := maxURL
	if d.Dialect == suit.RIOT {
		most = maxRIOTURL
	}
	url := strings.TrimRight(string(r.Payload), "\x00")
	switch {
	case url == "":
		coap.Fail(w, coap.RequestEntityIncomplete, "the URL of a manifest is missing")
	case len(url) > most:
		coap.Fail(w, coap.RequestEntityTooLarge, "a URL may have %d bytes", most)
	default:
		d.orders.put(order{url: url})
		w.SetCode(coap.Changed)
		if d.Dialect == suit.RIOT {
			w.SetCode(coap.Created)
		}
	}
}

// text answers with a few words.
func text(what func() string) coap.Handler {
	return coap.HandlerFunc(func(w coap.ResponseWriter, r *coap.Request) {
		if only(w, r, coap.GET) {
			_, _ = io.WriteString(w, what()) // it is short
		}
	})
}

// only answers methods other than those that are possible.
func only(w coap.ResponseWriter, r *coap.Request, possible ...coap.Code) bool {
	for _, m := range possible {
		if r.Code == m {
			return true
		}
	}
	w.SetCode(coap.MethodNotAllowed)
	return false
}
