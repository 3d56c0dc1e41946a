package resource_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
)

func TestRegistration(t *testing.T) {
	w := newWorld(t, trusting)
	w.with(&fake{})
	d, _ := w.add(named("node"))
	text, _ := manifest(t, 9, "image")
	c := w.dial()
	m, err := c.Post(w.ctx, "/rd?ep=node&lt=60&base=coap://127.0.0.1:61616", coap.LinkFormat, []byte("</suit/trigger>"))
	if err != nil || m.Code != coap.Created {
		t.Fatalf("%v %s, %v", m.Code, m.Payload, err)
	}
	var location []string
	for _, o := range m.Options {
		if o.ID == coap.LocationPath {
			location = append(location, string(o.Value))
		}
	}
	wantString(t, "location", strings.Join(location, "/"), "rd/"+string(d.ID))
	wantString(t, "address", w.look(d.ID).AddressAt(w.clock()), "127.0.0.1:61616")
	w.advance(time.Minute)
	wantString(t, "after its time", w.look(d.ID).AddressAt(w.clock()), "")
	wantString(t, "it goes on", w.tells(c, "/rd/"+string(d.ID)+"?base=coap://127.0.0.1", "")[:4], "2.04")
	wantString(t, "address", w.look(d.ID).AddressAt(w.clock().Add(24*time.Hour)), "127.0.0.1:5683")

	u := w.send(d, w.publish("app", "manifest", text, "file1", "image"))
	wantString(t, "it came back", w.tells(c, "/rd?ep=node&seq=8", "")[:4], "2.01")
	w.comes(d, u, "InFlight") // it was told of another
	wantString(t, "it came back again", w.tells(c, "/rd?ep=node&seq=9", "")[:4], "2.01")
	wantString(t, "updated", w.update(d, u), "Finished: unauthenticated report")

	for _, query := range []string{"", "?ep=", "?ep=node&lt=0", "?ep=node&lt=x", "?ep=node&lt=4294967296", "?ep=node&base=http://127.0.0.1", "?ep=node&base=coap://127.0.0.1/x",
		"?ep=node&base=coap://u@127.0.0.1", "?ep=node&base=x", "?ep=node&seq=x"} {
		if got := w.tells(c, "/rd"+query, ""); !strings.HasPrefix(got, "4.00") {
			t.Errorf("%s: %s", query, got)
		}
	}
	for _, elsewhere := range []string{"coap://192.0.2.1:5683", "coap://[::1]:1", "coap://localhost:1", "coap://[ff02::1]"} {
		if got := w.tells(c, "/rd?ep=node&base="+elsewhere, ""); !strings.HasPrefix(got, "4.03") {
			t.Errorf("%s: %s", elsewhere, got)
		}
	}
	n := named("keyed")
	n.PSK = true
	keyed, key := w.add(n)
	wantString(t, "who it is need not be said over coaps", w.tells(w.mustDialDTLS(key), "/rd", "")[:4], "2.01")
	wantString(t, "it is not said to hear plain CoAP", w.look(keyed.ID).Address, "")
	wantString(t, "now it is", w.tells(w.mustDialDTLS(key), "/rd?base=coap://127.0.0.1:7", "")[:4], "2.01")
	wantString(t, "it is at", w.look(keyed.ID).Address, "127.0.0.1:7")
	wantString(t, "it is still there", w.tells(w.mustDialDTLS(key), "/rd", "")[:4], "2.01")
	wantString(t, "it is at", w.look(keyed.ID).Address, "127.0.0.1:7")
	if m, err := c.Do(w.ctx, coap.NewRequest(coap.DELETE, "/rd/"+string(d.ID))); err != nil || m.Code != coap.Deleted {
		t.Errorf("%v, %v", m.Code, err)
	}
	wantString(t, "it left", w.look(d.ID).AddressAt(w.clock()), "")
}

// A registration makes the server send something, so its sender must show that
// the address is its own (coap-suit.md 2.9).
func TestAForgedRegistrationSendsNothing(t *testing.T) {
	f := &fake{fails: ota.Fail(ota.KindUnreachable, "no_answer", "the device does not answer")}
	w := newWorld(t)
	w.with(f)
	n := named("node")
	n.Plain = true
	d, _ := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m"))
	forged := w.node()
	for _, rd := range []string{"/rd?ep=node", "/rd/" + string(d.ID), "/rd?ep=node&base=coap://127.0.0.1:7"} {
		wantString(t, rd, forged.post(rd), "4.01 echo")
	}
	wantString(t, "its address", w.look(d.ID).Address, "")
	if f.heard() > 0 {
		t.Errorf("told %q", f.said())
	}
	if said, err := exec.CommandContext(t.Context(), "coap-client-notls", "-m", "post", "-e", "</suit/trigger>", "coap://"+w.addr+"/rd?ep=node&base=coap://127.0.0.1:7").CombinedOutput(); err != nil {
		t.Fatalf("coap-client-notls (Debian package libcoap3-bin): %v\n%s", err, said)
	}
	w.comes(d, u, "Pending: the device does not answer") // libcoap's client has proven where it is
	wantString(t, "its address", w.look(d.ID).Address, "127.0.0.1:7")
	if f.heard() != 1 {
		t.Errorf("told %q", f.said())
	}
}

// RIOT knows no Echo option. It may say that it is still where it was.
func TestADeviceWithoutEchoStaysWhereItIs(t *testing.T) {
	f := &fake{fails: ota.Fail(ota.KindUnreachable, "no_answer", "the device does not answer")}
	w := newWorld(t)
	w.with(f)
	riot := w.node()
	n := named("node")
	n.Plain, n.Address = true, riot.conn.LocalAddr().String()
	d, _ := w.add(n)
	u := w.send(d, w.publish("app", "manifest", "m"))
	w.comes(d, u, "Pending: the device does not answer")
	wantString(t, "registration", riot.post("/rd?ep=node&lt=60&seq=4"), "2.01")
	if got := w.look(d.ID); got.Address != n.Address || !got.Until.IsZero() || got.Sequence != 4 {
		t.Errorf("%+v", got)
	}
	w.poke(d)
	if f.heard() != 1 {
		t.Errorf("it was told sooner: %q", f.said())
	}
}
