package rvikeys_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
)

// backend is a server's node that takes links over TLS; what it hears of them
// goes into channels.
type backend struct {
	*node.Node
	addr      string
	audit     chan node.Event
	announced chan node.Announcement
	acks      chan node.Message
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	files, err := rvikeys.Ensure(data(t), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{audit: make(chan node.Event, 100), announced: make(chan node.Announcement, 100), acks: make(chan node.Message, 100)}
	b.Node = newNode(t, files, node.Options{
		Prefix: rvi.BackendPrefix, Audit: func(e node.Event) { b.audit <- e }, Announced: func(a node.Announcement) { b.announced <- a }})
	if _, err := b.Handle("/sota/ack", func(_ context.Context, m node.Message) error { b.acks <- m; return nil }); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	go func() {
		if err := b.ServeTLS(l); err != nil {
			t.Error(err)
		}
	}()
	return b
}

func newNode(t *testing.T, files rvikeys.Files, o node.Options) *node.Node {
	t.Helper()
	var err error
	if o.Identity, err = rvikeys.Load(files); err != nil {
		t.Fatal(err)
	}
	n, err := node.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// connect links a device's node that offers to be notified.
func connect(t *testing.T, n *node.Node, to *backend) (notified chan node.Message) {
	t.Helper()
	notified = make(chan node.Message, 100)
	if _, err := n.Handle("/sota/notify", func(_ context.Context, m node.Message) error { notified <- m; return nil }); err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := n.ConnectTLS(t.Context(), to.addr); err != nil {
			t.Error(err)
		}
	}()
	return notified
}

func TestTwoNodesMeetOverTLSWithTheFilesMade(t *testing.T) {
	for _, who := range []rvi.Identity{car, {Device: ota.DeviceID("9ea653bc-3486-44cd-aa86-d936bd957e52")}} {
		t.Run(who.Prefix(), func(t *testing.T) {
			b := newBackend(t)
			device := newNode(t, issue(t, who), node.Options{Prefix: who.Prefix()})
			notified := connect(t, device, b)
			if a := <-b.announced; a.Peer.Prefix != who.Prefix() || !a.Available {
				t.Fatalf("%+v", a)
			}
			if err := b.Send(t.Context(), who.Prefix()+"sota/notify", []byte(`[1]`), time.Minute); err != nil {
				t.Fatal(err)
			}
			if m := <-notified; m.Peer.Prefix != rvi.BackendPrefix+"sota/" {
				t.Errorf("notified by %+v", m.Peer)
			}
			if err := device.Send(t.Context(), rvi.BackendPrefix+"sota/ack", []byte(`[2]`), time.Minute); err != nil {
				t.Fatal(err)
			}
			if m := <-b.acks; m.Peer.Prefix != who.Prefix() {
				t.Errorf("acknowledged by %+v", m.Peer)
			}
		})
	}
}

// A vehicle says it is another one. Its own node believes it; the backend does
// not.
func TestAVehicleCannotBeAnother(t *testing.T) {
	b := newBackend(t)
	liar := newNode(t, issue(t, car), node.Options{Prefix: bus.Prefix(), Rights: node.Rights{{Receive: []string{bus.Prefix()}}}})
	connect(t, liar, b)
	if e := <-b.audit; e.Reason != "unauthorized" || e.Peer != car.Prefix() {
		t.Fatalf("%+v", e)
	}
	if err := liar.Send(t.Context(), rvi.BackendPrefix+"sota/ack", []byte(`[1]`), time.Minute); err != nil {
		t.Fatal(err)
	}
	if m := <-b.acks; m.Peer.Prefix != car.Prefix() {
		t.Errorf("it passes for %+v", m.Peer)
	}
	if len(b.announced) > 0 {
		t.Errorf("%+v", <-b.announced)
	}
}

// A vehicle has got hold of another's credential, but not of its key.
func TestACredentialIsNobodyElses(t *testing.T) {
	thief := issue(t, car)
	thief.Cred = issue(t, bus).Cred
	id, err := rvikeys.Load(thief)
	if err != nil {
		t.Fatal(err)
	}
	_, err = node.VerifyCredential(id.Credentials[0], id.Roots, id.Certificate.Certificate[0], time.Now())
	if err == nil || err.Error() != "device_cert_mismatch" {
		t.Error(err)
	}
	if _, err := node.New(node.Options{Prefix: bus.Prefix(), Identity: id}); ota.KindOf(err) != ota.KindInvalid {
		t.Errorf("a node starts with it: %v", err)
	}
}
