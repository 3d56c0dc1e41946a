package coap

import (
	"bufio"
	"bytes"
	"testing"
)

// What is read, written and read again is the same.
func FuzzMessage(f *testing.F) {
	f.Add([]byte{0x40, 1, 0x12, 0x34, 0xB1, 'f'})
	f.Add([]byte{0x58, 0x45, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0xC1, 42, 0xE0, 1, 0, 0xFF, 'x'})
	f.Add([]byte{0x40, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		if known, err := m.parse(b); !known || err != nil {
			return
		}
		w := m.appendTo(nil)
		if known, err := again.parse(w); !known || err != nil || !bytes.Equal(again.appendTo(nil), w) {
			t.Errorf("%x is written as %x, which is read as %+v, %v", b, w, again, err)
		}
		if len(w) > len(b) {
			t.Errorf("%d bytes are written as %d", len(b), len(w))
		}
	})
}

// A server survives whatever is sent to it, and answers at most once at once.
func FuzzServer(f *testing.F) {
	f.Add([]byte{0x40, 1, 0x12, 0x34, 0xB1, 'f'})
	f.Add([]byte{0x40, 1, 0x12, 0x34, 0xB1, 'f', 0xC1, 0x16})
	f.Add([]byte{0x40, 2, 0x12, 0x34, 0xB4, 'p', 'o', 's', 't', 0xD1, 3, 0x08, 0xFF, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxDatagram {
			return
		}
		s := newBench(t)
		s.u.layer.receive(s.s, b, s.from)
		s.u.wg.Wait()
		if len(s.rec.sent) > 1 {
			t.Errorf("%x is answered by %q", b, s.rec.sent)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add([]byte{0xB1, 'f', 0xC1, 0x16})
	f.Add([]byte{0xD1, 0x06, 0, 0xE1, 0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, payload, err := parseOptions(b, nil)
		if err != nil {
			return
		}
		for i := range o {
			if i > 0 && o[i].ID < o[i-1].ID {
				t.Fatalf("%x: the options are out of order", b)
			}
		}
		again, rest, err := parseOptions(appendOptions(nil, o, payload), nil)
		if err != nil || len(again) != len(o) || !bytes.Equal(rest, payload) {
			t.Fatalf("%x is read as %v and %v, %v", b, o, again, err)
		}
		o.appendPath(nil)
		if kept, code := understand(o.clone()); code == Empty && len(kept) > len(o) {
			t.Errorf("%x: more is understood than was said", b)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x00, byte(csm), 0x21, byte(GET), 7, 0xB1, 'f'})
	f.Add([]byte{0xD0, 0x00, byte(POST), 0xFF, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			m, err := readFrame(r, 1<<16)
			if err != nil {
				return
			}
			w := m.appendFrame(nil)
			again, err := readFrame(bufio.NewReader(bytes.NewReader(w)), 1<<16)
			if err != nil || !bytes.Equal(again.appendFrame(nil), w) {
				t.Fatalf("%+v is written as %x, which is read as %+v, %v", m, w, again, err)
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(clientHelloOf(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHello(b)
		if !ok {
			return
		}
		first, ok := parseHello(h.first())
		if !ok || len(first.cookie) != 0 || first.msgSeq != 0 || !bytes.Equal(first.random, h.random) {
			t.Errorf("%x without its cookie is %x", b, h.first())
		}
		h.verifyRequest(make([]byte, cookieSize))
	})
}

// Whatever comes from a client's address, what is kept of it are whole records,
// none of them in the clear once the session is secured.
func FuzzRecords(f *testing.F) {
	for _, record := range forgedRecords {
		f.Add(unhex(f, record))
	}
	front := newDTLSFront(mute{}, nil, 10)
	front.begin = func(c *dtlsConn) bool { c.secure("device1"); return true }
	front.start(hello{}, route{})
	session := front.byAddr[route{}.peer]
	f.Fuzz(func(t *testing.T, b []byte) {
		front.receive(bytes.Clone(b), route{})
		for len(session.in) > 0 {
			<-session.in
		}
		for _, cid := range []string{"", session.cid} {
			if open := sift(bytes.Clone(b), false, cid); !bytes.Equal(sift(bytes.Clone(open), false, cid), open) {
				t.Errorf("%x is kept of %x, and not all of that", open, b)
			}
			for kept := sift(bytes.Clone(b), true, cid); len(kept) > 0; {
				header := recordHeader
				if kept[0] == recordCID {
					header += cidSize
				}
				if kept[3] == 0 && kept[4] == 0 {
					t.Fatalf("%x is in the clear", kept)
				}
				kept = kept[header+int(kept[header-2])<<8+int(kept[header-1]):]
			}
		}
	})
}
