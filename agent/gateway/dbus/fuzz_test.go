package dbus

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// builder makes arguments of the types that the library gives us, out of bytes:
// a type, and what it needs. Decoding the bus's own form is not for us to test,
// and a real bus lets only well-formed messages pass.
type builder struct{ rest []byte }

func (b *builder) byte() byte {
	if len(b.rest) == 0 {
		return 0
	}
	c := b.rest[0]
	b.rest = b.rest[1:]
	return c
}

func (b *builder) number() uint64 {
	var n [8]byte
	b.rest = b.rest[copy(n[:], b.rest):]
	return binary.LittleEndian.Uint64(n[:])
}

func (b *builder) text() string {
	n := min(int(b.byte()), len(b.rest))
	s := string(b.rest[:n])
	b.rest = b.rest[n:]
	return s
}

var keys = []string{"id", "result_code", "result_text", "package_id", "name", "description", "last_modified", "module", "firmware_id"}

func (b *builder) dict(depth int) map[string]godbus.Variant {
	d := map[string]godbus.Variant{}
	for range b.byte() % 5 {
		d[keys[int(b.byte())%len(keys)]] = godbus.MakeVariantWithSignature(b.value(depth), godbus.Signature{})
	}
	return d
}

// list makes up to most of something.
func list[T any](b *builder, most uint16, one func() T) []T {
	n := uint16(b.byte()) % most
	if n == most-1 {
		n = uint16(b.number()) // now and then, very many
	}
	out := make([]T, n)
	for i := range out {
		if i > 0 && len(b.rest) == 0 {
			out[i] = out[i-1]
			continue
		}
		out[i] = one()
	}
	return out
}

func (b *builder) value(depth int) any {
	kind := b.byte() % 16
	if depth == 0 {
		kind %= 11
	}
	switch kind {
	case 0, 1:
		return b.text()
	case 2:
		return b.byte()
	case 3:
		return int16(b.number())
	case 4:
		return uint16(b.number())
	case 5:
		return int32(b.number())
	case 6:
		return uint32(b.number())
	case 7:
		return int64(b.number())
	case 8:
		return b.number()
	case 9:
		return float64(b.number())
	case 10:
		return b.byte() > 0
	case 11:
		return godbus.MakeVariantWithSignature(b.value(depth-1), godbus.Signature{})
	case 12:
		return list(b, 8, b.text)
	case 13:
		return list(b, 8, func() []any { return list(b, 4, func() any { return b.value(depth - 1) }) })
	case 14:
		return b.dict(depth - 1)
	}
	return list(b, 8, func() map[string]godbus.Variant { return b.dict(depth - 1) })
}

// FuzzArguments gives every reader whatever peers may send. None panics, what
// they make is within its limits, and what they refuse has a name.
func FuzzArguments(f *testing.F) {
	f.Add([]byte("\x00\x02u1"))
	f.Add([]byte("\x00\x02u1\x0f\x01\x03\x00\x00\x02u1\x01\x05\x04\x00\x00\x00\x00\x00\x00\x00\x02\x00\x02no"))
	f.Add([]byte("\x0d\x01\x02\x00\x03gcc\x00\x047.63"))
	f.Add([]byte("\x0d\x07\x50\xc3\x00\x00\x00\x00\x00\x00\x02\x00\x03gcc\x00\x047.63"))
	f.Add([]byte("\x0f\x00\x0f\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := &builder{data}
		var body []any
		for len(b.rest) > 0 && len(body) < 4 {
			body = append(body, b.value(3))
		}
		for _, m := range methods {
			c, err := m.command(body)
			if err == nil {
				checkCommand(t, c)
				continue
			}
			if k := ota.KindOf(err); k != ota.KindInvalid && k != ota.KindTooLarge {
				t.Errorf("%s: %v: %v", m.name, k, err)
			}
			if e := refusal(err); e.Error() == "" || sayable(e.Error()) != e.Error() {
				t.Errorf("the error is %q", e.Error())
			}
		}
		if s, err := readSoftware(body); err == nil && max(len(s.Packages), len(s.Firmwares)) > ota.MaxInventory {
			t.Error("too much software")
		}
	})
}

func checkCommand(t *testing.T, c agent.Command) {
	switch c := c.(type) {
	case agent.StartDownload:
		if n := len(c.Update); n == 0 || n > maxID {
			t.Errorf("an update id of %d bytes", n)
		}
	case agent.SendUpdateReport:
		if n := len(c.Report.Results); n == 0 || n > maxResults || c.Report.Update == "" {
			t.Errorf("%q has %d results", c.Report.Update, n)
		}
		for _, r := range c.Report.Results {
			if !r.Code.Valid() {
				t.Errorf("result code %d", r.Code)
			}
		}
	case agent.SendInstalledPackages:
		for _, p := range c.Packages {
			if p.Name == "" || p.Version == "" {
				t.Errorf("package %v", p)
			}
		}
	default:
		t.Errorf("%T", c)
	}
}

// scripted is a connection that says one thing.
type scripted struct {
	net.Conn
	io.Reader
}

func (s scripted) Read(p []byte) (int, error)     { return s.Reader.Read(p) }
func (scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (scripted) SetWriteDeadline(time.Time) error { return nil }

// FuzzWire cuts what the bus may say into messages. None is too long, and all
// that is let through has come in.
func FuzzWire(f *testing.F) {
	f.Add([]byte("l\x01\x00\x01\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00xl"))
	f.Add([]byte("l\x01\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff"))
	f.Add([]byte("B\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x09padding padding x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWire(scripted{Reader: bytes.NewReader(data)}, time.Second, slog.New(slog.DiscardHandler))
		if _, err := w.Write([]byte("BEGIN\r\n")); err != nil {
			t.Fatal(err)
		}
		var got []byte
		buf := make([]byte, 7)
		for {
			n, err := w.Read(buf)
			got = append(got, buf[:n]...)
			if w.left > maxMessage {
				t.Fatalf("a message of %d bytes", w.left)
			}
			if err != nil {
				break
			}
		}
		if len(data) < maxMessage && !bytes.HasPrefix(data, got) {
			t.Errorf("%q became %q", data, got)
		}
	})
}
