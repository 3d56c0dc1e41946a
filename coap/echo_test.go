package coap

import (
	"bytes"
	"net/netip"
	"testing"
)

// A proof that expires in the middle of a transfer is asked for again, and
// given: here before every single block.
func TestProofsExpire(t *testing.T) {
	w := newWorld()
	w.srv.Limits.ProvenFor = 1
	want := w.file("/f", 5001)
	addr := w.serve(t).String()
	if got := coapClient(t, "coap-client-notls", "-b", "512", "coap://"+addr+"/f"); !bytes.Equal(got, want) {
		t.Errorf("libcoap got %d bytes", len(got))
	}
	var got at
	if _, _, err := dial(t, addr).Download(t.Context(), "/f", &got, 0); err != nil || !bytes.Equal(got.b, want) {
		t.Errorf("we got %d bytes, %v", len(got.b), err)
	}
}

// Known devices that know no Echo option need none.
func TestTrustedAddresses(t *testing.T) {
	b := newBench(t)
	b.file("/long", 2000)
	known := b.from.peer
	b.srv.Trusted = func(a netip.AddrPort) bool { return a == known }
	if got := b.send(t, "40011234b46c6f6e67"); len(got) < 2*1024 {
		t.Errorf("a trusted address is sent %.20s, want 1024 bytes", got)
	}
	b.from.peer = netip.MustParseAddrPort("192.0.2.3:5683")
	if got := b.send(t, "40011234b46c6f6e67"); len(got) > 2*136 {
		t.Errorf("another address is sent %d bytes", len(got)/2)
	}
}
